//! What is asked for, by flags and by a host file, and what is said: to people, to programs, and on a simulated host.

use super::ASK;
use super::root::{DEBIAN_12, Root};
use crate::common::command::{Simulated, run, vdpa};

#[test]
fn a_host_file_says_it_too_and_flags_add_to_it() {
    let root = Root::new(&DEBIAN_12);
    root.write(
        "etc/vdpa/host.toml",
        "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[[nic.vf]]\nindex = 0\ndatapath = \"kernel\"\n\
         [boot]\nhuge_pages = [{ size = \"1G\", count = 4 }]\narguments = [\"isolcpus=4-7\"]\n",
    );
    let document = root.json(&["prepare", "--arg=nohz_full=4-7", "--hugepages=1G=8"]);
    let arguments = serde_json::json!([
        "intel_iommu=on",
        "iommu=pt",
        "hugepagesz=1G hugepages=8",
        "nohz_full=4-7",
        "isolcpus=4-7"
    ]);
    assert_eq!(document["arguments"], arguments);
    let modules: Vec<_> =
        document["modules"].as_array().unwrap().iter().map(|m| m["module"].as_str().unwrap()).collect();
    assert_eq!(modules, ["mlx5_vdpa", "vhost_vdpa"]);
    root.host(&["prepare", "--arg=a b"]).exits(2).is_an_error("`a b` is no kernel argument", "one argument");
    root.host(&["prepare", "--hugepages=1G=4@0", "--hugepages=1G=4"])
        .exits(2)
        .is_an_error("for the host and for a node", "");
    let missing = root.host(&["prepare", "--module=no_such_module"]).exits(0);
    assert!(missing.out.contains("has no module no_such_module"), "{missing}");
}

#[test]
fn json_is_one_document_of_the_documented_shape() {
    let root = Root::new(&DEBIAN_12);
    let keys =
        |document: &serde_json::Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    // What every command says, and what this one has to say.
    let every = "command simulated outcome exit_code elapsed_ms statements receipt notes error restored";
    let own = "arguments boot files pages modules policy backups reboot";
    let documented: Vec<String> = format!("{every} {own}").split(' ').map(str::to_owned).collect();
    let planned = root.json(&ASK);
    assert_eq!((keys(&planned), &planned["outcome"]), (documented.clone(), &"changes".into()));
    assert_eq!(planned["boot"]["command"], serde_json::json!(["update-grub"]));
    assert!(planned["boot"]["files"][0]["diff"].as_str().unwrap().starts_with("--- /etc/default/grub\n"));
    let done = root.json(&[&ASK[..], &["--apply"]].concat());
    assert_eq!((keys(&done), &done["outcome"]), (documented, &"done".into()));
    assert_eq!((&done["pages"][0]["now"], &done["pages"][0]["given"]), (&0.into(), &512.into()));
    assert_eq!(done["backups"][0], "/etc/default/grub.before-vdpa");
    assert_eq!(root.json(&ASK)["outcome"], "unchanged");
    let restored = root.json(&["restore"]);
    assert_eq!((&restored["command"], &restored["outcome"]), (&"host restore".into(), &"done".into()));
}

#[test]
fn a_simulated_host_gives_what_memory_it_has() {
    let host = Simulated::new();
    let first = host.run(&["host", "prepare", "--nested"]).exits(0);
    assert!(first.out.contains("+options kvm_intel nested=1"), "{first}");
    let said =
        host.run(&["host", "prepare", "--hugepages=2M=512@0", "--hugepages=1G=40", "--apply"]).exits(0);
    assert!(
        said.out.contains("hugepages=24 rdblacklist") && said.out.contains("hugepages=40 rdblacklist"),
        "{said}"
    );
    assert!(
        said.out.contains("the running kernel was not started with hugepagesz=1G hugepages=40"),
        "{said}"
    );
    let short = host.run(&["host", "prepare", "--hugepages=1G=110@0", "--apply"]).exits(1);
    assert!(short.out.contains("of which the kernel gave 108"), "{short}");
    let too_many = host.run(&["host", "prepare", "--hugepages=1G=16", "--hugepages=2M=64000@1"]).exits(0);
    assert!(too_many.out.contains("leave 906 MiB of 128906 MiB on NUMA node 1"), "{too_many}");
    let too_many = host.run(&["host", "prepare", "--hugepages=1G=260", "--apply"]).exits(2);
    too_many.is_an_error("266240 MiB of huge pages are asked for on the host, which has 257594 MiB", "fewer");
    host.run(&["host", "restore"]).exits(0);
    let failed = host.run(&["host", "prepare", "--hugepages=1G=40", "--apply", "--fail-at=1"]).exits(1);
    assert_eq!(
        failed.error()[..2],
        ["error: `grub2-mkconfig -o /boot/grub2/grub.cfg` failed", "  fault injected"]
    );
    for said in [first, said, short, failed] {
        for line in said.out.lines().chain(said.err.lines()) {
            assert!(line.starts_with("[simulated] "), "{line}\n{said}");
        }
    }
}

#[test]
fn the_help_has_what_a_host_file_takes() {
    let help = run(&mut vdpa(&["host", "prepare", "--help"])).exits(0);
    assert!(help.out.contains("[boot]") && !help.out.contains("--root"), "{help}");
}
