//! The packages in a clean Debian root: installed, used, removed, and nothing left.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{Lab, in_root};
use crate::workspace;

const LIMIT: Duration = Duration::from_mins(5);
const SCRIPT: &str = include_str!("trial.sh");
/// What the script prints at its end, so that one that stopped early is not taken for a good one.
const END: &str = "trial: nothing is left of it";

/// Tries `[deb, rpm]` in turn, in one root that is thrown away afterwards.
pub(super) async fn run(packages: &[PathBuf; 2]) -> Result<()> {
    let tar = Lab::clean_root().await?;
    let parent = workspace::target().join("dist");
    let root = tempfile::Builder::new().prefix("root-").tempdir_in(&parent)?;
    let input = tempfile::tempdir_in(&parent)?;
    for (package, name) in packages.iter().zip(["vdpa-host.deb", "vdpa-host.rpm"]) {
        fs::copy(package, input.path().join(name))
            .with_context(|| format!("cannot copy {}", package.display()))?;
    }
    fs::write(input.path().join("trial.sh"), SCRIPT)?;
    for kind in ["deb", "rpm"] {
        let mut last = String::new();
        let script = ["sh", "/in/trial.sh", kind];
        let show = |line: &str| {
            eprintln!("{line}");
            line.clone_into(&mut last);
        };
        let ran = in_root(&tar, root.path(), input.path(), &script, LIMIT, show).await;
        ran.with_context(|| format!("the {kind} package did not pass"))?;
        ensure!(last == END, "the trial of the {kind} package ended before its end");
    }
    Ok(())
}
