//! What an instance's table of resources weighs: the bytes that the host holds behind the guest's
//! handles, whatever kinds of resources there are and whoever implements them.
//!
//! Counting each change at its place would need a hand in every host function of wasmtime-wasi. So
//! the whole table is looked at now and then instead: at a tick of the clock that finds the guest
//! computing, before the instance is used again, and after so many calls to the host in any case. A
//! call to the host can add some ten kilobytes, so that little is missed in between.

use std::any::Any;

use http::HeaderMap;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, ReaddirIterator};
use wasmtime_wasi_http::{FieldMap, p2, p3};

use super::memory::MemoryLimitReached;
use crate::memory::Refusal;
use crate::memory::buffers::Held;
use crate::wasi::HttpTable;

/// Bytes of an entry itself: its box, its place in the table, its parent and children.
pub(crate) const ENTRY: u64 = 256;

/// Bytes of one header field beside its name and value.
const FIELD: u64 = 96;

/// The largest piece of a body that crosses in one call, in either direction and either WASI: what
/// a stream may have in hand.
pub(crate) const PIECE: usize = 64 << 10;

/// Pieces that an outgoing body has room for: one that is waiting and one that is being written.
const PIECES_OF_A_BODY: u64 = 2;

/// Bytes of a directory's listing, taken to be long: see `capability::listing`.
const LISTING: u64 = 1 << 20;

/// Calls to the host before an appraisal is worth its price; more where the table may be so large
/// that looking at it takes longer.
const CALLS: usize = 64;
const ENTRIES_PER_CALL: usize = 64;

/// Times as many calls after which even a guest that has not met a tick is appraised: on a busy
/// machine, ticks are late.
const WITHOUT_TICK: u32 = 4;

/// When the table was last looked at, and what it weighed.
#[derive(Debug)]
pub(crate) struct Appraisal {
    weight: Held,
    /// Calls to the host since.
    calls: u32,
    due: u32,
    /// It weighs too much: for good, since the instance is not used again.
    over: Option<Refusal>,
}

impl Appraisal {
    /// For a table of at most `entries`; `weight` is an empty hold on the instance's buffers.
    pub(crate) fn new(weight: Held, entries: usize) -> Appraisal {
        let due = CALLS.max(entries / ENTRIES_PER_CALL);
        Appraisal {
            weight,
            calls: 0,
            due: u32::try_from(due).unwrap_or(u32::MAX / WITHOUT_TICK),
            over: None,
        }
    }

    /// The guest calls the host. If it has done so often, looks at the table; what weighs too much
    /// takes nothing in any more, so that the call fails or the next tick ends it.
    #[inline]
    pub(crate) fn called(&mut self, table: &mut ResourceTable, http: &mut HttpTable) {
        self.calls += 1;
        if self.calls >= self.due * WITHOUT_TICK && self.after(0, table, http).is_err() {
            table.set_max_capacity(0);
            http.close();
        }
    }

    /// Why the table weighs too much, if it does.
    pub(crate) fn over(&self) -> Option<Refusal> {
        self.over
    }

    /// At a tick of the clock: looks at the table if it can have changed much.
    ///
    /// # Errors
    /// If it weighs more than the instance may make the host hold.
    pub(crate) fn at_tick(
        &mut self,
        table: &mut ResourceTable,
        http: &HttpTable,
    ) -> Result<(), MemoryLimitReached> {
        self.after(self.due, table, http)
    }

    /// Between two requests.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn at_rest(
        &mut self,
        table: &mut ResourceTable,
        http: &HttpTable,
    ) -> Result<(), MemoryLimitReached> {
        self.after(self.due, table, http)
    }

    fn after(
        &mut self,
        calls: u32,
        table: &mut ResourceTable,
        http: &HttpTable,
    ) -> Result<(), MemoryLimitReached> {
        if self.over.is_none() && self.calls >= calls {
            self.calls = 0;
            self.over = self.weight.resize(weigh(table) + http.weigh()).err();
        }
        match self.over {
            Some(refusal) => Err(MemoryLimitReached::Buffers(refusal)),
            None => Ok(()),
        }
    }
}

/// Bytes behind all handles of the table.
fn weigh(table: &mut ResourceTable) -> u64 {
    table.iter_mut().fold(0, |sum: u64, entry| {
        sum.saturating_add(ENTRY + behind(&*entry))
    })
}

