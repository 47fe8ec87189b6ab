//! `vdpa mgmtdev …` and `vdpa dev …`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use vdpa_datapath::{KernelVdpa, Linux};

use super::simulation;
use crate::args::{Common, Words};
use crate::iproute2::{self, Object, Style};

pub(super) async fn run(common: &Common, object: Object, words: &Words) -> ExitCode {
    let kernel: Arc<dyn KernelVdpa> = match simulation(common) {
        Ok(Some(simulated)) => simulated.host().kernel,
        Ok(None) => Arc::new(Linux::new(Path::new("/sys"), Path::new("/dev"))),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let style = Style { json: common.json, pretty: common.pretty };
    iproute2::run(&*kernel, object, &words.words, style).await.print(common.simulate.is_some())
}
