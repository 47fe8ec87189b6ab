//! Finding and building test targets, and listing the tests in them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::reboots;
use crate::{process, workspace};

const BUILD_LIMIT: Duration = Duration::from_mins(30);

/// What a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Nothing but itself: unit tests, mocks, the simulated host
    Mock,
    /// Private daemons and the running kernel
    Daemon,
    /// A kernel and cards in a virtual machine
    Lab,
    /// A real card
    Card,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mock => "mock",
            Self::Daemon => "daemon",
            Self::Lab => "lab",
            Self::Card => "card",
        })
    }
}

/// One test target: an executable with tests in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suite {
    /// The crate it is in.
    pub(crate) package: String,
    /// Its name in that crate.
    pub(crate) target: String,
    /// The crate's directory, in which its tests expect to run.
    pub(crate) directory: PathBuf,
    /// What to run.
    pub(crate) executable: PathBuf,
    /// Its tests, in their order.
    pub(crate) tests: Vec<String>,
}

impl Suite {
    /// `package::target`.
    pub(crate) fn name(&self) -> String {
        format!("{}::{}", self.package, self.target)
    }
}

/// The test targets of a tier.
#[derive(Debug)]
pub(crate) struct Suites {
    /// Their tier.
    pub(crate) tier: Tier,
    suites: Vec<Suite>,
}

impl Suites {
    /// These test targets.
    pub(crate) fn of(tier: Tier, suites: Vec<Suite>) -> Self {
        Self { tier, suites }
    }

    /// Builds a tier's test targets.
    pub(crate) async fn build(tier: Tier, release: bool) -> Result<Self> {
        let targets = metadata().await?;
        let targets = targets.iter().filter(|target| target.tier == tier).collect::<Vec<_>>();
        if targets.is_empty() {
            return Ok(Self::of(tier, Vec::new()));
        }
        eprintln!("building the {tier} tier");
        let mut cargo = process::command("cargo");
        cargo.current_dir(workspace::root()).args(["test", "--no-run", "--message-format=json"]);
        if tier == Tier::Mock {
            cargo.args(["--workspace", "--features", "mock"]);
        } else {
            cargo.args(["--features", &features(&targets)]);
            for target in &targets {
                cargo.args(["--package", &target.package, "--test", &target.name]);
            }
        }
        let executables = executables(&build(cargo, release).await?);
        let mut suites = Vec::new();
        for target in targets {
            let built = executables.iter().find(|built| built.is_for(target));
            // A target without tests of its own is built for nobody.
            let Some(built) = built else { continue };
            suites.push(target.suite(built).await?);
        }
        suites.sort_by_key(Suite::name);
        Ok(Self::of(tier, suites))
    }

