//! The pure part of Skep, so that what decides can be tested without what acts.
//!
//! Nothing here waits, reads a clock, opens a file or talks to a guest. The host feeds this crate
//! text, times and events; it answers with checked nouns, look-ups and actions. Reading order:
//!
//! - [`manifest`]: the text of `skep.toml` → a checked [`manifest::Manifest`], or all its mistakes
//! - [`name`], [`size`], [`duration`], [`percent`], [`spanned`], [`digest`]: the small nouns that a
//!   manifest is made of, and what names a component
//! - [`limits`], [`instances`], [`restart`], [`health`], [`core_dump`], [`grant`]: what a service may use
//!   and how it lives
//! - [`probation`], [`histogram`]: whether a new revision is as good as the one before
//! - [`cpu`], [`fair`]: how CPU time is divided
//! - [`route`]: host + path + method → service
//! - [`contract`]: what components import and export → which service calls which
//! - [`link`]: how the calls of one service to another are treated
//! - [`heard`]: what is believed of a request's head
//! - [`plan`]: what has to change so that what runs becomes what is wanted
//! - [`generation`]: what is recorded of an application, and what a start makes of the record
//! - [`change`]: the walk of a change of what serves, and every way back
//! - [`lifecycle`]: the state machine of one service
//! - [`supervision`]: the lives of all services of an application: their order and their groups
//! - [`status`]: the rows that listings show
//!
//! Architecture invariant: no tokio, no wasmtime, no clock, no I/O, no unsafe code.
#![forbid(unsafe_code)]

pub mod manifest;

pub mod digest;
pub mod duration;
pub mod histogram;
pub mod name;
pub mod percent;
pub mod size;
pub mod spanned;

pub mod core_dump;
pub mod cpu;
pub mod grant;
pub mod health;
pub mod instances;
pub mod limits;
pub mod probation;
pub mod restart;
pub mod rollout;

pub mod contract;
pub mod fair;
pub mod heard;
pub mod link;
pub mod route;
pub mod shadow;

pub mod change;
pub mod generation;
pub mod plan;

pub mod lifecycle;
pub mod pressure;
pub mod status;
pub mod supervision;
pub mod watched;
