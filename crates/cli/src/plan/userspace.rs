//! The statements about Open vSwitch's userspace datapath: DPDK's settings, and a bridge of DPDK ports.

use std::collections::BTreeMap;

use super::nic::ResolvedNic;
use super::{LAGS, SWITCH, Stages};
use crate::config::{Datapath, HostFile};
use crate::error::Error;
use crate::step::{Device, Step};
use crate::userspace::{self, Use};
use crate::view::View;

/// What DPDK is told of its devices: what others have told it, and the cards.
pub(super) async fn extra(view: &View<'_>, file: &HostFile, nics: &[ResolvedNic]) -> Result<String, Error> {
    const KEY: &str = "dpdk-extra";
    let seen = view.bridge(&file.bridge).await?;
    let now = seen.other_config.get(KEY).map(String::as_str);
    let theirs = seen.config_before.get(KEY).map_or(now, |before| before.over(None));
    let cards = nics.iter().map(|nic| (nic.pf, nic.vfs.len()));
    let further = file.ovs_dpdk.extra.iter().map(String::as_str);
    Ok(userspace::extra(theirs, seen.versions.dpdk.as_deref(), cards, further))
}

/// DPDK first, then the bridge: its ports are of types that are known once DPDK is up.
pub(super) fn add(stages: &mut Stages, file: &HostFile, nics: &[ResolvedNic], extra: &str) {
    let bridge = &file.bridge;
    let settings = [
        ("dpdk-init", Some("true")),
        ("dpdk-extra", Some(extra)),
        ("dpdk-socket-mem", file.ovs_dpdk.socket_mem.as_deref()),
        ("pmd-cpu-mask", file.ovs_dpdk.pmd_cpu_mask.as_deref()),
        ("hw-offload", Some("true")),
    ];
    let setting = |(key, value): (&str, Option<&str>)| {
        let value = Some(value?.to_owned());
        Some(Step::Setting { bridge: bridge.clone(), key: key.to_owned(), value })
    };
    stages[LAGS].extend(settings.into_iter().filter_map(setting));
    let mut ports = BTreeMap::new();
    for nic in nics {
        ports.insert(Device::Uplink(nic.pf), Use::Plain);
        for spec in &nic.vfs {
            let purpose = if spec.datapath == Datapath::OvsDpdk { Use::Vm(spec.queues) } else { Use::Plain };
            ports.insert(Device::Representor(nic.vf(spec)), purpose);
        }
    }
    stages[SWITCH].push(Step::Userspace { bridge: bridge.clone(), exists: true, ports });
}
