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

#[test]
fn a_document_is_placed_as_it_is_asked_for() {
    let free: Vec<&str> = DOMAIN.lines().filter(|line| !line.contains("vcpupin")).collect();
    let free = free.join("\n") + "\n";
    let (_directory, path) = file(&free);
    let flags = ["vm", "xml", "--socket", "/run/x.sock", "--mac", MAC, "--from", &path, "--libvirt", "7.0.0"];
    let placed = ["--pin", "14,16", "--address", "0000:00:1e.0", "--reconnect", "3"];
    let said = run(&mut vdpa(&[&flags[..], &placed].concat())).exits(0).out;
    for part in [
        "<qemu:arg value='device.ua-vdpa-mac-e4-11-22-33-55-60.page-per-vq=on'/>",
        "<vcpupin vcpu='1' cpuset='16'/>",
        "bus='0x00' slot='0x1e' function='0x0'",
        "<reconnect enabled='yes' timeout='3'/>",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_wired, wired) = file(&said);
    let back = run(&mut vdpa(&["vm", "xml", "--detach", MAC, "--from", &wired])).exits(0).out;
    assert_eq!(back, free);
    let auto = run(&mut vdpa(&[&flags[..], &["--pin", "auto"]].concat())).exits(2);
    assert!(auto.err.contains("--pin 14,16"), "{auto}");
    let bad = run(&mut vdpa(&[&flags[..], &["--pin", "14,x"]].concat())).exits(2);
    assert!(bad.err.contains("one for each vCPU"), "{bad}");
}

/// Pitfall 36: the how-to asks for 16 queues, 6 vectors and 2 vCPUs; two of the three are too few.
#[test]
fn the_how_tos_own_numbers_are_found_out() {
    let (_directory, path) = file(include_str!("../../vm/fixtures/cx6.1-running.xml"));
    let flags =
        ["vm", "xml", "--socket", "/run/x.sock", "--mac", MAC, "--queues", "16", "--from", &path, "--json"];
    let document = run(&mut vdpa(&flags)).exits(0).document();
    let found: Vec<_> =
        document["findings"].as_array().unwrap().iter().map(|one| one["finding"].clone()).collect();
    assert_eq!(found, [json!("queues-over-vcpus"), json!("vectors")], "{document}");
    let message = document["findings"][1]["message"].as_str().unwrap();
    assert!(message.contains("6 interrupt vectors for 16 queue pairs, which need 34"), "{message}");
    assert!(document["findings"][1]["hint"].as_str().unwrap().contains("vectors=34"), "{document}");
}

/// Changes the simulated host's file as `change` says.
fn meddle(host: &Simulated, change: impl FnOnce(&mut serde_json::Value)) {
    let path = host.path().join("host.json");
    let mut state = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(&path, serde_json::to_vec(&state).unwrap()).unwrap();
}

#[test]
fn a_domain_that_runs_is_saved_or_is_transient_is_told_apart() {
    let attach = ["vm", "attach", "cx6.1", "--mac", MAC, "--vhostdev", "/dev/vhost-vdpa-0", "--json"];
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let host = Simulated::new();
        host.keep();
        meddle(&host, |state| change(&mut state["domains"]["domains"]["cx6.1"]));
        host
    };
    let running = with(&|domain| domain["running"] = domain["definition"].clone());
    assert_eq!(running.run(&attach).exits(0).document()["effect"], "next-start");
    let saved = with(&|domain| domain["managed_save"] = json!(true));
    assert_eq!(saved.run(&attach).exits(0).document()["effect"], "after-saved-state");
    let transient = with(&|domain| {
        domain["running"] = domain["definition"].take();
    });
    let said = transient.run(&attach).exits(1).document();
    assert!(said["error"]["message"].as_str().unwrap().contains("is transient"), "{said}");
    assert!(said["error"]["hint"].as_str().unwrap().contains("virsh define"), "{said}");
}

#[test]
fn an_old_libvirt_is_told_in_words_that_it_knows() {
    let host = Simulated::new();
    host.keep();
    meddle(&host, |state| state["domains"]["versions"]["libvirt"] = json!("7.0.0"));
    host.run(&["vm", "attach", "cx6.1", "--mac", MAC, "--socket", "/run/x.sock"]).exits(0);
    meddle(&host, |state| {
        let definition = state["domains"]["domains"]["cx6.1"]["definition"].as_str().unwrap();
        assert!(
            definition.contains(".page-per-vq=on") && !definition.contains("page_per_vq="),
            "{definition}"
        );
        state["domains"]["versions"]["libvirt"] = json!("6.0.0");
    });
    let said =
        host.run(&["vm", "attach", "cx6.1", "--mac", "e4:11:22:33:55:61", "--vhostdev", "/dev/vhost-vdpa-0"]);
    assert!(said.exits(1).err.contains("<interface type='vdpa'> needs libvirt 6.9.0, and this is 6.0.0"));
}

#[test]
fn another_mac_than_the_vfs_is_refused_unless_it_is_forced() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let listed = host.run(&["vm", "list", "--json"]).exits(0).document();
    let source = &listed["domains"][0]["interfaces"][0]["interface"]["source"];
    let socket = source["vhost-user"]["socket"].as_str().unwrap();
    host.run(&["vm", "detach", "cx6.1", MAC]).exits(0);
    let attach = ["vm", "attach", "cx6.1", "--mac", "e4:11:22:33:55:99", "--socket", socket];
    let refused = host.run(&attach).exits(1);
    assert!(refused.err.contains(&format!("the card has {MAC} for VF 0000:43:00.0/vf0")), "{refused}");
    assert!(refused.err.contains(&format!("--mac {MAC}")), "{refused}");
    let forced = host.run(&[&attach[..], &["--force", "--json"]].concat()).exits(0).document();
    assert_eq!(forced["findings"][0]["finding"], "mac-differs", "{forced}");
}

