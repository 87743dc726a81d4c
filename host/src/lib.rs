//! Skep: one process runs an application of isolated WebAssembly services.
//!
//! A request walks `listener` → `gateway` → `service` → `instance`; a deploy walks `deploy` →
//! `artifact` → `engine` → `service`. ARCHITECTURE.md tells the whole story.

#[macro_use]
pub mod failpoint;

pub mod host;

pub mod control;
pub mod core_dump;
pub mod crash;
pub mod operator;
pub mod usage;
mod wave;
mod whole;

pub mod takeover;

pub mod listener;

pub mod gateway;
pub mod generation;
pub mod lag;
pub mod sticky;

pub mod service;

mod link;

pub mod instance;

pub mod deploy;

pub mod supervisor;

pub mod probe;

pub mod artifact;
pub mod componentize;
mod durable;
pub mod journal;
pub mod language;
mod private_socket;

pub mod capability;
pub mod copier;
pub mod outgoing;
mod wasi;

pub mod cli;
pub mod engine;
pub mod memory;
pub mod scheduler;

pub mod log;
pub mod task;
pub mod trace;
