//! How a benchmark ends: what it printed and all its numbers in files, and a verdict.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::workspace;

/// Prints `text` and the verdict on `targets`, and writes both to `NAME.txt` and `numbers` to `NAME.json` in the target
/// directory's `bench`. Fails where a target is not met.
pub(super) fn end<N: Serialize>(
    name: &str,
    mut text: String,
    targets: &[(String, bool)],
    numbers: &N,
) -> Result<ExitCode> {
    for (what, met) in targets {
        let _ = writeln!(text, "{} {what}", if *met { "met     " } else { "NOT MET " });
    }
    print!("\n{text}");
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let write = |extension: &str, text: &[u8]| {
        let path = directory.join(name).with_extension(extension);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    write("txt", text.as_bytes())?;
    let path = write("json", &serde_json::to_vec_pretty(numbers)?)?;
    println!("\n{}", path.display());
    Ok(if targets.iter().all(|(_, met)| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
