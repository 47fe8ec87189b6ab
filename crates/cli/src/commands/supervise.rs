//! `vdpa supervise`: the process around one dpdk-vdpa.

use std::path::Path;
use std::process::ExitCode;

use vdpa_datapath::dpdk::{Limits, supervise};

/// Supervises until the program ends or SIGTERM comes; what it says goes to standard error, where the
/// journal reads it.
pub(super) async fn run(directory: &Path) -> ExitCode {
    match supervise(directory, Limits::default(), std::io::stderr()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}
