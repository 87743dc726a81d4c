//! What is left of instances that crashed, until their supervisor asks for it.
//!
//! A store is dropped in the poll in which it failed, long before its supervisor hears of that. So
//! whoever holds it then leaves here what only it can tell.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::core_dump::Dump;

/// Instances whose remains are kept: as many as there are incidents waiting, or more have been lost
/// at once than anybody will look at.
const KEPT: usize = 256;

/// What only a store can tell.
#[derive(Clone, Debug)]
pub(crate) struct Remain {
    /// Bytes of memories and tables that it held.
    pub(crate) memory: u64,
    /// Its core dump, if there is to be one.
    pub(crate) dump: Option<Dump>,
}

/// Of the instances of one revision, the newest last.
#[derive(Debug, Default)]
pub struct Remains(Mutex<VecDeque<(u64, Remain)>>);

impl Remains {
    pub(crate) fn leave(&self, instance: u64, remain: Remain) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((instance, remain));
    }

    /// What is left of an instance; it can be asked for once.
    pub(crate) fn take(&self, instance: u64) -> Option<Remain> {
        let mut kept = self.0.lock();
        let place = kept.iter().position(|(of, _)| *of == instance)?;
        kept.remove(place).map(|(_, remain)| remain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remains_are_taken_once_and_the_oldest_give_way() {
        let remains = Remains::default();
        for instance in 0..=KEPT as u64 {
            let (memory, dump) = (instance, None);
            remains.leave(instance, Remain { memory, dump });
        }
        let memory = |instance| remains.take(instance).map(|remain| remain.memory);
        assert_eq!(memory(0), None);
        assert_eq!(memory(7), Some(7));
        assert_eq!(memory(7), None);
    }
}
