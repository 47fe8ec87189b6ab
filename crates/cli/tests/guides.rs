//! What the guides in docs/ show is so.

use std::path::{Path, PathBuf};

use vdpa_cli::config;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn every_example_host_file_is_one() {
    let examples = std::fs::read_dir(docs().join("examples")).unwrap();
    let paths: Vec<PathBuf> = examples.map(|entry| entry.unwrap().path()).collect();
    assert!(paths.len() >= 2, "{paths:?}");
    for path in paths {
        let host = config::read(&path).unwrap_or_else(|mistake| panic!("{}: {mistake}", path.display()));
        assert!(!host.nics.is_empty(), "{}", path.display());
    }
}

#[test]
fn the_document_that_the_platform_guide_shows_has_every_member() {
    let guide = std::fs::read_to_string(docs().join("platform.md")).unwrap();
    let shown = guide.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let schema = std::fs::read_to_string(docs().join("outcome.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let members: Vec<&String> = shown.as_object().unwrap().keys().collect();
    let promised: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members, promised);
}
