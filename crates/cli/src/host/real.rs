//! This host.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vdpa_datapath::dpdk::{DpdkHost, Launcher, Limits, Settings, qemu_group};
use vdpa_ovs::Ovsdb;

use super::Host;
use super::service::Systemd;
use crate::config::HostFile;
use crate::error::Error;

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
    /// What `file` says about it.
    pub fn of(file: &HostFile, ovsdb: &Path) -> Self {
        Self { ovsdb: ovsdb.to_owned(), libvirt: file.libvirt.uri.clone(), group: file.dpdk.group.clone() }
    }
}

/// Where the lock, the receipt and the datapaths' directories are.
pub const RUN: &str = "/run/vdpa";

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
    Ok(Host {
        pci: Arc::new(vdpa_hw::SysfsPci::new("/")),
        links: Arc::new(vdpa_hw::RtnlLinks::new("/")),
        eswitch: Arc::new(vdpa_eswitch::Kernel::new()),
        vswitch: Arc::new(Ovsdb::new(&access.ovsdb)),
        service: Arc::new(Systemd),
        kernel: Arc::new(vdpa_datapath::kernel::Linux::new(Path::new("/sys"), Path::new("/dev"))),
        dpdk: Arc::new(dpdk),
        domains: Arc::new(vdpa_vm::Virsh::new(&access.libvirt)),
        run,
        simulation: None,
    })
}
