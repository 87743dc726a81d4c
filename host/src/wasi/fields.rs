//! `fields`: headers and trailers, as a guest reads and builds them.
//!
//! A guest's own are bounded in bytes, which counts what a map needs beside the text, and hold no
//! field that [`is_forbidden`]. Those of a message are shared with it and cannot be changed.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, Entry, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmStr};
use wasmtime::{Result, bail};
use wasmtime_wasi_http::p2::bindings::http::types::HeaderError;

use super::Cx;
use crate::capability::is_forbidden;
use crate::instance::GuestState;

/// A map that becomes shared when a guest first asks for it.
#[derive(Clone)]
pub(super) enum Headers {
    Own(HeaderMap),
    Shared(Arc<HeaderMap>),
}

impl Headers {
    pub(super) fn map(&self) -> &HeaderMap {
        match self {
            Headers::Own(map) => map,
            Headers::Shared(map) => map,
        }
    }

    pub(super) fn into_map(self) -> HeaderMap {
        match self {
            Headers::Own(map) => map,
            Headers::Shared(map) => Arc::unwrap_or_clone(map),
        }
    }

    fn share(&mut self) -> Arc<HeaderMap> {
        if let Headers::Own(map) = self {
            *self = Headers::Shared(Arc::new(std::mem::take(map)));
        }
        match self {
            Headers::Shared(map) => map.clone(),
            Headers::Own(_) => Arc::default(),
        }
    }

    fn own(&mut self) -> &mut HeaderMap {
        if let Headers::Shared(map) = self {
            *self = Headers::Own(Arc::unwrap_or_clone(std::mem::take(map)));
        }
        match self {
            Headers::Own(map) => map,
            // Just made its own.
            Headers::Shared(map) => Arc::make_mut(map),
        }
    }

    /// As a child of the message that has them.
    pub(super) fn view(&mut self) -> Fields {
        Fields {
            headers: Headers::Shared(self.share()),
            state: State::Fixed,
        }
    }

    /// What arrived, without what guests may not see.
    pub(super) fn received(mut map: HeaderMap) -> Headers {
        remove_forbidden(&mut map);
        Headers::Own(map)
    }
}

fn remove_forbidden(map: &mut HeaderMap) {
    while let Some(name) = map.keys().find(|name| is_forbidden(name)) {
        let name = name.clone();
        map.remove(name);
    }
}

/// The concrete type behind `fields`.
pub(crate) struct Fields {
    headers: Headers,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// They are a message's.
    Fixed,
    /// The guest builds them: bytes so far.
    Open { size: usize },
}

/// Why fields could not be changed.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// The guest is told.
    Told(Reason),
    /// The guest is ended.
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Syntax,
    Forbidden,
    Immutable,
}

const SYNTAX: Refusal = Refusal::Told(Reason::Syntax);

impl Refusal {
    fn answer<T>(self) -> Result<(Result<T, HeaderError>,)> {
        match self {
            Refusal::Told(Reason::Syntax) => Ok((Err(HeaderError::InvalidSyntax),)),
            Refusal::Told(Reason::Forbidden) => Ok((Err(HeaderError::Forbidden),)),
            Refusal::Told(Reason::Immutable) => Ok((Err(HeaderError::Immutable),)),
            Refusal::TooLarge => {
                bail!("the guest's fields are larger than `limits.headers` allows, or too many")
            }
        }
    }
}

impl From<http::header::MaxSizeReached> for Refusal {
    fn from(_: http::header::MaxSizeReached) -> Refusal {
        Refusal::TooLarge
    }
}

impl From<http::header::InvalidHeaderName> for Refusal {
    fn from(_: http::header::InvalidHeaderName) -> Refusal {
        SYNTAX
    }
}

impl Fields {
    pub(super) fn map(&self) -> &HeaderMap {
        self.headers.map()
    }

    fn new() -> Fields {
        Fields::with_room_for(2)
    }

    /// Of many fields, the rest is allocated when it comes.
    fn with_room_for(fields: usize) -> Fields {
        Fields {
            headers: Headers::Own(HeaderMap::with_capacity(fields.min(16) + ADDED)),
            state: State::Open { size: 0 },
        }
    }

