//! What every implementation of this layer's traits does: run on the simulated machine by the unit
//! tests, on the real program and the real kernel by `cargo xtask hw-test`.

pub mod dpdk;
pub mod kernel;
