//! What every [`Vswitch`] does, said as functions that panic where one does not.
//!
//! The mock runs them in its unit tests, the real one against real daemons. Each begins with a switch that
//! lacks the bridge named and leaves it so; the foreign bridge comes through unharmed.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic is how these functions speak"
)]

use std::collections::BTreeSet;

use crate::{
    BridgeName, Change, Datapath, Error, Observation, Owner, PortKey, PortName, Setting, VlanId, Vswitch,
    flow::{Action, Port},
};

/// The names the functions may use on a switch.
#[derive(Clone, Debug)]
pub struct Names {
    /// A bridge that does not exist.
    pub bridge: BridgeName,
    /// Three netdevs that exist and are on no bridge.
    pub netdevs: [PortName; 3],
    /// A netdev that does not exist, where that makes a difference.
    pub missing: Option<PortName>,
    /// A bridge of somebody else's, and the netdev of a port on it.
    pub foreign: Option<(BridgeName, PortName)>,
}

impl Names {
    /// Names from texts.
    ///
    /// # Panics
    /// If one is not valid.
    pub fn new(
        bridge: &str,
        netdevs: &[&str; 3],
        missing: Option<&str>,
        foreign: Option<(&str, &str)>,
    ) -> Self {
        Self {
            bridge: bridge.parse().expect("a bridge's name"),
            netdevs: netdevs.map(name),
            missing: missing.map(name),
            foreign: foreign.map(|(bridge, port)| (bridge.parse().expect("a bridge's name"), name(port))),
        }
    }

    fn to(&self) -> Change {
        Change::to(self.bridge.clone())
    }

    fn vf(&self, index: usize) -> (PortKey, PortName) {
        (key(&format!("0000:43:00.0/vf{index}")), self.netdevs[index].clone())
    }
}

/// Every function in turn.
pub async fn all(switch: &dyn Vswitch, names: &Names) {
    a_missing_bridge_is_seen_as_missing(switch, names).await;
    bridge_and_ports_are_made_and_found_by_key(switch, names).await;
    what_is_already_so_is_not_written(switch, names).await;
    exactly_takes_away_what_it_does_not_name(switch, names).await;
    an_edit_leaves_other_ports_alone(switch, names).await;
    netdevs_may_change_places(switch, names).await;
    a_port_is_put_into_a_vlan_and_out_again(switch, names).await;
    hw_offload_is_restored_to_the_letter(switch, names).await;
    other_keys_are_set_and_given_back(switch, names).await;
    the_datapath_of_a_bridge_is_its_owners(switch, names).await;
    ports_need_a_bridge(switch, names).await;
    one_netdev_is_asked_for_once(switch, names).await;
    a_foreign_bridge_is_used_and_not_deleted(switch, names).await;
    a_port_of_another_bridge_is_refused(switch, names).await;
    a_missing_netdev_is_reported_and_taken_back(switch, names).await;
    restoring_brings_back_what_was_there(switch, names).await;
}

/// A datapath with traffic: its ports are told apart by number and by name, and each of its flows is identified, prints as
/// it was listed, and begins and ends at one of them.
pub async fn flows_lead_from_port_to_port(datapath: &dyn Datapath) {
    let (ports, flows) = (datapath.ports().await.unwrap(), datapath.flows().await.unwrap());
    assert!(!ports.is_empty() && !flows.is_empty(), "no traffic: {ports:?}, {flows:?}");
    let numbers: BTreeSet<u32> = ports.iter().map(|port| port.number).collect();
    let names: BTreeSet<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!((numbers.len(), names.len()), (ports.len(), ports.len()), "{ports:?}");
    for flow in &flows {
        assert!(flow.ufid.is_some() && flow.stats.dp.is_some(), "not as with `-m`: {flow}");
        assert_eq!(flow.to_string().parse().as_ref(), Ok(flow));
        let output = |action: &Action| match action {
            Action::Output(port) => Some(port.clone()),
            _ => None,
        };
        let outputs = flow.actions.0.iter().filter_map(output);
        for port in flow.key.in_port().cloned().into_iter().chain(outputs) {
            assert!(matches!(&port, Port::Name(name) if names.contains(name.as_str())), "{port:?}: {flow}");
        }
    }
}