    /// Trailers that arrived.
    pub(super) fn received(map: HeaderMap) -> Fields {
        Fields {
            headers: Headers::received(map),
            state: State::Fixed,
        }
    }

    pub(super) fn into_headers(self) -> Headers {
        self.headers
    }

    /// A copy that can be changed.
    fn copy(&mut self) -> Fields {
        let shared = self.headers.share();
        let names: usize = shared.keys().map(name_size).sum();
        let values: usize = shared.values().map(value_size).sum();
        Fields {
            headers: Headers::Shared(shared),
            state: State::Open {
                size: names + values,
            },
        }
    }

    fn open(&mut self) -> Result<(&mut HeaderMap, &mut usize), Refusal> {
        match &mut self.state {
            State::Fixed => Err(Refusal::Told(Reason::Immutable)),
            State::Open { size } => Ok((self.headers.own(), size)),
        }
    }

    fn append(&mut self, limit: usize, name: &str, value: Vec<u8>) -> Result<(), Refusal> {
        let name = allowed(name)?;
        let value = checked(&name, value)?;
        let single = name == CONTENT_LENGTH;
        let Ok((map, size)) = self.open() else {
            // Two lengths are wrong before anything else is.
            return match single && self.headers.map().contains_key(CONTENT_LENGTH) {
                true => Err(SYNTAX),
                false => Err(Refusal::Told(Reason::Immutable)),
            };
        };
        match map.try_entry(name)? {
            Entry::Vacant(entry) => {
                let new = *size + name_size(entry.key()) + value_size(&value);
                grow(size, new, limit)?;
                entry.try_insert(value)?;
            }
            // Parties may disagree on which of two lengths counts.
            Entry::Occupied(_) if single => return Err(SYNTAX),
            Entry::Occupied(mut entry) => {
                let new = *size + value_size(&value);
                grow(size, new, limit)?;
                entry.append(value);
            }
        }
        Ok(())
    }

    fn set(&mut self, limit: usize, name: &str, values: Vec<Vec<u8>>) -> Result<(), Refusal> {
        let name = allowed(name)?;
        let (map, size) = self.open()?;
        if name == CONTENT_LENGTH && values.len() > 1 {
            return Err(SYNTAX);
        }
        let values = values
            .into_iter()
            .map(|value| checked(&name, value))
            .collect::<Result<Vec<_>, _>>()?;
        let before: usize = map.get_all(&name).iter().map(value_size).sum();
        let was_there = map.contains_key(&name);
        let own_size = name_size(&name);
        if values.is_empty() {
            if was_there {
                map.remove(&name);
                *size -= before + own_size;
            }
            return Ok(());
        }
        let after: usize = values.iter().map(value_size).sum();
        let own_size = if was_there { 0 } else { own_size };
        grow(size, *size - before + own_size + after, limit)?;
        let mut values = values.into_iter();
        if let Some(first) = values.next() {
            map.try_insert(name.clone(), first)?;
        }
        for value in values {
            map.try_append(name.clone(), value)?;
        }
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        let name = allowed(name)?;
        let (map, size) = self.open()?;
        if let Entry::Occupied(entry) = map.try_entry(name)? {
            let (name, values) = entry.remove_entry_mult();
            *size -= name_size(&name) + values.map(|value| value_size(&value)).sum::<usize>();
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Vec<Vec<u8>> {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Vec::new();
        };
        let values = self.headers.map().get_all(name);
        values
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect()
    }

    fn has(&self, name: &str) -> bool {
        HeaderName::from_bytes(name.as_bytes())
            .is_ok_and(|name| self.headers.map().contains_key(name))
    }

    fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let entry = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        self.headers.map().iter().map(entry).collect()
    }
}

fn allowed(name: &str) -> Result<HeaderName, Refusal> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SYNTAX)?;
    if is_forbidden(&name) {
        return Err(Refusal::Told(Reason::Forbidden));
    }
    Ok(name)
}

/// A value as it may go to the wire; a length in its one spelling.
fn checked(name: &HeaderName, value: Vec<u8>) -> Result<HeaderValue, Refusal> {
    if *name != CONTENT_LENGTH {
        return HeaderValue::try_from(value).map_err(|_| SYNTAX);
    }
    let digits = str::from_utf8(&value).ok();
    let length = digits.and_then(length).ok_or(SYNTAX)?;
    Ok(HeaderValue::from(length))
}

