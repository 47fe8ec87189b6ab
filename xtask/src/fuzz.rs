//! `cargo xtask fuzz`: lets libFuzzer loose on what comes from outside and is taken apart here.
//!
//! The targets are in `fuzz/`, which is a workspace of its own: cargo-fuzz builds it with a nightly compiler and a
//! sanitizer, and what it finds on the way stays there.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{process, workspace};

/// What building a target may take, beyond the time that it runs.
const BUILD: Duration = Duration::from_mins(20);
/// Seconds after which one input counts as a hang.
const HANG: u32 = 10;

/// What to fuzz, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes for each target
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// Only this target; may be given more than once
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
}

/// Fuzzes the targets in turn; fails if one of them found something.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let all = targets()?;
    if let Some(unknown) = args.target.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target `{unknown}`; there are {}", all.join(", "));
    }
    has_tools().await?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| args.target.is_empty() || args.target.contains(name)).collect();
    let mut failed = Vec::new();
    for name in &chosen {
        eprintln!("fuzzing {name} for {} min", args.minutes);
        if !fuzz(name, args.minutes).await? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        println!("{} for {} min each, nothing found", chosen.len(), args.minutes);
        return Ok(ExitCode::SUCCESS);
    }
    println!("found something in {}: look above, and into fuzz/artifacts", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Whether the target ran its time without finding anything.
async fn fuzz(target: &str, minutes: u64) -> Result<bool> {
    // libFuzzer writes what it learns into the first directory, and only reads the others.
    let corpus = directory().join("corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let seeds = directory().join("seeds").join(target);
    ensure!(seeds.is_dir(), "{} has no seeds: put some into {}", target, seeds.display());

    let mut cargo = process::command("cargo");
    cargo
        .current_dir(workspace::root())
        .args(["+nightly", "fuzz", "run", target])
        .args([&corpus, &seeds])
        .arg("--")
        .arg(format!("-max_total_time={}", minutes * 60))
        .arg(format!("-timeout={HANG}"))
        .args(["-print_final_stats=1", "-verbosity=0"]);
    Ok(process::status(cargo, Duration::from_secs(minutes * 60) + BUILD).await?.success())
}

/// The targets, by name.
fn targets() -> Result<Vec<String>> {
    let directory = directory().join("fuzz_targets");
    let files =
        std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    ensure!(!names.is_empty(), "there is no fuzz target in {}", directory.display());
    Ok(names)
}

/// cargo-fuzz and a nightly compiler are not everybody's.
async fn has_tools() -> Result<()> {
    let answers = async |arguments: &[&str]| {
        let mut cargo = process::command("cargo");
        cargo.args(arguments);
        process::output(cargo, Duration::from_mins(1)).await.is_ok()
    };
    ensure!(
        answers(&["+nightly", "--version"]).await,
        "fuzzing needs a nightly compiler: `rustup toolchain install nightly`"
    );
    ensure!(
        answers(&["+nightly", "fuzz", "--version"]).await,
        "fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked`"
    );
    Ok(())
}

fn directory() -> PathBuf {
    workspace::root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_its_place_in_the_manifest() {
        let manifest = std::fs::read_to_string(directory().join("Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            let seeds = directory().join("seeds").join(&target);
            assert!(std::fs::read_dir(&seeds).is_ok_and(|mut files| files.next().is_some()), "{target}");
            assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
        }
    }
}
