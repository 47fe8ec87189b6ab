//! The Python contenders: scripts beside this file, run by the system's interpreter.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Failure;

const IDL: &str = include_str!("python/idl.py");
const OVSDBAPP: &str = include_str!("python/ovsdbapp.py");

/// Whether a contender's module is installed (python3-openvswitch, python3-ovsdbapp).
pub(crate) fn has(module: &str) -> bool {
    let mut python = Command::new("/usr/bin/python3");
    let status = python.args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a script, and gives what it prints, one JSON object.
pub(crate) fn idl(arguments: &[&str], socket: &Path) -> Result<Value, Failure> {
    run(IDL, arguments, socket)
}

/// The same of ovsdbapp's.
pub(crate) fn ovsdbapp(arguments: &[&str], socket: &Path) -> Result<Value, Failure> {
    run(OVSDBAPP, arguments, socket)
}

fn run(script: &str, arguments: &[&str], socket: &Path) -> Result<Value, Failure> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]).arg(format!("unix:{}", socket.display())).args(arguments);
    let output = python.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("a script ended with {}: {arguments:?}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