/// A bridge that is not there has no ports, and deleting it is no change.
pub async fn a_missing_bridge_is_seen_as_missing(switch: &dyn Vswitch, names: &Names) {
    assert_eq!(look(switch, names).await.bridge, None);
    let writes = switch.writes();
    assert!(!apply(switch, &names.to().absent()).await, "deleting what is not there changed something");
    assert!(!apply(switch, &names.to().exactly([])).await, "no ports on no bridge changed something");
    assert_eq!(switch.writes(), writes);
}

/// A bridge and its ports come in one transaction, and are found by their tags.
pub async fn bridge_and_ports_are_made_and_found_by_key(switch: &dyn Vswitch, names: &Names) {
    let writes = switch.writes();
    assert!(apply(switch, &names.to().present().exactly([names.vf(0), names.vf(1)])).await);
    assert_eq!(switch.writes(), writes + 1, "one change is one write transaction");
    let seen = look(switch, names).await;
    let bridge = seen.bridge.as_ref().expect("the bridge just made");
    assert_eq!(bridge.owner, Owner::Ours);
    let other = switch.observe(&"unheard-of".parse().expect("a name")).await.expect("an observation");
    assert_eq!(other.ours_elsewhere, BTreeSet::from([names.bridge.clone()]), "as seen from another bridge");
    assert!(!seen.ours_elsewhere.contains(&names.bridge));
    assert_eq!(bridge.foreign_ports, BTreeSet::new(), "the bridge's own port is nobody's");
    assert_eq!(keys(&seen), [names.vf(0), names.vf(1)]);
    assert!(bridge.ports.iter().all(crate::PortState::works), "{bridge:?}");
    assert!(seen.is_applied() && seen.carries(&names.netdevs[0]) && !seen.carries(&names.netdevs[2]));
    clean(switch, names).await;
}

/// The same change again sends no write.
pub async fn what_is_already_so_is_not_written(switch: &dyn Vswitch, names: &Names) {
    let change = names.to().present().exactly([names.vf(0), names.vf(1)]);
    assert!(apply(switch, &change).await);
    let writes = switch.writes();
    let before = look(switch, names).await;
    assert!(!apply(switch, &change).await);
    assert!(!apply(switch, &names.to().present().with_port(names.vf(1).0, names.vf(1).1)).await);
    assert_eq!(switch.writes(), writes, "a write was sent for what was already so");
    assert_eq!(look(switch, names).await.next_cfg, before.next_cfg);
    clean(switch, names).await;
}

/// `Exactly` removes the ports of ours that it does not name, and `AsIs` none.
pub async fn exactly_takes_away_what_it_does_not_name(switch: &dyn Vswitch, names: &Names) {
    apply(switch, &names.to().present().exactly([names.vf(0), names.vf(1), names.vf(2)])).await;
    assert!(!apply(switch, &names.to().present()).await);
    assert!(apply(switch, &names.to().exactly([names.vf(1)])).await);
    assert_eq!(keys(&look(switch, names).await), [names.vf(1)]);
    assert!(apply(switch, &names.to().exactly([])).await);
    assert_eq!(keys(&look(switch, names).await), []);
    clean(switch, names).await;
}

/// `Edit` adds and removes the ports it names.
pub async fn an_edit_leaves_other_ports_alone(switch: &dyn Vswitch, names: &Names) {
    apply(switch, &names.to().present().exactly([names.vf(0), names.vf(1)])).await;
    let (key, name) = names.vf(2);
    assert!(apply(switch, &names.to().with_port(key, name).without_port(names.vf(0).0)).await);
    assert_eq!(keys(&look(switch, names).await), [names.vf(1), names.vf(2)]);
    assert!(!apply(switch, &names.to().without_port(names.vf(0).0)).await);
    clean(switch, names).await;
}

/// A key whose netdev has another name now gets a new row; two may even have changed places.
pub async fn netdevs_may_change_places(switch: &dyn Vswitch, names: &Names) {
    let ((a, eth_a), (b, eth_b), (_, other)) = (names.vf(0), names.vf(1), names.vf(2));
    apply(switch, &names.to().present().exactly([(a.clone(), eth_a.clone()), (b.clone(), eth_b.clone())]))
        .await;
    assert!(apply(switch, &names.to().with_port(a.clone(), other.clone())).await);
    assert_eq!(keys(&look(switch, names).await), [(a.clone(), other), (b.clone(), eth_b.clone())]);
    apply(switch, &names.to().with_port(a.clone(), eth_a.clone())).await;
    let swapped = [(a, eth_b), (b, eth_a)];
    assert!(apply(switch, &names.to().exactly(swapped.clone())).await);
    assert_eq!(keys(&look(switch, names).await), swapped);
    clean(switch, names).await;
}

