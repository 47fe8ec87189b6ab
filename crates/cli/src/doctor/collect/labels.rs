//! SELinux labels of what QEMU opens: vhost-user sockets and `/dev/vhost-vdpa-N`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vdpa_hw::Vf;
use vdpa_hw::platform::{Platform, Selinux};

use crate::doctor::evidence::Seen;
use crate::host::Host;

/// The attribute that holds a label (selinux(8)).
const ATTRIBUTE: &str = "security.selinux";

/// The labels; none where SELinux is off.
pub(super) async fn of(host: &Host, serves: &Seen<Vec<Vf>>) -> BTreeMap<PathBuf, Seen<String>> {
    let platform = Platform::over(host.files.clone());
    if host.simulation.is_some() || matches!(platform.selinux(), Ok(Selinux::Disabled)) {
        return BTreeMap::new();
    }
    let sockets = serves.iter().flatten().map(|vf| host.dpdk.socket(*vf));
    let devices = host.files.list(Path::new("/dev")).unwrap_or_default().into_iter();
    let devices =
        devices.filter(|name| name.starts_with("vhost-vdpa-")).map(|name| Path::new("/dev").join(name));
    let paths: Vec<PathBuf> = sockets.chain(devices).collect();
    let read = tokio::task::spawn_blocking(move || {
        paths.into_iter().map(|path| (path.clone(), label(&path))).collect::<BTreeMap<_, _>>()
    });
    read.await.unwrap_or_default()
}

fn label(path: &Path) -> Seen<String> {
    let mut buffer = [0; 256];
    match rustix::fs::getxattr(path, ATTRIBUTE, &mut buffer) {
        Ok(length) => Ok(String::from_utf8_lossy(&buffer[..length]).trim_end_matches('\0').to_owned()),
        Err(error) => Err(format!("cannot read the label of {}: {error}", path.display())),
    }
}
