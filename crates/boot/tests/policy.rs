//! The SELinux module through the real compiler, on as much of a base policy as it refers to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles a module, and gives what secilc said and where it wrote the labels.
fn compile(source: &str) -> (Output, PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("vdpa.cil"), source).unwrap();
    let mut secilc = Command::new("secilc");
    secilc.arg("-o").arg(at("policy")).arg("-f").arg(at("labels"));
    let output = secilc.arg(here().join("tests/policy/base.cil")).arg(at("vdpa.cil")).output();
    (output.expect("secilc runs: package secilc"), at("labels"), directory)
}

fn module() -> String {
    std::fs::read_to_string(here().join("selinux/vdpa.cil")).unwrap()
}

#[test]
fn the_module_compiles_and_labels_the_sockets_directories() {
    let (output, labels, _directory) = compile(&module());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let labels = std::fs::read_to_string(labels).unwrap();
    for run in ["/run", "/var/run"] {
        let line = format!("{run}/vdpa/[^/]+/vhost(/.*)?\tsystem_u:object_r:qemu_var_run_t:s0");
        assert!(labels.lines().any(|found| found == line), "{labels}");
    }
}

#[test]
fn a_rule_about_what_no_policy_knows_is_refused() {
    for (right, wrong) in
        [("qemu_var_run_t", "qemu_run_t"), ("unix_stream_socket", "unix_socket"), ("connectto", "connect_to")]
    {
        let text = module();
        assert!(text.contains(right), "{right}");
        let (output, ..) = compile(&text.replace(right, wrong));
        assert!(!output.status.success(), "{wrong} was taken");
    }
}

/// Who reads a rule is to know why it is there: each statement stands below a comment.
#[test]
fn every_rule_has_its_reason() {
    let text = module();
    let mut explained = false;
    for line in text.lines() {
        match line {
            "" => explained = false,
            line if line.starts_with(';') => explained = true,
            line => assert!(explained, "without a reason: {line}"),
        }
    }
}
