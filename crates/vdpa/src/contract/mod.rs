//! What every implementation of this layer's traits does: run on the simulated machine by the unit
//! tests, on the real program and the real kernel by `cargo xtask hw-test`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic is what a contract is for"
)]

pub mod dpdk;
pub mod kernel;
