//! `vdpa completions` and `vdpa man`, held to the programs that read them.

mod common;

use std::process::Command;

use common::command::{run, vdpa};

#[test]
fn bash_takes_the_completions_and_completes_a_command() {
    let script = run(&mut vdpa(&["completions", "bash"])).exits(0).out;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vdpa.bash");
    std::fs::write(&path, script).unwrap();
    let ask =
        "source \"$0\"; COMP_WORDS=(vdpa tear); COMP_CWORD=1; _vdpa vdpa tear vdpa; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash").args(["--norc", "-c", ask]).arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "teardown", "{completed:?}");
    for shell in ["zsh", "fish"] {
        assert!(run(&mut vdpa(&["completions", shell])).exits(0).out.contains("teardown"), "{shell}");
    }
}

#[test]
fn every_command_that_is_not_hidden_has_a_page() {
    let directory = tempfile::tempdir().unwrap();
    run(&mut vdpa(&["man", "--into", directory.path().to_str().unwrap()])).exits(0);
    let has = |name: &str| directory.path().join(name).exists();
    for page in ["vdpa.1", "vdpa-setup.1", "vdpa-teardown.1", "vdpa-vm.1", "vdpa-vm-xml.1"] {
        assert!(has(page), "{page}");
    }
    assert!(!has("vdpa-supervise.1"));
    let main = run(&mut vdpa(&["man"])).exits(0).out;
    assert_eq!(main, std::fs::read_to_string(directory.path().join("vdpa.1")).unwrap());
    assert!(main.contains(".TH vdpa 1") && main.contains("vdpa teardown"), "{main}");
    let nowhere = run(&mut vdpa(&["man", "--into", "/nowhere/at/all"])).exits(1);
    assert!(nowhere.err.contains("/nowhere/at/all") && nowhere.err.contains("hint: "), "{nowhere}");
}
