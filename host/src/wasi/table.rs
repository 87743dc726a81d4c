//! What one instance's guest holds of `wasi:http`: a slab without boxes.
//!
//! Its handles have the highest bit set; those of wasmtime's `ResourceTable`, which has everything
//! else, have not. So one `output-stream` may be a body of ours and the next one a file.

use wasmtime::component::Resource;
use wasmtime::{Result, format_err};

use super::client::{FutureResponse, Options, OutgoingRequest};
use super::fields::Fields;
use super::inbound::Reader;
use super::incoming::{FutureTrailers, IncomingBody, IncomingRequest, IncomingResponse};
use super::outgoing::{AnswerSlot, OutgoingBody, OutgoingResponse, ResponseOutparam};
use super::pipe::Writer;
use crate::instance::{ENTRY, HandleLimitReached, header_bytes};

const OURS: u32 = 1 << 31;

/// Whether a handle is of this table.
pub(super) fn is_ours(rep: u32) -> bool {
    rep & OURS != 0
}

/// The resources of `wasi:http` that a guest holds.
pub(crate) struct HttpTable {
    slots: Vec<Slot>,
    /// The first free slot; free slots are a chain.
    free: Option<u32>,
    held: usize,
    limit: usize,
    /// Bytes of fields that the guest builds.
    pub(super) header_bytes: usize,
}

enum Slot {
    Free(Option<u32>),
    Held(Thing),
}

/// What a slot can hold.
pub(super) enum Thing {
    Fields(Fields),
    IncomingRequest(Box<IncomingRequest>),
    IncomingResponse(Box<IncomingResponse>),
    IncomingBody(IncomingBody),
    Input(Reader),
    FutureTrailers(FutureTrailers),
    ResponseOutparam(ResponseOutparam),
    OutgoingResponse(OutgoingResponse),
    OutgoingBody(OutgoingBody),
    Output(Writer),
    OutgoingRequest(Box<OutgoingRequest>),
    FutureResponse(Box<FutureResponse>),
    Options(Options),
}

impl Thing {
    fn weigh(&self) -> u64 {
        match self {
            Thing::Fields(fields) => header_bytes(fields.map()),
            Thing::OutgoingResponse(response) => header_bytes(response.headers()),
            Thing::IncomingResponse(response) => header_bytes(response.headers.map()),
            Thing::OutgoingRequest(request) => request.weigh(),
            _ => 0,
        }
    }
}

/// A type that can be held.
pub(super) trait Kept: Sized + 'static {
    fn put(self) -> Thing;
    fn of(thing: &mut Thing) -> Option<&mut Self>;
    fn out_of(thing: Thing) -> Option<Self>;
}

macro_rules! kept {
    ($($variant:ident: $type:ty),* $(,)?) => {$(
        impl Kept for $type {
            fn put(self) -> Thing {
                Thing::$variant(self)
            }
            fn of(thing: &mut Thing) -> Option<&mut Self> {
                match thing {
                    Thing::$variant(kept) => Some(kept),
                    _ => None,
                }
            }
            fn out_of(thing: Thing) -> Option<Self> {
                match thing {
                    Thing::$variant(kept) => Some(kept),
                    _ => None,
                }
            }
        }
    )*};
}

macro_rules! kept_in_a_box {
    ($($variant:ident: $type:ty),* $(,)?) => {$(
        impl Kept for $type {
            fn put(self) -> Thing {
                Thing::$variant(Box::new(self))
            }
            fn of(thing: &mut Thing) -> Option<&mut Self> {
                match thing {
                    Thing::$variant(kept) => Some(kept),
                    _ => None,
                }
            }
            fn out_of(thing: Thing) -> Option<Self> {
                match thing {
                    Thing::$variant(kept) => Some(*kept),
                    _ => None,
                }
            }
        }
    )*};
}

kept!(
    Fields: Fields,
    IncomingBody: IncomingBody,
    Input: Reader,
    FutureTrailers: FutureTrailers,
    ResponseOutparam: ResponseOutparam,
    OutgoingResponse: OutgoingResponse,
    OutgoingBody: OutgoingBody,
    Output: Writer,
    Options: Options,
);
kept_in_a_box!(
    IncomingRequest: IncomingRequest,
    IncomingResponse: IncomingResponse,
    OutgoingRequest: OutgoingRequest,
    FutureResponse: FutureResponse,
);

