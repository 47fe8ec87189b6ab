//! This host.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vdpa_datapath::dpdk::{DpdkHost, Launcher, Limits, Settings, qemu_group};
use vdpa_eswitch::{DevlinkFirmware, Eswitch};
use vdpa_hw::Pci;
use vdpa_hw::firmware::{Layered, Tools};
use vdpa_ovs::Ovsdb;

use super::Host;
use super::service::Systemd;
use crate::config::{HostFile, Libvirt};
use crate::error::Error;
use crate::naming::System;

/// What has to be known of a host before it can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Where ovsdb-server listens.
    pub ovsdb: PathBuf,
    /// libvirt's connection URI.
    pub libvirt: String,
    /// The group that QEMU runs as, where it is named.
    pub group: Option<String>,
}

impl Access {
    /// A host with everything where it usually is.
    pub fn usual(ovsdb: &Path) -> Self {
        Self { ovsdb: ovsdb.to_owned(), libvirt: Libvirt::default().uri, group: None }
    }

    /// What `file` says about it.
    pub fn of(file: &HostFile, ovsdb: &Path) -> Self {
        Self { ovsdb: ovsdb.to_owned(), libvirt: file.libvirt.uri.clone(), group: file.dpdk.group.clone() }
    }
}

/// Where the lock, the receipt and the datapaths' directories are.
pub const RUN: &str = "/run/vdpa";

/// Where what outlives a reboot is.
const STATE: &str = "/var/lib/vdpa";

/// This host.
///
/// # Errors
/// Where QEMU's group or this program's own path cannot be found out.
pub fn real(access: &Access) -> Result<Host, Error> {
    let run = PathBuf::from(RUN);
    let program =
        std::env::current_exe().map_err(|source| Error::Run { path: "/proc/self/exe".into(), source })?;
    let dpdk = DpdkHost::new(Settings {
        runtime_dir: run.clone(),
        supervisor: vec![program.into_os_string(), OsString::from("supervise")],
        group: qemu_group(Path::new("/etc/group"), access.group.as_deref())?,
        launcher: Launcher::of_host(Path::new("/")),
        limits: Limits::default(),
    });
    let pci: Arc<dyn Pci> = Arc::new(vdpa_hw::SysfsPci::new("/"));
    let eswitch: Arc<dyn Eswitch> = Arc::new(vdpa_eswitch::Kernel::new());
    // The kernel where it has a parameter for a setting, then mstconfig, then mlxconfig.
    let in_kernel = DevlinkFirmware::new(eswitch.clone(), pci.clone());
    let firmware = Layered::new(Arc::new(in_kernel), Arc::new(Tools::default()));
    Ok(Host {
        files: Arc::new(vdpa_hw::platform::Rooted::new("/")),
        pci,
        links: Arc::new(vdpa_hw::RtnlLinks::new("/")),
        eswitch,
        naming: Arc::new(System::new("/")),
        vswitch: Arc::new(Ovsdb::new(&access.ovsdb)),
        datapath: Arc::new(vdpa_ovs::Vswitchd::default()),
        tc: Arc::new(vdpa_tc::Kernel),
        traffic: Arc::new(crate::traffic::RealTraffic),
        service: Arc::new(Systemd),
        kernel: Arc::new(vdpa_datapath::kernel::Linux::new(Path::new("/sys"), Path::new("/dev"))),
        dpdk: Arc::new(dpdk),
        firmware: Arc::new(firmware),
        domains: Arc::new(vdpa_vm::Virsh::new(&access.libvirt)),
        run,
        state: PathBuf::from(STATE),
        simulation: None,
    })
}