/// A port gets its VLAN when it is added, another one where it is, keeps it under another netdev, and loses it when
/// told; one that is not there is passed over.
pub async fn a_port_is_put_into_a_vlan_and_out_again(switch: &dyn Vswitch, names: &Names) {
    let vlan = |number| Some(VlanId::new(number).expect("a VLAN"));
    let ((a, eth_a), (b, eth_b), (c, eth_c)) = (names.vf(0), names.vf(1), names.vf(2));
    let both = names.to().present().exactly([(a.clone(), eth_a), (b.clone(), eth_b)]);
    assert!(apply(switch, &both.clone().vlan(a.clone(), vlan(100)).vlan(c.clone(), vlan(300))).await);
    let seen = async |key: &PortKey| {
        let glance = switch.glance(&names.bridge).await.expect("an observation");
        let vlan = look(switch, names).await.port(key).and_then(crate::PortState::vlan);
        assert_eq!(glance.port(key).and_then(crate::PortState::vlan), vlan);
        vlan
    };
    assert_eq!((seen(&a).await, seen(&b).await), (vlan(100), None));
    assert!(!apply(switch, &both).await, "what is not spoken of stays");
    assert!(apply(switch, &names.to().vlan(a.clone(), vlan(4094)).vlan(b.clone(), vlan(1))).await);
    assert!(!apply(switch, &both.clone().vlan(a.clone(), vlan(4094))).await);
    let before = look(switch, names).await;
    assert!(apply(switch, &names.to().with_port(a.clone(), eth_c).vlan(b.clone(), None)).await);
    assert_eq!((seen(&a).await, seen(&b).await), (vlan(4094), None));
    assert!(apply(switch, &Change::restoring(names.bridge.clone(), &before)).await);
    assert_eq!((seen(&a).await, seen(&b).await), (vlan(4094), vlan(1)));
    clean(switch, names).await;
}

/// `hw-offload` absent, `false` and other texts are told apart and come back as they were. `true` is not tried:
/// on a real switch it stays in force until a restart.
pub async fn hw_offload_is_restored_to_the_letter(switch: &dyn Vswitch, names: &Names) {
    let first = look(switch, names).await;
    for value in ["false", "False", "no"] {
        assert!(apply(switch, &names.to().hw_offload(value)).await);
        let seen = look(switch, names).await;
        let before = first.hw_offload.clone().map_or(Setting::Unset, Setting::Set);
        assert_eq!(seen.hw_offload_before, Some(before), "what was there first is not known any more");
        assert_eq!(seen.hw_offload.as_deref(), Some(value));
        assert!(!seen.hw_offload_configured());
        assert!(!apply(switch, &names.to().hw_offload(value)).await);
    }
    assert!(apply(switch, &names.to().hw_offload_unset()).await);
    assert_eq!(look(switch, names).await.hw_offload, None);
    assert!(!apply(switch, &names.to().hw_offload_unset()).await);
    apply(switch, &Change::restoring(names.bridge.clone(), &first)).await;
    let last = look(switch, names).await;
    assert_eq!((last.hw_offload, last.hw_offload_before), (first.hw_offload, first.hw_offload_before));
}

/// Another key of the switch's is set, is ours until it reads as before, and others' keys are not touched.
pub async fn other_keys_are_set_and_given_back(switch: &dyn Vswitch, names: &Names) {
    const KEY: &str = "stats-update-interval";
    let first = look(switch, names).await;
    let before = first.other_config.get(KEY).cloned();
    assert!(!first.config_before.contains_key(KEY), "it is not ours yet");
    for value in ["7000", "8000"] {
        assert!(apply(switch, &names.to().config(KEY, Some(value))).await);
        assert!(!apply(switch, &names.to().config(KEY, Some(value))).await, "the same again is no write");
        let seen = look(switch, names).await;
        assert_eq!(seen.other_config.get(KEY).map(String::as_str), Some(value));
        assert_eq!(seen.config_before.get(KEY).map(|was| was.over(None)), Some(before.as_deref()));
        assert_eq!(seen.hw_offload, first.hw_offload);
    }
    assert!(apply(switch, &names.to().config(KEY, before.as_deref())).await);
    let last = look(switch, names).await;
    assert_eq!((last.other_config, last.config_before), (first.other_config, first.config_before));
}

