//! What is in the program: a bill of materials in `CycloneDX`'s JSON, from cargo's own metadata.
//!
//! The libraries are those that cargo links into `vdpa` as it is locked; those of tests and of builds (`build.rs`, derive
//! macros) are not listed. `cargo tree` says which: to `cargo metadata`, what a test wants of a crate is wanted by all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MOMENT;
use crate::{process, workspace};

/// Prints the bill.
pub(crate) async fn run() -> Result<ExitCode> {
    let version = metadata().await?.package("vdpa")?.version.clone();
    println!("{}", serde_json::to_string_pretty(&of_program(&version).await?)?);
    Ok(ExitCode::SUCCESS)
}

/// What `cargo metadata` says, as far as it is of interest.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    id: String,
    name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    /// None: of this workspace.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
}

impl Metadata {
    pub(super) fn package(&self, name: &str) -> Result<&Package> {
        let found = self.packages.iter().find(|package| package.name == name && package.source.is_none());
        found.with_context(|| format!("the workspace has no package {name}"))
    }
}

/// The workspace as it is locked, for this machine's kind.
pub(super) async fn metadata() -> Result<Metadata> {
    let target = target();
    let mut cargo = process::command("cargo");
    cargo.current_dir(workspace::root()).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        &target,
    ]);
    let output = process::output(cargo, MOMENT).await?;
    serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` printed")
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// What is linked into the program, itself included: names with versions.
async fn linked() -> Result<BTreeSet<(String, String)>> {
    let mut cargo = process::command("cargo");
    cargo
        .current_dir(workspace::root())
        .args(["tree", "--package", "vdpa", "--locked", "--target", &target()])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let output = process::output(cargo, MOMENT).await?;
    // `serde v1.0.228`, and of this workspace `vdpa-hw v0.1.0 (/its/directory)`.
    let package = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(package).collect())
}

/// The bill of the program: <https://cyclonedx.org/docs/1.5/json/>.
pub(super) async fn of_program(version: &str) -> Result<Value> {
    Ok(bill(&metadata().await?, &linked().await?, version))
}

fn bill(metadata: &Metadata, linked: &BTreeSet<(String, String)>, version: &str) -> Value {
    let is_linked = |package: &&Package| linked.contains(&(package.name.clone(), package.version.clone()));
    let mut packages: Vec<&Package> = metadata.packages.iter().filter(is_linked).collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let reference = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);
    let references: BTreeMap<&str, String> =
        packages.iter().map(|package| (package.id.as_str(), reference(package))).collect();
    let components: Vec<Value> = packages
        .iter()
        .filter(|package| package.name != "vdpa")
        .map(|package| {
            json!({
                "type": "library",
                "bom-ref": reference(package),
                "name": package.name,
                "version": package.version,
                "purl": reference(package),
                "licenses": package.license.iter().map(|licence| json!({ "expression": licence.replace('/', " OR ") })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let dependencies: Vec<Value> = metadata
        .resolve
        .nodes
        .iter()
        .filter_map(|node| {
            let on: BTreeSet<&String> =
                node.deps.iter().filter_map(|dependency| references.get(dependency.pkg.as_str())).collect();
            Some(json!({ "ref": references.get(node.id.as_str())?, "dependsOn": on }))
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": format!("pkg:cargo/vdpa@{version}"),
            "name": "vdpa",
            "version": version,
        } },
        "components": components,
        "dependencies": dependencies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bill_lists_what_is_linked_and_nothing_of_tests_or_builds() {
        let bill = of_program("0.1.0").await.unwrap();
        let components = bill["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        assert!(has("tokio") && has("vdpa-hw") && has("serde_json"), "{components:#?}");
        for absent in ["proptest", "tempfile", "syn", "thiserror-impl", "xtask", "vdpa"] {
            assert!(!has(absent), "{absent} is in the bill");
        }
        for component in components {
            assert!(!component["licenses"].as_array().unwrap().is_empty(), "{component}");
        }
        let refs: BTreeSet<_> = components.iter().map(|component| component["bom-ref"].to_string()).collect();
        assert_eq!(refs.len(), components.len(), "a reference stands twice");
    }
}
