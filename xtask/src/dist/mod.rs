//! `cargo xtask dist`: what people install.
//!
//! One tree is staged (`stage`), as it is to lie on a host; the package managers' own builders make a `.deb` and an
//! `.rpm` of it (`package`), so that a file is named once for both. `sbom` says what is in the program. `trial` installs,
//! uses and removes both packages in a clean Debian root. Why not cargo-deb and cargo-generate-rpm: docs/packages.md.

mod package;
mod sbom;
mod stage;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{host, process, workspace};
pub(crate) use sbom::run as sbom;

/// The profile of what people install.
pub(crate) const PROFILE: &str = "dist";

/// A build with everything optimised across crates, on two cores.
const BUILD: Duration = Duration::from_mins(40);
/// Anything else.
const MOMENT: Duration = Duration::from_mins(5);

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The profile to build with; `dev` for a quick look at the packages
    #[arg(long, default_value = PROFILE)]
    profile: String,
    /// Link the program with musl into one file that asks nothing of the host's libc; into `dist/static`
    #[arg(long = "static")]
    is_static: bool,
    /// Install, use and remove the packages in a clean Debian root, which is made for it
    #[arg(long)]
    trial: bool,
}

/// What is known of the program that is packaged.
#[derive(Debug)]
struct About {
    version: String,
    description: String,
    licence: String,
    home: String,
    /// Seconds since 1970 of the last commit: what every file is dated.
    date: u64,
    /// The newest symbol version of libc that the program asks for: `2.34`; `None` where it brings its own.
    glibc: Option<String>,
}

/// Builds the program and makes the packages.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    host::meet(host::NEEDS.iter().filter(|need| need.of == "dist")).await?;
    let target = if args.is_static { Some(musl()?) } else { None };
    let program = build(&args.profile, target).await?;
    let dist = workspace::target().join(if args.is_static { "dist/static" } else { "dist" });
    let about = About::of(&program, args.is_static).await?;
    let tree = stage::stage(&program, &about, &dist.join("tree")).await?;
    let packages = [package::deb(&tree, &about, &dist).await?, package::rpm(&tree, &about, &dist).await?];
    for package in &packages {
        let size = std::fs::metadata(package)?.len();
        println!("{} ({} KiB)", package.display(), size.div_ceil(1024));
    }
    if args.trial {
        trial::run(&packages).await?;
        println!("installed, used and removed: both");
    }
    Ok(ExitCode::SUCCESS)
}

/// What rustc calls this machine with musl for a libc.
fn musl() -> Result<&'static str> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-musl",
        "aarch64" => "aarch64-unknown-linux-musl",
        other => anyhow::bail!("no static program is made for {other}"),
    })
}

/// The program, built for this machine or for `target`.
/// Builds the program.
pub(crate) async fn build(profile: &str, target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = process::command("cargo");
    cargo.current_dir(workspace::root()).args([
        "build",
        "--locked",
        "--package",
        "vdpa",
        "--profile",
        profile,
    ]);
    if let Some(target) = target {
        // Rust's own libraries for it; there already, it downloads nothing. musl itself comes with them.
        let mut rustup = process::command("rustup");
        rustup.current_dir(workspace::root()).args(["target", "add", target]);
        process::output(rustup, MOMENT).await.with_context(|| format!("there is no Rust for {target}"))?;
        cargo.args(["--target", target]);
    }
    process::run(cargo, BUILD).await?;
    let directory = if profile == "dev" { "debug" } else { profile };
    let program = workspace::target().join(target.unwrap_or_default()).join(directory).join("vdpa");
    ensure!(program.is_file(), "cargo has built no {}", program.display());
    Ok(program)
}

impl About {
    async fn of(program: &std::path::Path, is_static: bool) -> Result<Self> {
        let metadata = sbom::metadata().await?;
        let package = metadata.package("vdpa")?;
        let mut git = process::command("git");
        git.current_dir(workspace::root()).args(["log", "-1", "--format=%ct"]);
        let date = process::output(git, MOMENT).await.context("packages are dated like the last commit")?;
        let glibc = newest_glibc(&std::fs::read(program)?);
        ensure!(glibc.is_none() == is_static, "{} has a libc of {glibc:?}", program.display());
        Ok(Self {
            version: package.version.clone(),
            description: package.description.clone().context("crates/cli/Cargo.toml has no description")?,
            licence: package.license.clone().context("crates/cli/Cargo.toml has no license")?,
            home: package.repository.clone().context("crates/cli/Cargo.toml has no repository")?,
            date: String::from_utf8_lossy(&date.stdout).trim().parse().context("git told no date")?,
            glibc,
        })
    }
}

/// The newest `GLIBC_2.34` among a program's bytes: the names of symbol versions stand there as they are.
fn newest_glibc(program: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"GLIBC_2.";
    let minors = program.windows(NAME.len()).enumerate().filter(|(_, bytes)| *bytes == NAME);
    let minor = |at: usize| {
        let digits = program[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        String::from_utf8_lossy(&digits.copied().collect::<Vec<_>>()).parse::<u32>().ok()
    };
    let newest = minors.filter_map(|(at, _)| minor(at)).max()?;
    Some(format!("2.{newest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_version_counts_as_a_number() {
        let program = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0GLIBC_PRIVATE\0";
        assert_eq!(newest_glibc(program).as_deref(), Some("2.34"));
        assert_eq!(newest_glibc(b"static"), None);
    }
}