/// A bridge of ours has the datapath that is asked for, also later; somebody else's keeps its own.
pub async fn the_datapath_of_a_bridge_is_its_owners(switch: &dyn Vswitch, names: &Names) {
    let kind = async || look(switch, names).await.bridge.map(|bridge| bridge.datapath_type);
    assert!(apply(switch, &names.to().present().datapath_type("netdev").exactly([names.vf(0)])).await);
    assert_eq!(kind().await.as_deref(), Some("netdev"));
    assert!(!apply(switch, &names.to().present().datapath_type("netdev")).await);
    assert!(!apply(switch, &names.to().present()).await, "nobody asks");
    clean(switch, names).await;
    assert!(apply(switch, &names.to().present()).await);
    assert!(!apply(switch, &names.to().datapath_type("system")).await, "the kernel's is the usual one");
    assert!(apply(switch, &names.to().datapath_type("netdev")).await);
    assert_eq!(kind().await.as_deref(), Some("netdev"));
    clean(switch, names).await;
    let Some((foreign, _)) = &names.foreign else { return };
    let refused = switch.apply(&Change::to(foreign.clone()).datapath_type("netdev")).await;
    assert!(matches!(refused, Err(Error::DatapathType { .. })), "{refused:?}");
}

/// Ports cannot be added to a bridge that neither is nor is to be.
pub async fn ports_need_a_bridge(switch: &dyn Vswitch, names: &Names) {
    let error = refused(switch, &names.to().exactly([names.vf(0)])).await;
    assert!(matches!(error, Error::NoBridge { .. }), "{error:?}");
}

/// A netdev under two keys is a mistake of the caller's.
pub async fn one_netdev_is_asked_for_once(switch: &dyn Vswitch, names: &Names) {
    let twice = [(key("a"), names.netdevs[0].clone()), (key("b"), names.netdevs[0].clone())];
    let error = refused(switch, &names.to().present().exactly(twice)).await;
    assert!(matches!(error, Error::DuplicatePort { .. }), "{error:?}");
}

/// A foreign bridge takes our ports and gives them back; it is never deleted. Its own ports are as good as ours
/// where they carry a netdev asked for, and stay when ours go.
pub async fn a_foreign_bridge_is_used_and_not_deleted(switch: &dyn Vswitch, names: &Names) {
    let Some((bridge, port)) = &names.foreign else { return };
    let to = || Change::to(bridge.clone());
    let before = switch.observe(bridge).await.expect("an observation");
    let state = before.bridge.as_ref().expect("the foreign bridge");
    assert_eq!(state.owner, Owner::Foreign);
    assert_eq!(state.foreign_ports, BTreeSet::from([port.to_string()]));
    let error = refused(switch, &to().absent()).await;
    assert!(matches!(error, Error::NotOwner { .. }), "{error:?}");
    assert!(!apply(switch, &to().present().with_port(key("uplink"), port.clone())).await);
    assert!(apply(switch, &to().present().exactly([names.vf(0)])).await);
    let during = switch.observe(bridge).await.expect("an observation");
    assert_eq!(keys(&during), [names.vf(0)]);
    assert!(!during.is_ours() && during.carries(port));
    assert!(apply(switch, &Change::restoring(bridge.clone(), &before)).await);
    assert_eq!(settled(switch.observe(bridge).await.expect("an observation")), settled(before));
}

/// A netdev that another bridge has is not taken away from it; nothing is changed.
pub async fn a_port_of_another_bridge_is_refused(switch: &dyn Vswitch, names: &Names) {
    let Some((bridge, port)) = &names.foreign else { return };
    let seen = look(switch, names).await;
    assert_eq!(seen.elsewhere[port.as_str()].bridge, bridge.as_str());
    for name in [port.as_str(), bridge.as_str()] {
        let change = names.to().present().exactly([names.vf(0), (key("uplink"), self::name(name))]);
        let error = refused(switch, &change).await;
        let Error::PortElsewhere { port, bridge: at, key: None } = &error else { panic!("{error:?}") };
        assert_eq!((port.as_str(), at.as_str()), (name, bridge.as_str()));
    }
    assert_eq!(look(switch, names).await, seen);
}

