//! `vdpa vm`: a domain's XML in a file, and the simulated host's domains, as a user meets them.

mod common;

use common::command::{Simulated, run, vdpa};
use serde_json::json;

const DOMAIN: &str = include_str!("../../vm/fixtures/cx6.1.xml");
const MAC: &str = "e4:11:22:33:55:60";

/// A file with `text`, which goes with its directory.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("domain.xml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn a_document_is_edited_and_comes_back_byte_for_byte() {
    for (source, added) in [
        (["--socket", "/run/x.sock"], "path='/run/x.sock' mode='client'"),
        (["--vhostdev", "/dev/vhost-vdpa-3"], "dev='/dev/vhost-vdpa-3'"),
    ] {
        // As some editor left it: CRLF, a comment, other quotes.
        let original = DOMAIN.replace('\n', "\r\n").replacen("<vcpu ", "<!-- a > b --><vcpu  ", 1);
        let (_first, before) = file(&original);
        let flags = ["vm", "xml", "--mac", MAC, "--queues", "2", "--from"];
        let wired = run(&mut vdpa(&[&flags[..], &[&before], &source].concat())).exits(0).out;
        assert!(
            wired.contains(added) && wired.contains("<alias name='ua-vdpa-mac-e4-11-22-33-55-60'/>"),
            "{wired}"
        );
        assert!(wired.contains("queues='2'") && wired.contains("page_per_vq='on'"), "{wired}");
        let (_second, after) = file(&wired);
        let again = run(&mut vdpa(&[&flags[..], &[&after], &source].concat())).exits(0).out;
        assert_eq!(again, wired, "twice is once");
        let detached = run(&mut vdpa(&["vm", "xml", "--detach", MAC, "--from", &after])).exits(0).out;
        assert_eq!(detached, original);
    }
}

#[test]
fn what_cannot_be_edited_is_named_and_nothing_is_printed() {
    let attach = ["vm", "xml", "--vhostdev", "/dev/vhost-vdpa-0", "--mac", MAC, "--from"];
    for (text, words) in [
        ("<domain>\n  <name>a</nam>\n</domain>", "malformed XML at line 2"),
        ("<network/>", "not a libvirt domain: its root element is <network>"),
        ("", "malformed XML"),
        (&format!("<domain>{}</domain>", " ".repeat(11 << 20)), "larger than the 10 MiB"),
        (
            &DOMAIN.replacen("<mac address='", &format!("<mac address='{MAC}'/><x y='"), 1),
            "is already the MAC of",
        ),
    ] {
        let (_directory, path) = file(text);
        let said = run(&mut vdpa(&[&attach[..], &[&path]].concat()));
        assert_ne!(said.code, Some(0));
        assert!(said.out.is_empty() && said.err.contains(words), "{words}: {said}");
    }
    let (_directory, path) = file(DOMAIN);
    let said = run(&mut vdpa(&["vm", "xml", "--detach", MAC, "--from", &path])).exits(1);
    assert!(
        said.out.is_empty() && said.err.contains("no interface of ours in domain `cx6.1` has the MAC"),
        "{said}"
    );
    let said = run(&mut vdpa(&["vm", "xml", "--from", &path])).exits(2);
    assert!(said.err.contains("--socket") && said.err.contains("--vhostdev"), "{said}");
    let missing = run(&mut vdpa(&["vm", "xml", "--from", "/nowhere", "--detach", MAC])).exits(2);
    assert!(missing.err.contains("cannot read /nowhere"), "{missing}");
}

#[test]
fn more_queues_than_vcpus_are_a_warning() {
    let (_directory, path) = file(&DOMAIN.replace("</domain>", "</domain>\n"));
    let flags =
        ["vm", "xml", "--vhostdev", "/dev/vhost-vdpa-0", "--mac", MAC, "--queues", "500", "--from", &path];
    let said = run(&mut vdpa(&flags)).exits(0);
    assert!(said.err.contains("warning: 500 queue pairs for"), "{said}");
    assert!(said.out.starts_with("<domain"), "{said}");
}

#[test]
fn a_simulated_domain_gets_an_interface_and_loses_it() {
    let host = Simulated::new();
    let attach = ["vm", "attach", "cx6.1", "--mac", MAC, "--vhostdev", "/dev/vhost-vdpa-0", "--json"];
    let done = host.run(&attach).exits(0).document();
    assert_eq!((&done["outcome"], &done["effect"]), (&json!("done"), &json!("defined")));
    assert_eq!(host.run(&attach).exits(0).document()["outcome"], "unchanged");
    let listed = host.run(&["vm", "list", "--json"]).exits(0).document();
    let wired = &listed["domains"][0]["interfaces"][0];
    assert_eq!((&listed["domains"][0]["name"], &wired["vf"]), (&json!("cx6.1"), &json!(null)));
    assert_eq!(wired["interface"]["mac"], MAC);
    host.run(&["vm", "detach", "cx6.1", MAC]).exits(0);
    let again = host.run(&["vm", "detach", "cx6.1", MAC]).exits(1);
    assert!(again.err.contains("no interface of ours in domain `cx6.1`"), "{again}");
    let unknown = host.run(&["vm", "detach", "nobody", MAC]).exits(2);
    assert!(unknown.err.contains("libvirt has no domain `nobody`"), "{unknown}");
}

#[test]
fn what_setup_wired_is_listed_with_its_vf_and_can_be_told_apart() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let listed = host.run(&["vm", "list"]).exits(0);
    assert!(listed.out.contains("VF 0000:43:00.0/vf0"), "{listed}");
    // By its MAC it can be taken out, and the drift shows.
    host.run(&["vm", "detach", "cx6.1", MAC]).exits(0);
    host.run(&["status"]).exits(1);
}
