//! A VF's VLAN: its representor's port of the bridge is an access port, for as long as the host file says so.

mod common;

use common::{Bench, alike};
use vdpa_cli::plan::Change;
use vdpa_ovs::ovsdb::Row;
use vdpa_ovs::{Settings, VlanId};

fn host_file(vf: &str) -> String {
    format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n[[nic.vf]]\nindex = 1\n{vf}\n")
}

/// The VLANs of our ports: the uplink's, VF 0's and VF 1's.
fn vlans(bench: &Bench) -> Vec<Option<u16>> {
    let ports = bench.host.vswitch.snapshot().bridges["ovs-sriov"].ports.clone();
    let mut ports: Vec<_> = ports.into_values().collect();
    ports.sort_by_key(|port| port.external_ids["vdpa-port"].clone());
    ports.iter().map(|port| port.settings.vlan().map(VlanId::get)).collect()
}

#[tokio::test]
async fn a_vlan_comes_with_the_port_changes_and_goes() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    let tagged = host_file("vlan = 100");
    let done = bench.setup(&tagged).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(done.statements.iter().all(Change::holds));
    assert!(
        done.statements.iter().any(|change| change.wanted.to_string() == "VLAN of 0000:43:00.0/vf1: 100")
    );
    assert_eq!(vlans(&bench), [None, None, Some(100)]);
    assert!(!bench.setup(&tagged).await.unwrap().changed);
    bench.setup(&host_file("vlan = 4094")).await.unwrap();
    assert_eq!(vlans(&bench), [None, None, Some(4094)]);
    for changed in [true, false] {
        assert_eq!(bench.setup(&host_file("")).await.unwrap().changed, changed);
        assert_eq!(vlans(&bench), [None, None, None]);
    }
    bench.setup(&tagged).await.unwrap();
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

/// A user's configuration is the user's: a tag that somebody put on a port stays unless the host file speaks of it, and
/// is there again where a `setup` that does fails.
#[tokio::test]
async fn a_tag_of_somebody_elses_stays_and_comes_back() {
    let bench = Bench::new();
    bench.setup(&host_file("")).await.unwrap();
    bench.host.vswitch.edit(|state| {
        for port in state.bridges.get_mut("ovs-sriov").unwrap().ports.values_mut() {
            port.settings = Settings { port: Row::new().with("tag", 7), ..Settings::default() };
        }
    });
    assert!(!bench.setup(&host_file("")).await.unwrap().changed);
    assert_eq!(vlans(&bench), [Some(7); 3]);
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(&host_file("vlan = 100\nmax_rate_mbps = 400000")).await.unwrap_err();
    assert!(failure.error.flat().contains("exceed link maximum speed"), "{}", failure.error.flat());
    alike(&before, &bench.settled_snapshot().await, "after the rollback");
    bench.setup(&host_file("vlan = 100")).await.unwrap();
    assert_eq!(vlans(&bench), [Some(7), Some(7), Some(100)]);
    bench.setup(&host_file("")).await.unwrap();
    assert_eq!(vlans(&bench), [Some(7), Some(7), None], "what the host file has had is taken off");
}