impl HttpTable {
    /// A table of at most `limit` resources, whose fields have at most `header_bytes` each.
    pub(crate) fn new(limit: usize, header_bytes: usize) -> HttpTable {
        HttpTable {
            slots: Vec::new(),
            free: None,
            held: 0,
            limit: limit.min(OURS as usize),
            header_bytes,
        }
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&mut self) {
        self.limit = 0;
    }

    /// Bytes behind all handles, but for what bodies hold, which is counted where it waits.
    pub(crate) fn weigh(&self) -> u64 {
        let one = |slot: &Slot| match slot {
            Slot::Free(_) => 0,
            Slot::Held(thing) => ENTRY + thing.weigh(),
        };
        self.slots.iter().map(one).sum()
    }

    /// Gives the guest a request, and where to leave the answer.
    ///
    /// # Errors
    /// If the guest holds too much already.
    pub(crate) fn receive(
        &mut self,
        request: IncomingRequest,
        slot: AnswerSlot,
    ) -> Result<(Resource<IncomingRequest>, Resource<ResponseOutparam>)> {
        Ok((self.push(request)?, self.push(ResponseOutparam { slot })?))
    }

    /// Keeps `kept` for the guest.
    ///
    /// # Errors
    /// If the guest holds too many already, which ends it.
    pub(super) fn push<T: Kept>(&mut self, kept: T) -> Result<Resource<T>> {
        Ok(Resource::new_own(self.push_raw(kept)?))
    }

    /// The same, where the guest's type of handle is another crate's.
    pub(super) fn push_raw<T: Kept>(&mut self, kept: T) -> Result<u32> {
        if self.held >= self.limit {
            return Err(HandleLimitReached { limit: self.limit }.into());
        }
        self.held += 1;
        let taken = Slot::Held(kept.put());
        let index = match self.free {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                if let Slot::Free(next) = std::mem::replace(slot, taken) {
                    self.free = next;
                }
                index
            }
            None => {
                self.slots.push(taken);
                // `limit` is below `OURS`.
                (self.slots.len() - 1) as u32
            }
        };
        Ok(index | OURS)
    }

    /// What the guest means by a handle.
    ///
    /// # Errors
    /// If there is no such thing: a bug of ours, since wasmtime checks the guest's handles.
    pub(super) fn get<T: Kept>(&mut self, handle: &Resource<T>) -> Result<&mut T> {
        self.get_raw(handle.rep())
    }

    pub(super) fn get_raw<T: Kept>(&mut self, rep: u32) -> Result<&mut T> {
        match self.slots.get_mut((rep & !OURS) as usize) {
            Some(Slot::Held(thing)) if is_ours(rep) => T::of(thing).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }

    /// Takes back what the guest gave or dropped.
    pub(super) fn take<T: Kept>(&mut self, handle: Resource<T>) -> Result<T> {
        self.take_raw(handle.rep())
    }

    pub(super) fn take_raw<T: Kept>(&mut self, rep: u32) -> Result<T> {
        let index = rep & !OURS;
        match self.slots.get_mut(index as usize) {
            Some(slot @ Slot::Held(_)) if is_ours(rep) => {
                let Slot::Held(thing) = std::mem::replace(slot, Slot::Free(self.free)) else {
                    return Err(unknown());
                };
                self.free = Some(index);
                self.held -= 1;
                T::out_of(thing).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

fn unknown() -> wasmtime::Error {
    format_err!("unknown handle of a wasi:http resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_and_counted() {
        let mut table = HttpTable::new(2, 0);
        let first = table.push(Options::default()).unwrap();
        let second = table.push(Options::default()).unwrap();
        assert!(table.push(Options::default()).is_err());
        let (first_rep, second_rep) = (first.rep(), second.rep());
        assert!(is_ours(first_rep) && first_rep != second_rep);
        table.take(first).unwrap();
        table.take(second).unwrap();
        let again = table.push(Options::default()).unwrap();
        assert_eq!(again.rep(), second_rep);
        assert_eq!(table.push(Options::default()).unwrap().rep(), first_rep);
        assert_eq!(table.slots.len(), 2);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut table = HttpTable::new(9, 0);
        let options = table.push(Options::default()).unwrap();
        let rep = options.rep();
        assert!(table.get_raw::<Fields>(rep).is_err());
        assert!(table.get_raw::<Options>(rep & !OURS).is_err());
        assert!(table.get_raw::<Options>(rep + 1).is_err());
        table.take(options).unwrap();
        assert!(table.take_raw::<Options>(rep).is_err());
        assert!(table.get_raw::<Options>(rep).is_err());
    }
}
