//! What tests need of this machine, and installing it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::lab::is_root;
use crate::process;

/// A program that tests start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The crate whose daemon tier needs it, `dist` for packages, or `xtask` for the lab.
    pub(crate) of: &'static str,
    /// What has to be there: a program, or a file by its path.
    pub(crate) witness: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

impl Need {
    /// Whether it is there.
    pub(crate) fn met(&self) -> bool {
        if self.witness.starts_with('/') {
            std::path::Path::new(self.witness).exists()
        } else {
            process::on_path(self.witness)
        }
    }
}

/// Everything that the tiers up to the lab need beyond a Rust toolchain.
pub(crate) const NEEDS: &[Need] = &[
    need("vdpa", "unshare", "util-linux"),
    need("vdpa", "setpriv", "util-linux"),
    need("vdpa", "iperf3", "iperf3"),
    need("vdpa", "ping", "iputils-ping"),
    need("vdpa", "ip", "iproute2"),
    need("vdpa", "ssh", "openssh-client"),
    need("vdpa", "dropbear", "dropbear-bin"),
    need("vdpa", "kill", "procps"),
    need("vdpa", "ansible-playbook", "ansible-core"),
    need("vdpa", "ovsdb-server", "openvswitch-switch"),
    need("vdpa", "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", "openvswitch-switch-dpdk"),
    need("vdpa-netlink", "/usr/include/linux/devlink.h", "linux-libc-dev"),
    need("vdpa-eswitch", "/usr/include/linux/devlink.h", "linux-libc-dev"),
    need("vdpa-hw", "ip", "iproute2"),
    need("vdpa-ovs", "ovsdb-server", "openvswitch-switch"),
    need("vdpa-ovs", "ovs-vswitchd", "openvswitch-switch"),
    need("vdpa-ovs", "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", "openvswitch-switch-dpdk"),
    need("vdpa-ovs", "openssl", "openssl"),
    need("vdpa-datapath", "gcc", "gcc"),
    need("vdpa-datapath", "pkg-config", "pkgconf"),
    need("vdpa-datapath", "/usr/include/dpdk/rte_vdpa.h", "libdpdk-dev"),
    need("vdpa-datapath", "/usr/share/dpdk/examples/vdpa/main.c", "dpdk-doc"),
    need("vdpa-vm", "virsh", "libvirt-clients"),
    need("vdpa-vm", "libvirtd", "libvirt-daemon"),
    need("vdpa-vm", "xmllint", "libxml2-utils"),
    need("vdpa-vm", "qemu-system-x86_64", "qemu-system-x86"),
    need("vdpa-vm", "qemu-img", "qemu-utils"),
    need("vdpa-vm", "mtype", "mtools"),
    need("vdpa-vm", "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", "openvswitch-switch-dpdk"),
    // A guest's kernel with its modules, as files: nothing here is booted with it.
    need("vdpa-vm", INSTALLER, "debian-installer-12-netboot-amd64"),
    need("vdpa-vm", "/bin/busybox", "busybox-static"),
    need("vdpa-vm", "cpio", "cpio"),
    need("vdpa-boot", "secilc", "secilc"),
    need("dist", "dpkg-deb", "dpkg"),
    need("dist", "rpmbuild", "rpm"),
    need("xtask", "mmdebstrap", "mmdebstrap"),
    need("xtask", "/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
];

const INSTALLER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux";

const fn need(of: &'static str, witness: &'static str, package: &'static str) -> Need {
    Need { of, witness, package }
}

/// Installs the packages of the needs that are not met; without root, says what to install.
pub(crate) async fn meet(needs: impl Iterator<Item = &Need>) -> Result<()> {
    let needs: Vec<&Need> = needs.collect();
    // What apt takes away for what it installs, as a package from elsewhere that does not go with it, is installed anew.
    for _ in 0..2 {
        install(needs.iter().copied().filter(|need| !need.met())).await?;
    }
    if let Some(need) = needs.iter().find(|need| !need.met()) {
        bail!("{} is not there although {} was installed", need.witness, need.package);
    }
    Ok(())
}

async fn install(unmet: impl Iterator<Item = &Need>) -> Result<()> {
    let packages: BTreeSet<&str> = unmet.map(|need| need.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let packages = Vec::from_iter(packages);
    let line = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    ensure!(process::on_path("apt-get"), "the tests need what Debian calls {}", packages.join(", "));
    ensure!(is_root(), "the tests need packages that only root can install: `{line}`");

    eprintln!("installing for the tests: {line}");
    let apt = |arguments: &[&str]| {
        let mut apt = process::command("apt-get");
        apt.args(["-q", "-y", "-o", "Acquire::Retries=3"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    process::output(apt(&["update"]), Duration::from_mins(5)).await?;
    let mut install = apt(&["install", "--no-install-recommends"]);
    install.args(&packages);
    process::output(install, Duration::from_mins(30)).await?;
    Ok(())
}
