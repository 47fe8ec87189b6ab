//! The virtual hardware lab: a throw-away VM with a real kernel, systemd, Open vSwitch and pretend cards.
//!
//! `recipe` says what the lab is made of, `build` makes it with the help of `sandbox` and keeps it in a `cache`, `vm`
//! boots it, `job` runs commands in it, `stalls` has it stand still, and `instance` keeps one running between commands. What is inside the guest is
//! in the workspace's `lab` directory, with its own README.

mod build;
mod cache;
mod commands;
mod instance;
mod job;
mod recipe;
mod sandbox;
mod stalls;
mod vm;

pub(crate) use build::Lab;
pub(crate) use commands::{Command, run};
pub(crate) use instance::Instance;
pub(crate) use job::{Job, JobEnd, Share};
pub(crate) use sandbox::{check, in_root, is_root};
pub(crate) use stalls::Stalls;
pub(crate) use vm::{CARDS, Card, Clock, Life, Vm};
