//! What of the host bears upon a result: kernel, CPUs, Open vSwitch, cards and their firmware.
//!
//! Each is kept if it can be found out; a result without it is still one.

use serde::{Deserialize, Serialize};
use vdpa_eswitch::DevlinkHandle;
use vdpa_ovs::BridgeName;

use super::compare::Difference;
use crate::doctor::collect::version_of_switch;
use crate::host::Host;

/// What a host is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The kernel's release: `6.12.38+deb13-amd64`.
    pub kernel: Option<String>,
    /// What its CPUs are called.
    pub cpu: Option<String>,
    /// How many there are.
    pub cpus: Option<u32>,
    /// The version of Open vSwitch.
    pub ovs: Option<String>,
    /// `hw-offload` of Open vSwitch.
    pub hw_offload: Option<String>,
    /// Network cards that can have VFs.
    pub cards: Vec<Card>,
}

/// A card: one PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its PCI address.
    pub address: String,
    /// Vendor and device: `15b3:101d`.
    pub id: String,
    /// Its driver.
    pub driver: Option<String>,
    /// The firmware that it runs.
    pub firmware: Option<String>,
    /// VFs that it has.
    pub vfs: u16,
}

impl Facts {
    /// Of `host`.
    pub async fn of(host: &Host, bridge: &BridgeName) -> Self {
        let read = |path: &str| {
            let bytes = host.files.read(path.as_ref()).ok()?;
            Some(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        let (kernel, cpuinfo) =
            (read("/proc/sys/kernel/osrelease"), read("/proc/cpuinfo").unwrap_or_default());
        let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let switch = host.vswitch.glance(bridge).await.ok();
        let ovs = match &switch {
            Some(observed) => version_of_switch(host, observed).await,
            None => None,
        };
        Self {
            kernel,
            cpu: model(&cpuinfo).map(str::to_owned),
            cpus: u32::try_from(cpus).ok().filter(|cpus| *cpus > 0),
            ovs,
            hw_offload: switch.and_then(|observed| observed.hw_offload),
            cards: cards(host).await,
        }
    }

    /// What is another than it was.
    pub(super) fn since(&self, then: &Self) -> Vec<Difference> {
        let cards = |facts: &Self| {
            let lines = facts.cards.iter().map(|card| {
                let text = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "?".to_owned());
                format!(
                    "{} {} firmware {} driver {}",
                    card.address,
                    card.id,
                    text(&card.firmware),
                    text(&card.driver)
                )
            });
            Some(lines.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
        };
        let facts = [
            ("kernel", then.kernel.clone(), self.kernel.clone()),
            ("CPU", then.cpu.clone(), self.cpu.clone()),
            ("CPUs", then.cpus.map(|n| n.to_string()), self.cpus.map(|n| n.to_string())),
            ("Open vSwitch", then.ovs.clone(), self.ovs.clone()),
            ("hw-offload", then.hw_offload.clone(), self.hw_offload.clone()),
            ("cards", cards(then), cards(self)),
        ];
        let differ = facts.into_iter().filter(|(_, then, now)| then != now);
        differ.map(|(what, then, now)| Difference { what: what.to_owned(), then, now }).collect()
    }
}

/// The name that the CPUs have on x86; others have none in that file.
fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
}

async fn cards(host: &Host) -> Vec<Card> {
    let mut cards = Vec::new();
    for function in host.pci.functions().await.unwrap_or_default() {
        let Some(sriov) = function.sriov() else { continue };
        let info = host.eswitch.info(&DevlinkHandle::from(function.address)).await.ok();
        // What has no devlink is no network card, or none that could offload.
        let Some(info) = info else { continue };
        cards.push(Card {
            address: function.address.to_string(),
            id: function.id.to_string(),
            driver: function.driver.as_ref().map(ToString::to_string),
            firmware: info.firmware().map(str::to_owned),
            vfs: sriov.num_vfs,
        });
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_bridge;
    use crate::host::SimulatedHost;

    #[tokio::test]
    async fn a_host_is_known_by_what_matters() {
        let directory = tempfile::tempdir().unwrap();
        let host = SimulatedHost::host_105(directory.path()).host();
        let facts = Facts::of(&host, &default_bridge()).await;
        assert!(facts.kernel.is_some() && facts.cpus > Some(0), "{facts:#?}");
        assert!(
            facts.cards.iter().any(|card| card.id == "15b3:101d" && card.firmware.is_some()),
            "{facts:#?}"
        );
        let kept = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&kept).unwrap(), facts);
    }

    #[test]
    fn cpus_have_a_name_on_x86() {
        let x86 = "processor\t: 0\nmodel\t\t: 106\nmodel name\t: Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz\n";
        assert_eq!(model(x86), Some("Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz"));
        assert_eq!(model("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
    }

    #[test]
    fn what_changed_is_named() {
        let then = Facts { kernel: Some("6.1".into()), cpus: Some(8), ..Facts::default() };
        let now = Facts {
            kernel: Some("6.12".into()),
            cpus: Some(8),
            ovs: Some("3.5.0".into()),
            ..Facts::default()
        };
        let changed: Vec<String> = now.since(&then).iter().map(ToString::to_string).collect();
        assert_eq!(changed, ["kernel: 6.1 then, 6.12 now", "Open vSwitch: not known then, 3.5.0 now"]);
        assert!(now.since(&now).is_empty());
    }
}
