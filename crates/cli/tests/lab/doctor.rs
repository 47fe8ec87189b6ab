//! `vdpa doctor` held against what the VM's own tools and files say of it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;

use super::guest::{Guest, HOST_FILE, VFS_8};
use super::host_file;
use super::state::State;

/// What the doctor says, as a document.
struct Said(Value);

impl Said {
    fn of(guest: &Guest) -> Self {
        Self(guest.vdpa(&["doctor", "--config", HOST_FILE, "--json"]).json())
    }

    /// The check with this id, and with this subject where one is named.
    fn check(&self, id: &str, subject: Option<&str>) -> &Value {
        let all = self.0["checks"].as_array().unwrap_or_else(|| panic!("no checks: {:#}", self.0));
        let is =
            |check: &&Value| check["id"] == id && subject.is_none_or(|subject| check["subject"] == subject);
        all.iter().find(is).unwrap_or_else(|| panic!("no check {id} of {subject:?}: {:#}", self.0))
    }

    #[track_caller]
    fn says(&self, id: &str, subject: Option<&str>, verdict: &str, fact: &str) {
        let check = self.check(id, subject);
        assert_eq!(check["verdict"], verdict, "{check:#}");
        assert!(check["fact"].as_str().unwrap().contains(fact), "{fact:?}: {check:#}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

/// A process that has a device open until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(device: &str) -> Self {
        let script = format!("exec 3<>{device} && exec sleep 600");
        let holder = Self(Command::new("bash").args(["-c", &script]).spawn().unwrap());
        let pid = holder.0.id();
        super::guest::wait_for("the holder", || {
            fs::read_link(format!("/proc/{pid}/fd/3")).ok().filter(|open| open == Path::new(device))
        });
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_doctor_finds_the_vm_as_its_own_tools_do_and_changes_nothing() {
    let guest = Guest::new();
    let card = Guest::pf(VFS_8);
    let before = State::of(&guest);
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let said = Said::of(&guest);

    said.says("kernel-version", None, "pass", &guest.run("uname", &["-r"]));
    let ovs = guest.run("ovs-vswitchd", &["--version"]);
    let ovs = ovs.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    said.says("ovs-version", None, "pass", &ovs);
    said.says("dpdk-version", None, "pass", "22.11");
    said.says("card", None, "pass", "0 of 8 VFs");
    let mode = guest.run("devlink", &["dev", "eswitch", "show", &format!("pci/{card}")]);
    assert!(mode.contains("mode legacy"), "{mode}");
    said.says("eswitch", None, "pass", "legacy");

    let groups = fs::read_dir("/sys/kernel/iommu_groups").map_or(0, Iterator::count);
    said.says(
        "iommu",
        None,
        if groups == 0 { "warn" } else { "pass" },
        if groups == 0 { "off" } else { "on" },
    );
    // The host file asks for no huge pages.
    said.says("huge-pages", None, "pass", "none is needed");
    let pages = read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    assert!(
        said.check("huge-pages", None)["fact"]
            .as_str()
            .unwrap()
            .contains(&format!(" of {pages} pages of 2M"))
    );
    let lsmod = read("/proc/modules");
    for module in ["openvswitch", "vdpa", "vhost_vdpa"] {
        let loaded = lsmod.lines().any(|line| line.starts_with(&format!("{module} ")));
        let fact = if loaded { "loaded, for" } else { "there to be" };
        said.says("modules", Some(module), "pass", fact);
    }
    let uefi = Path::new("/sys/firmware/efi").exists();
    if !uefi {
        said.says("secure-boot", None, "pass", "not started by UEFI");
    }
    let speed = read(&format!("/sys/bus/pci/devices/{card}/current_link_speed"));
    let speed = speed.split(['.', ' ']).next().unwrap().to_owned();
    assert!(said.check("pcie", None)["fact"].as_str().unwrap().contains(&speed), "{speed}");
    said.says("management-traffic", None, "pass", "carries none");
    said.says("vf-in-use", None, "pass", "there are no VFs");
    State::of(&guest).is(&before);
}

#[test]
fn the_doctor_names_an_address_on_the_pf_and_the_vlan_above_it() {
    let guest = Guest::new();
    let card = Guest::pf(VFS_8);
    let uplink = guest.uplink(&card);
    guest.write_host_file(&host_file("none", "none"));
    guest.run("ip", &["link", "add", "link", &uplink, "name", "doctor7", "type", "vlan", "id", "7"]);
    guest.run("ip", &["address", "add", "10.77.0.1/24", "dev", "doctor7"]);
    let said = Said::of(&guest);
    guest.run("ip", &["link", "del", "doctor7"]);
    said.says("management-traffic", None, "fail", &format!("{uplink} carries doctor7"));
    said.says("management-traffic", None, "fail", "doctor7 has address 10.77.0.1");
    assert_eq!(said.0["exit_code"], 1);
    Said::of(&guest).says("management-traffic", None, "pass", "carries none");
}

#[test]
fn the_doctor_names_who_holds_a_vf_and_its_bundle_says_the_same() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["setup"]).succeeds();
    let card = Guest::pf(VFS_8);
    let holder = Holder::of("/dev/vhost-vdpa-0");
    let bundle = "/tmp/doctor.tar.gz";
    let _ = fs::remove_file(bundle);
    let here = guest.vdpa(&["doctor", "--config", HOST_FILE, "--json", "--bundle", bundle]).json();
    let there = guest.vdpa(&["doctor", "--from", bundle, "--json"]).json();
    let pid = holder.0.id();
    drop(holder);

    let said = Said(here);
    let fact = format!("process {pid} (sleep) through /dev/vhost-vdpa-0");
    said.says("vf-in-use", Some(&format!("{card}/vf1")), "warn", &fact);
    said.says("vf-in-use", Some(&format!("{card}/vf0")), "pass", "dpdk-vdpa of ours (process ");
    said.says("mgmtdev", Some(&format!("{card}/vf1")), "pass", "pci/0000:01:10.2");
    said.says("ovs-ports", None, "pass", "all of ours are open");
    assert_eq!(said.0["checks"], there["checks"]);
    let listed = guest.run("tar", &["tzf", bundle]);
    assert!(listed.contains("vdpa-doctor/files/proc/cmdline"), "{listed}");
    let unpacked = guest.run("tar", &["xzOf", bundle]);
    for argument in read("/proc/cmdline").split_whitespace().filter(|argument| argument.starts_with("root="))
    {
        assert!(!unpacked.contains(argument), "{argument} is in the bundle");
    }
    guest.vdpa(&["teardown"]).succeeds();
}

/// A row of a device that is gone, which OVSDB keeps in silence, is found.
#[test]
fn the_doctor_finds_a_port_whose_device_is_gone() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("none", "none"));
    guest.vdpa(&["setup"]).succeeds();
    // What is left of a VF that there was before a reboot.
    let key = format!("external_ids:vdpa-port=\"{}/vf7\"", Guest::pf(VFS_8));
    let tagged = ["external_ids:vdpa-owner=vdpa", &key];
    guest.run(
        "ovs-vsctl",
        &[&["add-port", "ovs-sriov", "gone7", "--", "set", "Port", "gone7"], &tagged[..]].concat(),
    );
    let said = Said::of(&guest);
    guest.run("ovs-vsctl", &["del-port", "gone7"]);
    said.says("ovs-ports", Some("gone7"), "warn", "No such device");
    Said::of(&guest).says("ovs-ports", None, "pass", "all of ours are open");
    guest.vdpa(&["teardown"]).succeeds();
}