    /// Keeps the tests that have a text in their full name.
    pub(crate) fn keep(&mut self, filter: &str) {
        for suite in &mut self.suites {
            let name = suite.name();
            let named = |test: &str| format!("{name}::{test}").contains(filter);
            suite
                .tests
                .retain(|test| named(test) || reboots::other_half(test).is_some_and(|half| named(&half)));
        }
        self.suites.retain(|suite| !suite.tests.is_empty());
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Suite> {
        self.suites.iter()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.suites.is_empty()
    }
}

/// Builds the `vdpa` program.
pub(crate) async fn program(release: bool) -> Result<PathBuf> {
    let mut cargo = process::command("cargo");
    cargo.current_dir(workspace::root()).args([
        "build",
        "--package",
        "vdpa",
        "--bin",
        "vdpa",
        "--message-format=json",
    ]);
    let messages = build(cargo, release).await?;
    let program = executables(&messages).into_iter().find(|built| !built.test && built.target == "vdpa");
    Ok(program.context("cargo built no vdpa")?.path)
}

async fn build(mut cargo: tokio::process::Command, release: bool) -> Result<String> {
    if release {
        cargo.arg("--release");
    }
    let output = process::output(cargo, BUILD_LIMIT).await?;
    String::from_utf8(output.stdout).context("cargo does not speak UTF-8")
}

/// The features that the targets of a tier are built with, as cargo takes them.
fn features(targets: &[&Target]) -> String {
    let features = targets
        .iter()
        .flat_map(|target| target.features.iter().map(|feature| format!("{}/{feature}", target.package)));
    let mut features: Vec<String> = features.collect();
    features.sort_unstable();
    features.dedup();
    features.join(",")
}

/// A target that may have tests, as the crates declare it.
struct Target {
    package: String,
    package_id: String,
    name: String,
    directory: PathBuf,
    features: Vec<String>,
    tier: Tier,
}

impl Target {
    async fn suite(&self, built: &Executable) -> Result<Suite> {
        let mut list = process::command(&built.path.to_string_lossy());
        list.args(["--list", "--format", "terse"]).current_dir(&self.directory);
        let list = process::output(list, Duration::from_mins(1)).await?.stdout;
        Ok(Suite {
            package: self.package.clone(),
            target: self.name.clone(),
            directory: self.directory.clone(),
            executable: built.path.clone(),
            tests: tests(&String::from_utf8_lossy(&list)),
        })
    }
}

/// The names in what a test executable lists.
fn tests(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    test: bool,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

async fn metadata() -> Result<Vec<Target>> {
    let mut cargo = process::command("cargo");
    cargo.current_dir(workspace::root()).args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = process::output(cargo, Duration::from_mins(1)).await?.stdout;
    let metadata: Metadata = serde_json::from_slice(&output).context("cannot read cargo's metadata")?;
    Ok(targets(metadata))
}

fn targets(metadata: Metadata) -> Vec<Target> {
    let mut found = Vec::new();
    for package in metadata.packages {
        let directory = package.manifest_path.parent().map(PathBuf::from).unwrap_or_default();
        for target in package.targets.into_iter().filter(|target| target.test) {
            found.push(Target {
                package: package.name.clone(),
                package_id: package.id.clone(),
                name: target.name,
                directory: directory.clone(),
                tier: tier(&target.required_features),
                features: target.required_features,
            });
        }
    }
    found
}

fn tier(features: &[String]) -> Tier {
    let requires = |name: &str| features.iter().any(|feature| feature == name);
    if requires("card") {
        Tier::Card
    } else if requires("lab") {
        Tier::Lab
    } else if requires("daemon") {
        Tier::Daemon
    } else {
        Tier::Mock
    }
}

/// What cargo says that it built.
struct Executable {
    package_id: String,
    target: String,
    test: bool,
    path: PathBuf,
}

impl Executable {
    fn is_for(&self, target: &Target) -> bool {
        self.test && self.package_id == target.package_id && self.target == target.name
    }
}

fn executables(messages: &str) -> Vec<Executable> {
    #[derive(Deserialize)]
    struct Message {
        package_id: Option<String>,
        target: Option<Named>,
        profile: Option<Profile>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let built = messages.filter_map(|message| {
        Some(Executable {
            package_id: message.package_id?,
            target: message.target?.name,
            test: message.profile?.test,
            path: message.executable?,
        })
    });
    built.collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_target_is_of_the_tier_that_its_features_name() {
        let tier_of =
            |features: &[&str]| tier(&features.iter().map(|&feature| feature.to_owned()).collect::<Vec<_>>());
        assert_eq!(tier_of(&[]), Tier::Mock);
        assert_eq!(tier_of(&["mock"]), Tier::Mock);
        assert_eq!(tier_of(&["daemon", "mock"]), Tier::Daemon);
        assert_eq!(tier_of(&["lab", "mock"]), Tier::Lab);
        assert_eq!(tier_of(&["card"]), Tier::Card);
    }

    #[test]
    fn benchmarks_in_a_list_are_no_tests() {
        assert_eq!(tests("a::b: test\nc: benchmark\n\n1 test, 1 benchmark\n"), ["a::b"]);
    }

    #[test]
    fn the_executable_of_a_test_is_told_from_the_program_of_its_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","package_id":"p","target":{"name":"vdpa"},"profile":{"test":false},"executable":"/t/vdpa"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"p","target":{"name":"vdpa"},"profile":{"test":true},"executable":"/t/vdpa-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"p","target":{"name":"lib"},"profile":{"test":false},"executable":null}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let built = executables(messages);
        assert_eq!(built.len(), 2);
        let test = built.iter().find(|built| built.test).unwrap();
        assert_eq!(test.path, PathBuf::from("/t/vdpa-1"));
    }
}
