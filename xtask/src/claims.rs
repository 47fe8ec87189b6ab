//! What THREATS.md says of the sources as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

/// Every Rust file below a directory, with its text.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace::root().join("crates")).unwrap();
    let crates: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(crates.len() > 5, "{crates:?}");
    crates
}

/// What of a file is in the program: not its tests.
fn product<'a>(path: &Path, text: &'a str) -> &'a str {
    let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
    if is_test { "" } else { text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text) }
}

#[test]
fn no_shell_is_started_anywhere() {
    let shells = ["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"/bin/bash\"", "\"/usr/bin/env\"", "\"system\""];
    for (path, text) in crates().iter().flat_map(|directory| sources(&directory.join("src"))) {
        for (number, line) in product(&path, &text).lines().enumerate() {
            let starts = line.contains("Command::new") || line.contains(".arg(") || line.contains(".args(");
            assert!(
                !(starts && shells.iter().any(|shell| line.contains(shell))),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn unsafe_is_denied_everywhere() {
    let root = fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"deny\""), "the workspace does not deny it");
    for directory in crates() {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", directory.display());
        for (path, text) in sources(&directory) {
            assert!(!text.contains("(unsafe_code"), "{} lets it in", path.display());
        }
    }
}

#[test]
fn every_test_that_threats_names_is_there() {
    let page = fs::read_to_string(workspace::root().join("THREATS.md")).unwrap();
    let mut functions = String::new();
    for directory in crates().into_iter().chain([workspace::root().join("xtask")]) {
        for (_, text) in sources(&directory) {
            functions.extend(
                text.lines().filter(|line| line.contains("fn ")).flat_map(|line| [line.trim(), "\n"]),
            );
        }
    }
    let named: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.matches('_').count() >= 3 && word.chars().all(|c| c.is_ascii_lowercase() || "_…".contains(c))
        })
        .collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        // `…` stands for the rest of a long name.
        let stem = name.trim_end_matches('…').trim_end_matches('_');
        assert!(
            functions.contains(&format!("fn {stem}")),
            "THREATS.md names the test {name}, and there is none"
        );
    }
}
