//! Whether there is memory for new requests: decided from readings, with a gap between the two
//! thresholds so that the answer does not flicker.
//!
//! Two things can run short. The *guests* may hold nearly all of what they may hold together; then
//! only services that hold more than their share of it are turned away, so that a glutton does not
//! shut the door on the others. Or the *machine* (or the control group) may have nearly nothing
//! left, whoever took it; then nobody is let in until it has.

use crate::status::MemoryPressure;

/// Of what guests may hold together, in hundredths: from here on their pressure begins.
const GUESTS_BEGIN: u64 = 90;
/// Below this it ends.
const GUESTS_END: u64 = 80;
/// The machine's pressure ends once this many hundredths of the reserve are free.
const MACHINE_END: u64 = 125;

/// What may be held and what must be left, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// What guests may hold together.
    pub guests: u64,
    /// What must stay free on the machine; 0: nothing need.
    pub reserve: u64,
}

/// One look at the memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What guests hold together.
    pub guests: u64,
    /// What is free; `None` if that cannot be told.
    pub available: Option<u64>,
}

/// The state between readings.
#[derive(Debug, Clone)]
pub struct Gauge {
    thresholds: Thresholds,
    pressure: MemoryPressure,
}

impl Gauge {
    /// No pressure until a reading tells of some.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            pressure: MemoryPressure::None,
        }
    }

    /// As of the last reading.
    pub fn pressure(&self) -> MemoryPressure {
        self.pressure
    }

    /// Takes a reading; tells what the pressure has become, if it has changed.
    pub fn read(&mut self, reading: Reading) -> Option<MemoryPressure> {
        let machine = self.machine(reading.available);
        let guests = self.guests(reading.guests);
        let next = match (machine, guests) {
            (true, _) => MemoryPressure::Machine,
            (false, true) => MemoryPressure::Guests,
            (false, false) => MemoryPressure::None,
        };
        let changed = next != self.pressure;
        self.pressure = next;
        changed.then_some(next)
    }

    fn machine(&self, available: Option<u64>) -> bool {
        let reserve = self.thresholds.reserve;
        let Some(available) = available else {
            return false;
        };
        let enough = match self.pressure {
            MemoryPressure::Machine => hundredths(reserve, MACHINE_END).max(reserve),
            MemoryPressure::None | MemoryPressure::Guests => reserve,
        };
        available < enough
    }

    fn guests(&self, held: u64) -> bool {
        let most = match self.pressure {
            MemoryPressure::None => GUESTS_BEGIN,
            // What held the machine up may have been the guests: their pressure ends later.
            MemoryPressure::Guests | MemoryPressure::Machine => GUESTS_END,
        };
        held > hundredths(self.thresholds.guests, most)
    }
}

/// `of` may be as large as a number can be: rounded down first, which a hundredth may be.
fn hundredths(of: u64, how_many: u64) -> u64 {
    (of / 100).saturating_mul(how_many)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        guests: 1000,
        reserve: 100,
    };

    fn reading(guests: u64, available: impl Into<Option<u64>>) -> Reading {
        let available = available.into();
        Reading { guests, available }
    }

    #[test]
    fn pressure_begins_and_ends_at_different_marks() {
        let mut gauge = Gauge::new(THRESHOLDS);
        let rows = [
            (reading(900, 500), None),
            (reading(901, 500), Some(MemoryPressure::Guests)),
            (reading(850, 500), None),
            (reading(801, 500), None),
            (reading(800, 500), Some(MemoryPressure::None)),
            (reading(850, 100), None),
            (reading(0, 99), Some(MemoryPressure::Machine)),
            (reading(0, 124), None),
            (reading(0, 125), Some(MemoryPressure::None)),
        ];
        for (reading, changed) in rows {
            assert_eq!(gauge.read(reading), changed, "{reading:?}");
        }
    }

    #[test]
    fn the_machine_comes_first_and_what_is_not_known_is_no_pressure() {
        let mut gauge = Gauge::new(THRESHOLDS);
        assert_eq!(gauge.read(reading(1000, 0)), Some(MemoryPressure::Machine));
        assert_eq!(
            gauge.read(reading(1000, None)),
            Some(MemoryPressure::Guests)
        );
        assert_eq!(gauge.read(reading(0, None)), Some(MemoryPressure::None));
    }

    #[test]
    fn no_reserve_is_never_missed() {
        let mut gauge = Gauge::new(Thresholds {
            reserve: 0,
            ..THRESHOLDS
        });
        assert_eq!(gauge.read(reading(0, 0)), None);
    }

    proptest! {
        /// Whatever the readings, a change is told of exactly when there is one, pressure is never
        /// there with plenty left, and always there when all is taken.
        #[test]
        fn readings_decide(
            guests in 1_u64.., reserve in any::<u64>(),
            readings in prop::collection::vec((any::<u64>(), any::<Option<u64>>()), 1..40),
        ) {
            let mut gauge = Gauge::new(Thresholds { guests, reserve });
            let mut known = MemoryPressure::None;
            for (held, available) in readings {
                let told = gauge.read(Reading { guests: held, available });
                prop_assert_ne!(told, Some(known));
                known = told.unwrap_or(known);
                prop_assert_eq!(known, gauge.pressure());
                if available.is_some_and(|available| available < reserve) {
                    prop_assert_eq!(known, MemoryPressure::Machine);
                } else if held >= guests {
                    prop_assert_ne!(known, MemoryPressure::None);
                }
                let plenty = available.is_none_or(|free| free >= reserve.saturating_mul(2));
                if held <= guests / 2 && plenty && guests >= 1000 {
                    prop_assert_eq!(known, MemoryPressure::None);
                }
            }
        }
    }
}
