//! The program that is measured.

use std::path::PathBuf;

use anyhow::Result;

use crate::dist;

/// Which program is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Program {
    /// Measure this program instead of the one that packages hold, which is built first
    #[arg(long = "program", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Program {
    /// Where it is.
    pub(crate) async fn ready(&self) -> Result<PathBuf> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => dist::build(dist::PROFILE, None).await,
        }
    }
}