/// A netdev that is not there is recorded and reported; what was observed before takes it back. A port that was
/// recorded and broken before is restored as just that.
pub async fn a_missing_netdev_is_reported_and_taken_back(switch: &dyn Vswitch, names: &Names) {
    let (Some(missing), Some((bridge, _))) = (&names.missing, &names.foreign) else { return };
    let to = || Change::to(bridge.clone());
    let before = switch.observe(bridge).await.expect("an observation");
    let broken = to().exactly([names.vf(0), (key("gone"), missing.clone())]);
    for _ in 0..2 {
        let error = refused(switch, &broken).await;
        let Error::InterfaceFailed { interfaces, .. } = &error else { panic!("{error:?}") };
        assert_eq!(interfaces.len(), 1, "only the missing one fails: {interfaces:?}");
        assert_eq!((interfaces[0].name.as_str(), interfaces[0].ofport), (missing.as_str(), Some(-1)));
        let text = interfaces[0].error.as_deref().unwrap_or_default();
        assert_eq!(text, format!("could not open network device {missing} (No such device)"));
    }
    let recorded = switch.observe(bridge).await.expect("an observation");
    assert!(!recorded.port(&key("gone")).expect("the port recorded").works());
    assert!(apply(switch, &to().exactly([])).await);
    assert!(
        apply(switch, &Change::restoring(bridge.clone(), &recorded)).await,
        "broken before, broken again"
    );
    assert_eq!(settled(switch.observe(bridge).await.expect("an observation")), settled(recorded));
    assert!(apply(switch, &Change::restoring(bridge.clone(), &before)).await);
    assert_eq!(settled(switch.observe(bridge).await.expect("an observation")), settled(before));
}

/// Whatever was done in between, enforcing an observation brings it back.
pub async fn restoring_brings_back_what_was_there(switch: &dyn Vswitch, names: &Names) {
    let nothing = look(switch, names).await;
    apply(switch, &names.to().present().exactly([names.vf(0), names.vf(1)]).hw_offload("false")).await;
    let two = look(switch, names).await;
    apply(switch, &names.to().exactly([names.vf(2)]).hw_offload_unset()).await;
    assert!(apply(switch, &Change::restoring(names.bridge.clone(), &two)).await);
    assert_eq!(settled(look(switch, names).await), settled(two));
    assert!(apply(switch, &Change::restoring(names.bridge.clone(), &nothing)).await);
    assert_eq!(settled(look(switch, names).await), settled(nothing));
}

async fn look(switch: &dyn Vswitch, names: &Names) -> Observation {
    switch.observe(&names.bridge).await.expect("an observation")
}

async fn apply(switch: &dyn Vswitch, change: &Change) -> bool {
    match switch.apply(change).await {
        Ok(applied) => applied.changed,
        Err(error) => panic!("{change:?} failed: {error}"),
    }
}

async fn refused(switch: &dyn Vswitch, change: &Change) -> Error {
    match switch.apply(change).await {
        Ok(_) => panic!("{change:?} was taken"),
        Err(error) => error,
    }
}

async fn clean(switch: &dyn Vswitch, names: &Names) {
    assert!(apply(switch, &names.to().absent()).await);
    assert_eq!(look(switch, names).await.bridge, None);
}

/// An observation without what moves on by itself: configuration numbers, and the numbers and link states that
/// ports get anew.
fn settled(mut seen: Observation) -> Observation {
    (seen.next_cfg, seen.cur_cfg) = (0, 0);
    for port in seen.bridge.iter_mut().flat_map(|bridge| &mut bridge.ports) {
        (port.admin_up, port.link_up) = (None, None);
        port.ofport = port.ofport.map(|ofport| ofport.min(0));
    }
    seen
}

fn keys(seen: &Observation) -> Vec<(PortKey, PortName)> {
    seen.ports().iter().map(|port| (port.key.clone(), port.name.clone())).collect()
}

fn key(text: &str) -> PortKey {
    text.parse().expect("a port's key")
}

fn name(text: &str) -> PortName {
    text.parse().expect("a port's name")
}
