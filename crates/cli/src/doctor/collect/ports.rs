//! Ports of ours on the bridge: network devices, and DPDK's.

use vdpa_ovs::PortState;

use crate::doctor::evidence::DpdkPort;

/// Whether a port is no network device of the kernel's, but DPDK's: by its type, which begins like that with every build.
pub(super) fn is_dpdk(port: &PortState) -> bool {
    kind(port).is_some_and(|kind| kind.starts_with("dpdk"))
}

/// Why ovs-vswitchd could not open a port, if it could not.
pub(super) fn trouble(port: &PortState) -> Option<String> {
    let words = || port.error.clone().unwrap_or_else(|| "no error is given".to_owned());
    (!port.works()).then(words)
}

fn kind(port: &PortState) -> Option<String> {
    port.settings.interface.text("type").ok()
}

impl From<&PortState> for DpdkPort {
    fn from(port: &PortState) -> Self {
        let mut options = port.settings.interface.text_map("options").unwrap_or_default();
        Self {
            name: port.name.to_string(),
            kind: kind(port).unwrap_or_default(),
            vf: port.key.as_str().parse().ok(),
            devargs: options.remove("dpdk-devargs"),
            socket: options.remove("vhost-server-path").map(Into::into),
            error: trouble(port),
            link_up: port.link_up,
        }
    }
}
