//! The datapaths of the simulated machine: [`Machine`](vdpa_hw::mock::Machine) implements both traits.
//!
//! Its state is in `vdpa_hw::mock`; the rules are here, each with its evidence.

mod dpdk;
mod kernel;

use std::time::Duration;

use vdpa_hw::mock::Machine;

/// Lets simulated time pass.
async fn pass(machine: &Machine, time: Duration) {
    machine.wait(time, |_| None::<()>).await;
}
