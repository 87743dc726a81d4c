//! The table that finds the route of a request: a tree of segments per host, built once, read by
//! every request.
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::RouteSpec;
use super::host::{HOST_BYTES_MAX, HostPattern, without_port};
use super::method::{Method, MethodSet, Methods, Overlap};
use super::path::{PathPattern, Segment};

/// Routes and what they lead to. Immutable: a change of routes is another table.
#[derive(Debug, Clone)]
pub struct RouteTable<T> {
    values: Vec<T>,
    exact: HashMap<Box<str>, Tree>,
    /// By suffix, without its leading dot.
    below: HashMap<Box<str>, Tree>,
    any: Tree,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a, T> {
    /// The most specific route that serves host, path and method.
    Found(&'a T),
    /// No route serves this host and path.
    NotFound,
    /// Routes serve this host and path, but none this method.
    MethodNotAllowed { allow: Allow },
}

/// The methods that routes do serve; shown as the value of an `Allow` field (`GET, HEAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow(MethodSet);

impl Allow {
    pub fn methods(self) -> MethodSet {
        self.0
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two routes that would serve the same requests with equal right; by their place in the list that
/// the table was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConflict {
    pub first: usize,
    /// Greater than `first`.
    pub second: usize,
    /// What both serve.
    pub overlap: Overlap,
}

impl<T> RouteTable<T> {
    /// Builds the table, or names each route that conflicts with an earlier one.
    pub fn build(routes: Vec<(RouteSpec, T)>) -> Result<Self, Vec<RouteConflict>> {
        let mut table = Self {
            values: Vec::with_capacity(routes.len()),
            exact: HashMap::new(),
            below: HashMap::new(),
            any: Tree::default(),
        };
        let mut conflicts = Vec::new();
        for (index, (spec, value)) in routes.into_iter().enumerate() {
            table.values.push(value);
            let tree = match &spec.host {
                HostPattern::Any => &mut table.any,
                HostPattern::Exact(host) => table.exact.entry(host.clone()).or_default(),
                HostPattern::Below(suffix) => {
                    let suffix = suffix.trim_start_matches('.');
                    table.below.entry(suffix.into()).or_default()
                }
            };
            let group = tree.group(&spec.path);
            match group.overlap(spec.methods) {
                Some((first, overlap)) => conflicts.push(RouteConflict {
                    first,
                    second: index,
                    overlap,
                }),
                None => group.add(spec.methods, index),
            }
        }
        if conflicts.is_empty() {
            Ok(table)
        } else {
            Err(conflicts)
        }
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Finds the route of a request. `host` may have a port and any case; `path` has come through
    /// [`super::normalise`]. Allocates nothing.
    pub fn lookup(&self, host: &str, path: &str, method: &str) -> Lookup<'_, T> {
        let mut search = Search {
            method: Method::find(method),
            allow: MethodSet::EMPTY,
        };
        let found = path
            .strip_prefix('/')
            .and_then(|rest| self.find(host, rest, &mut search));
        match found {
            Some(index) => Lookup::Found(&self.values[index]),
            None if search.allow.is_empty() => Lookup::NotFound,
            None => Lookup::MethodNotAllowed {
                allow: Allow(search.allow),
            },
        }
    }

    /// From the most specific host to any host.
    fn find(&self, host: &str, path: &str, search: &mut Search) -> Option<usize> {
        if !self.exact.is_empty() || !self.below.is_empty() {
            let mut buffer = [0; HOST_BYTES_MAX];
            let host = lower_case(without_port(host), &mut buffer);
            if let Some(tree) = self.exact.get(host)
                && let Some(found) = tree.find(path, search)
            {
                return Some(found);
            }
            if !self.below.is_empty()
                && let Some(found) = self.find_below(host, path, search)
            {
                return Some(found);
            }
        }
        self.any.find(path, search)
    }

    /// Suffixes from the longest; what stands before one is at least one character.
    fn find_below(&self, host: &str, path: &str, search: &mut Search) -> Option<usize> {
        host.match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .filter_map(|(dot, _)| self.below.get(&host[dot + 1..]))
            .find_map(|tree| tree.find(path, search))
    }
}

/// The host in lower case without an allocation; a host that is too long to be one is served as a
/// host that nobody named.
fn lower_case<'b>(host: &str, buffer: &'b mut [u8; HOST_BYTES_MAX]) -> &'b str {
    let Some(lower) = buffer.get_mut(..host.len()) else {
        return "";
    };
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    // Lower-casing ASCII keeps UTF-8 intact.
    std::str::from_utf8(lower).unwrap_or_default()
}

/// What a look-up wants, and what it has met on its way.
struct Search {
    /// `None`: a method that no route can name, served only by routes for any method.
    method: Option<Method>,
    allow: MethodSet,
}

/// The routes of one host pattern, by segments.
#[derive(Debug, Clone, Default)]
struct Tree {
    literals: BTreeMap<Box<str>, Tree>,
    param: Option<Box<Tree>>,
    rest: Group,
    end: Group,
}

impl Tree {
    /// The group of the routes with this shape, made when there is none.
    fn group(&mut self, path: &PathPattern) -> &mut Group {
        let mut tree = self;
        for segment in path.segments() {
            tree = match segment {
                Segment::Literal(text) => tree.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => tree.param.get_or_insert_default(),
                Segment::Rest(_) => return &mut tree.rest,
            };
        }
        &mut tree.end
    }

