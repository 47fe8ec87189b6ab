//! The engine behind the `vdpa` command, and the command itself.
//!
//! `vdpa` is thin: it turns a host file into statements about the host ([`step`]), looks at which of
//! them hold ([`observe`]), makes the others true ([`enforce`]) in stages ([`plan`], [`engine`]), and
//! writes down first what was there before ([`receipt`]). Only this crate knows two layers at once, and
//! only [`report`] prints.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod args;
mod arrival;
mod before;
pub mod bench;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod enforce;
pub mod engine;
mod error;
pub mod firmware;
pub mod fit;
pub mod guard;
pub mod host;
pub mod iproute2;
pub mod lock;
pub mod naming;
pub mod observe;
mod occupants;
pub mod offload;
mod owned;
pub mod plan;
mod privilege;
pub mod receipt;
pub mod report;
pub mod service;
pub mod setup;
pub mod stats;
pub mod step;
pub mod teardown;
pub mod topology;
pub mod trace;
pub mod traffic;
pub mod until;
pub mod userspace;
pub mod view;
mod whole;

pub use error::Error;
