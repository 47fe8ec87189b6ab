//! SELinux's policy: the module comes where QEMU needs it, once, and goes again.

use serde_json::{Value, json};

use crate::root::{DEBIAN_12, ROCKY_8, ROCKY_9, Root};

/// Where semodule keeps a module.
const STORED: &str = "var/lib/selinux/targeted/active/modules/400/vdpa/cil";
const OURS: &str = "var/lib/vdpa/vdpa.cil";

/// A host of which a VM's interface is served by dpdk-vdpa, or by nobody.
fn with_datapath(root: &Root, datapath: &str) {
    let file = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[[nic.vf]]\nindex = 0\n";
    root.write(
        "etc/vdpa/host.toml",
        &format!("{file}datapath = \"{datapath}\"\n[boot]\niommu = false\nmodules = [\"vfio-pci\"]\n"),
    );
}

fn notes(document: &Value) -> String {
    document["notes"].to_string()
}

#[test]
fn where_selinux_is_on_qemu_may_reach_the_sockets_until_all_is_taken_back() {
    for kind in [&ROCKY_8, &ROCKY_9] {
        let root = Root::new(kind);
        with_datapath(&root, "dpdk");
        let planned = root.json(&["prepare"]);
        assert_eq!(planned["policy"], json!(["semodule", "--install", "/var/lib/vdpa/vdpa.cil"]));
        assert!(
            !root.path().join(OURS).exists() && !root.path().join(STORED).exists(),
            "a plan writes nothing"
        );
        let said = root.host(&["prepare", "--apply"]).exits(0);
        assert!(said.out.contains("SELinux: ran `semodule --install"), "{said}");
        assert_eq!(root.read(STORED), root.read(OURS));
        assert!(root.read(STORED).contains("(allow virt_domain"), "{}", root.read(STORED));
        let again = root.json(&["prepare", "--apply"]);
        assert_eq!((&again["outcome"], &again["policy"]), (&"unchanged".into(), &Value::Null));

        let restored = root.json(&["restore"]);
        assert!(notes(&restored).contains("without the module vdpa"), "{restored:#}");
        assert!(!root.path().join(OURS).exists() && !root.path().join(STORED).exists());
    }
}

#[test]
fn a_module_that_nobody_needs_any_more_goes() {
    let root = Root::new(&ROCKY_9);
    with_datapath(&root, "dpdk");
    root.host(&["prepare", "--apply"]).exits(0);
    with_datapath(&root, "kernel");
    let said = root.host(&["prepare", "--apply"]).exits(0);
    assert!(said.out.contains("SELinux: ran `semodule --remove vdpa`"), "{said}");
    assert!(!root.path().join(OURS).exists() && !root.path().join(STORED).exists());
    assert_eq!(root.json(&["prepare"])["outcome"], "unchanged");
}

#[test]
fn a_module_that_is_lost_comes_again_and_an_older_one_is_renewed() {
    let root = Root::new(&ROCKY_8);
    with_datapath(&root, "dpdk");
    root.host(&["prepare", "--apply"]).exits(0);
    std::fs::remove_dir_all(root.path().join(STORED).parent().unwrap()).unwrap();
    root.host(&["prepare", "--apply"]).exits(0);
    let text = root.read(OURS);
    assert_eq!(root.read(STORED), text);

    root.write(OURS, &text.replace("connectto", "connectto read"));
    root.host(&["prepare", "--apply"]).exits(0);
    assert_eq!((root.read(STORED), root.read(OURS)), (text.clone(), text));
}

#[test]
fn where_selinux_is_off_or_its_module_is_not_ours_nothing_is_done() {
    let root = Root::new(&DEBIAN_12);
    with_datapath(&root, "dpdk");
    let planned = root.json(&["prepare"]);
    assert_eq!((&planned["policy"], notes(&planned).contains("SELinux")), (&Value::Null, false));

    let root = Root::new(&ROCKY_9);
    with_datapath(&root, "dpdk");
    let on = root.read("etc/selinux/config");
    root.write("etc/selinux/config", &on.replace("SELINUX=enforcing", "SELINUX=disabled"));
    assert_eq!(root.json(&["prepare"])["policy"], Value::Null);

    root.write("etc/selinux/config", &on);
    root.write(STORED, "(somebody else's)\n");
    root.write(&STORED.replace("/cil", "/lang_ext"), "cil");
    let said = root.json(&["prepare", "--apply"]);
    assert!(said["policy"].is_null() && notes(&said).contains("not ours"), "{said:#}");
    assert_eq!(root.read(STORED), "(somebody else's)\n");
    assert!(!root.path().join(OURS).exists());

    let root = Root::new(&ROCKY_9);
    with_datapath(&root, "dpdk");
    std::fs::remove_file(root.path().join("usr/sbin/semodule")).unwrap();
    let said = root.json(&["prepare"]);
    assert!(said["policy"].is_null() && notes(&said).contains("install policycoreutils"), "{said:#}");
}

#[test]
fn a_policy_that_cannot_be_made_is_said_and_tried_again() {
    let root = Root::new(&ROCKY_9);
    with_datapath(&root, "dpdk");
    root.program("semodule", "#!/bin/sh\necho 'libsemanage: no space left' >&2\nexit 1\n");
    let said = root.json(&["prepare", "--apply"]);
    assert!(notes(&said).contains("no space left"), "{said:#}");
    assert!(!root.json(&["prepare"])["policy"].is_null(), "it is not forgotten");
}