/// The simulated card is on node 1, whose CPUs are the odd ones.
#[test]
fn cpus_near_the_card_are_chosen_past_those_of_other_domains() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let listed = host.run(&["vm", "list", "--json"]).exits(0).document();
    let source = &listed["domains"][0]["interfaces"][0]["interface"]["source"];
    let socket = source["vhost-user"]["socket"].as_str().unwrap();
    let create = |name, more: &[&str]| {
        let disk = format!("/nowhere/{name}.qcow2");
        let new = ["vm", "create", name, "--image", "/nowhere/cloud.img", "--disk", &disk, "--vcpus", "2"];
        host.run(&[&new[..], more].concat())
    };
    let auto = ["--pin", "auto", "--mac", MAC, "--socket", socket];
    let printed = create("first", &[&auto[..], &["--print-xml"]].concat()).exits(0);
    assert!(printed.out.contains("<vcpupin vcpu='0' cpuset='3'/>"), "{printed}");
    assert!(printed.out.contains("<vcpupin vcpu='1' cpuset='5'/>"), "{printed}");
    assert!(printed.err.contains("CPUs 3,5: on NUMA node 1, as the card is"), "{printed}");

    create("neighbour", &["--pin", "3,5"]).exits(0);
    create("free", &[]).exits(0);
    host.run(&["vm", "detach", "cx6.1", MAC]).exits(0);
    let attached = host.run(&[&["vm", "attach", "free"], &auto[..]].concat()).exits(0);
    assert!(attached.err.contains("CPUs 7,9: on NUMA node 1"), "{attached}");

    let no_card = create("last", &["--pin", "auto"]).exits(2);
    assert!(no_card.err.contains("`--pin auto` without an interface of a card"), "{no_card}");
}

/// A domain that would not start is not made: of its two refusals the one that is the host's can be overridden.
#[test]
fn a_new_domain_that_the_host_has_no_room_for_is_not_made() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let create = ["vm", "create", "large", "--image", "/nowhere/cloud.img", "--disk", "/nowhere/large.qcow2"];
    let wired = ["--mac", "e4:11:22:33:55:61", "--vhostdev", "/dev/vhost-vdpa-0", "--queues", "1"];
    let large = [&create[..], &wired, &["--memory", "4000", "--huge-pages", "1G"]].concat();
    let refused = host.run(&large).exits(1);
    assert!(refused.err.contains("the domain's memory takes 4000 huge pages of 1G"), "{refused}");
    assert!(refused.err.contains("vdpa host prepare --hugepages 1G=4000"), "{refused}");
    assert!(!host.run(&["vm", "list"]).exits(0).out.contains("large"));
    // Printed, it may be for another host.
    host.run(&[&large[..], &["--print-xml"]].concat()).exits(0);
    let forced = host.run(&[&large[..], &["--force", "--json"]].concat()).exits(0).document();
    assert_eq!(forced["findings"][0]["finding"], "no-huge-pages", "{forced}");
    assert!(host.run(&["vm", "list"]).exits(0).out.contains("large"));
}

#[test]
fn a_new_domain_is_printed_or_made() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("cloud.img");
    std::fs::write(&image, b"QFI\xfb\0\0\0\x03").unwrap();
    let disk = directory.path().join("new.qcow2");
    let (image, disk) = (image.to_str().unwrap(), disk.to_str().unwrap());
    let create = ["vm", "create", "new", "--image", image, "--disk", disk, "--memory", "4", "--vcpus", "2"];
    let placed = ["--huge-pages", "1G", "--pin", "14,16", "--bridge", "baremetal", "--vnc", "59000"];
    let wired = ["--mac", MAC, "--socket", "/run/x.sock", "--queues", "2", "--print-xml"];
    let printed = run(&mut vdpa(&[&create[..], &placed, &wired].concat())).exits(0);
    for part in [
        "<memory unit='MiB'>4096</memory>",
        "<page size='1048576' unit='KiB'/>",
        "<vcpupin vcpu='1' cpuset='16'/>",
        "<source bridge='baremetal'/>",
        "port='59000'",
        "<access mode='shared'/>",
        "<interface type='vhostuser'>",
    ] {
        assert!(printed.out.contains(part), "{part}: {printed}");
    }
    assert!(
        printed.out.starts_with("<domain type='kvm'>") && !std::path::Path::new(disk).exists(),
        "{printed}"
    );
    let document = run(&mut vdpa(&[&create[..], &["--print-xml", "--json"]].concat())).exits(0).document();
    assert_eq!(
        document["disk"],
        json!(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, disk])
    );

    let host = Simulated::new();
    host.run(&[&create[..], &["--start"]].concat()).exits(0);
    let listed = host.run(&["vm", "list"]).exits(0);
    assert!(listed.out.contains("new  running"), "{listed}");
    let again = host.run(&create).exits(2);
    assert!(again.err.contains("domain `new` is there already"), "{again}");
    let waits = [
        "vm",
        "create",
        "waits",
        "--iso",
        image,
        "--mac",
        MAC,
        "--socket",
        "/run/x.sock",
        "--listener",
        "qemu",
    ];
    let hangs = host.run(&[&waits[..], &["--start", "5"]].concat()).exits(1);
    assert!(hangs.err.contains("domain `waits` did not start within 5 s"), "{hangs}");
    let neither = run(&mut vdpa(&["vm", "create", "new"])).exits(2);
    assert!(neither.err.contains("--image"), "{neither}");
}