/// `1*DIGIT` (RFC 9110, section 8.6); `parse` alone would take a sign.
fn length(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The length that headers declare.
///
/// # Errors
/// If they declare none that can be kept.
pub(super) fn declared(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(());
    }
    let length = first.to_str().ok().and_then(length);
    length.map(Some).ok_or(())
}

// The text, and the map's own: an empty value has a price too.

fn name_size(name: &HeaderName) -> usize {
    name.as_str().len() + size_of::<HeaderName>()
}

fn value_size(value: &HeaderValue) -> usize {
    value.len() + size_of::<HeaderValue>()
}

fn grow(size: &mut usize, new: usize, limit: usize) -> Result<(), Refusal> {
    if new > limit {
        return Err(Refusal::TooLarge);
    }
    *size = new;
    Ok(())
}

/// Fields that the gateway adds to an answer.
const ADDED: usize = 4;

/// Names are read where they lie; most are known ones and become a number.
type Entries = Vec<(WasmStr, Vec<u8>)>;

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<Fields>();
    types.resource("fields", resource, |mut cx: Cx<'_>, rep| {
        cx.data_mut().http_table().take_raw::<Fields>(rep)?;
        Ok(())
    })?;
    types.func_wrap("[constructor]fields", |mut cx: Cx<'_>, (): ()| {
        Ok((cx.data_mut().http_table().push(Fields::new())?,))
    })?;
    types.func_wrap(
        "[static]fields.from-list",
        |mut cx: Cx<'_>, (entries,): (Entries,)| {
            let limit = cx.data_mut().http_table().header_bytes;
            let mut fields = Fields::with_room_for(entries.len());
            for (name, value) in entries {
                let name = name.to_str(&cx)?;
                if let Err(refusal) = fields.append(limit, &name, value) {
                    return refusal.answer();
                }
            }
            Ok((Ok(cx.data_mut().http_table().push(fields)?),))
        },
    )?;
    types.func_wrap(
        "[method]fields.get",
        |mut cx: Cx<'_>, (this, name): (Resource<Fields>, String)| {
            Ok((cx.data_mut().http_table().get(&this)?.get(&name),))
        },
    )?;
    types.func_wrap(
        "[method]fields.has",
        |mut cx: Cx<'_>, (this, name): (Resource<Fields>, String)| {
            Ok((cx.data_mut().http_table().get(&this)?.has(&name),))
        },
    )?;
    types.func_wrap(
        "[method]fields.entries",
        |mut cx: Cx<'_>, (this,): (Resource<Fields>,)| {
            Ok((cx.data_mut().http_table().get(&this)?.entries(),))
        },
    )?;
    types.func_wrap(
        "[method]fields.clone",
        |mut cx: Cx<'_>, (this,): (Resource<Fields>,)| {
            let table = cx.data_mut().http_table();
            let copy = table.get(&this)?.copy();
            Ok((table.push(copy)?,))
        },
    )?;
    link_changes(types)
}

fn link_changes(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let answer = |changed: Result<(), Refusal>| match changed {
        Ok(()) => Ok((Ok(()),)),
        Err(refusal) => refusal.answer(),
    };
    types.func_wrap(
        "[method]fields.set",
        move |mut cx: Cx<'_>, (this, name, values): (Resource<Fields>, String, Vec<Vec<u8>>)| {
            let table = cx.data_mut().http_table();
            let limit = table.header_bytes;
            answer(table.get(&this)?.set(limit, &name, values))
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        move |mut cx: Cx<'_>, (this, name, value): (Resource<Fields>, String, Vec<u8>)| {
            let table = cx.data_mut().http_table();
            let limit = table.header_bytes;
            answer(table.get(&this)?.append(limit, &name, value))
        },
    )?;
    types.func_wrap(
        "[method]fields.delete",
        move |mut cx: Cx<'_>, (this, name): (Resource<Fields>, String)| {
            answer(cx.data_mut().http_table().get(&this)?.delete(&name))
        },
    )
}

#[cfg(test)]
mod tests;