    /// Tries what matches `path` (after its leading slash), the most specific first. Its depth is
    /// that of the tree, at most [`super::path::SEGMENTS_MAX`]; no branch is tried twice, so that
    /// its work is bounded by the size of the tree.
    fn find(&self, path: &str, search: &mut Search) -> Option<usize> {
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        if let Some(child) = self.literals.get(segment)
            && let Some(found) = child.find_after(after, search)
        {
            return Some(found);
        }
        if !segment.is_empty()
            && let Some(child) = &self.param
            && let Some(found) = child.find_after(after, search)
        {
            return Some(found);
        }
        self.rest.find(search)
    }

    fn find_after(&self, after: Option<&str>, search: &mut Search) -> Option<usize> {
        match after {
            Some(path) => self.find(path, search),
            None => self.end.find(search),
        }
    }
}

/// Routes of the same host and shape, told apart by their methods alone.
#[derive(Debug, Clone, Default)]
struct Group {
    any: Option<usize>,
    only: Vec<(MethodSet, usize)>,
    /// Their union, with `HEAD` where there is `GET`.
    allow: MethodSet,
}

impl Group {
    fn overlap(&self, methods: Methods) -> Option<(usize, Overlap)> {
        let with = |own: Methods, index| Some((index, own.overlap(methods)?));
        self.any
            .and_then(|index| with(Methods::Any, index))
            .or_else(|| {
                self.only
                    .iter()
                    .find_map(|(own, index)| with(Methods::Only(*own), *index))
            })
    }

    fn add(&mut self, methods: Methods, index: usize) {
        match methods {
            Methods::Any => self.any = Some(index),
            Methods::Only(methods) => {
                self.only.push((methods, index));
                self.allow = self.allow.union(methods);
                if methods.contains(Method::GET) {
                    self.allow = self.allow.with(Method::HEAD);
                }
            }
        }
    }

    fn find(&self, search: &mut Search) -> Option<usize> {
        if self.any.is_some() {
            return self.any;
        }
        let serving = |method| {
            self.only
                .iter()
                .find(|(methods, _)| methods.contains(method))
                .map(|(_, index)| *index)
        };
        let found = search.method.and_then(|method| {
            serving(method).or_else(|| {
                if method == Method::HEAD {
                    serving(Method::GET)
                } else {
                    None
                }
            })
        });
        if found.is_none() {
            search.allow = search.allow.union(self.allow);
        }
        found
    }
}

#[cfg(test)]
mod tests;