/// Bytes behind one handle. What is not named here holds next to nothing of the guest's.
fn behind(entry: &dyn Any) -> u64 {
    let is = |bytes: u64| Some(bytes);
    let fields = |fields: &FieldMap| is(header_bytes(fields));
    let weight = None
        .or_else(|| fields(entry.downcast_ref()?))
        .or_else(|| fields(&entry.downcast_ref::<p3::Request>()?.headers))
        .or_else(|| fields(&entry.downcast_ref::<p3::Response>()?.headers))
        .or_else(|| is(request_bytes(entry.downcast_ref()?)))
        .or_else(|| {
            fields(
                &entry
                    .downcast_ref::<p2::types::HostOutgoingResponse>()?
                    .headers,
            )
        })
        .or_else(|| {
            fields(
                &entry
                    .downcast_ref::<p2::types::HostIncomingResponse>()?
                    .headers,
            )
        })
        .or_else(|| {
            let _: &p2::body::HostOutgoingBody = entry.downcast_ref()?;
            is(PIECES_OF_A_BODY * PIECE as u64)
        })
        .or_else(|| {
            let _: &DynOutputStream = entry.downcast_ref()?;
            is(PIECE as u64)
        })
        .or_else(|| {
            let _: &DynInputStream = entry.downcast_ref()?;
            is(PIECE as u64)
        })
        .or_else(|| {
            let _: &ReaddirIterator = entry.downcast_ref()?;
            is(LISTING)
        });
    weight.unwrap_or(0)
}

pub(crate) fn header_bytes(fields: &HeaderMap) -> u64 {
    let one = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        FIELD + (name.as_str().len() + value.len()) as u64
    };
    fields.iter().map(one).sum()
}

fn request_bytes(request: &p2::types::HostOutgoingRequest) -> u64 {
    let text = |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() as u64);
    let method = match &request.method {
        p2::bindings::http::types::Method::Other(name) => name.len() as u64,
        _ => 0,
    };
    method
        + text(&request.path_with_query)
        + text(&request.authority)
        + header_bytes(&request.headers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::buffers::Buffers;
    use crate::memory::{HostMemory, ServiceMemory};

    fn fields(bytes: usize) -> FieldMap {
        let mut fields = FieldMap::new_mutable(1 << 20);
        let value = http::HeaderValue::try_from("v".repeat(bytes)).unwrap();
        fields
            .append_raw(http::HeaderName::from_static("x-name"), value)
            .unwrap();
        fields
    }

    fn appraised(limit: u64, entries: usize) -> (Arc<Buffers>, Appraisal) {
        let service = ServiceMemory::new(u64::MAX, HostMemory::new(u64::MAX));
        let buffers = Buffers::new(service, limit);
        let appraisal = Appraisal::new(buffers.note(0), entries);
        (buffers, appraisal)
    }

    #[test]
    fn fields_weigh_what_they_say_and_a_little_more() {
        let mut table = table(10);
        assert_eq!(weigh(&mut table), 0);
        table.push(fields(1000)).unwrap();
        let gone = table.push(fields(5000)).unwrap();
        table.push("of no known kind").unwrap();
        assert_eq!(weigh(&mut table), 3 * ENTRY + 2 * (FIELD + 6) + 6000);
        table.delete(gone).unwrap();
        assert_eq!(weigh(&mut table), 2 * ENTRY + FIELD + 6 + 1000);
    }

    #[test]
    fn a_table_that_weighs_too_much_is_found_at_the_next_tick() {
        let (buffers, mut appraisal) = appraised(200_000, 100);
        let mut table = table(100);
        for _ in 0..CALLS - 1 {
            appraisal.called(&mut table, &mut http());
            table.push(fields(5000)).unwrap();
            appraisal.at_tick(&mut table, &http()).unwrap();
        }
        assert_eq!(buffers.held(), 0, "too few calls to look");
        appraisal.called(&mut table, &mut http());
        assert!(appraisal.at_tick(&mut table, &http()).is_err());
        assert_eq!(appraisal.over(), Some(Refusal::Instance));
        assert_eq!(buffers.held(), 0, "what is refused is not held");
        assert!(appraisal.at_rest(&mut table, &http()).is_err(), "for good");
    }

    #[test]
    fn a_guest_that_meets_no_tick_is_found_after_more_calls() {
        let (_, mut appraisal) = appraised(2_000_000, 10_000);
        let mut table = table(10_000);
        let mut pushed = 0;
        while appraisal.over().is_none() {
            appraisal.called(&mut table, &mut http());
            pushed += u64::from(table.push(fields(5000)).is_ok());
        }
        let every = 10_000 / ENTRIES_PER_CALL * WITHOUT_TICK as usize;
        let limit = 2_000_000 / 5000 + every as u64;
        assert!(pushed <= limit, "{pushed} of at most {limit}");
        assert!(table.push(fields(1)).is_err(), "it takes no more");
    }

    #[test]
    fn what_is_found_is_held_until_the_next_look() {
        let (buffers, mut appraisal) = appraised(1 << 20, 100);
        let mut table = table(100);
        let entry = table.push(fields(50_000)).unwrap();
        let mut look = |table: &mut ResourceTable| {
            for _ in 0..CALLS {
                appraisal.called(table, &mut http());
            }
            appraisal.at_rest(table, &http())
        };
        look(&mut table).unwrap();
        assert!(buffers.held() > 50_000);
        table.delete(entry).unwrap();
        assert!(buffers.held() > 50_000, "nobody has looked");
        look(&mut table).unwrap();
        assert_eq!(buffers.held(), 0);
    }

    fn http() -> HttpTable {
        HttpTable::new(0, 0)
    }

    fn table(entries: usize) -> ResourceTable {
        let mut table = ResourceTable::new();
        table.set_max_capacity(entries);
        table
    }
}
