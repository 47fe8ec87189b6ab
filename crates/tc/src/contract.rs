//! What is true of every [`Tc`], simulated or real.
//!
//! Each function is one statement; it panics with what it found instead. [`all`] runs every one of them.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic is what each of them is for"
)]

use vdpa_hw::{IfIndex, MacAddress};

use crate::{ActionKind, Direction, Flags, Key, QdiscKind, Tc};

/// What to hold to the contract.
pub struct Subject<'a> {
    /// What is asked.
    pub tc: &'a dyn Tc,
    /// A device with an ingress qdisc, no clsact, and one flower filter.
    pub link: IfIndex,
    /// The device that the filter redirects to.
    pub to: IfIndex,
    /// The destination address that the filter wants.
    pub destination: MacAddress,
    /// The Ethernet type of the filter.
    pub eth_type: u16,
    /// Whether the hardware has it.
    pub in_hw: bool,
    /// How many packets it has counted.
    pub packets: u64,
    /// A device without a qdisc for filters.
    pub bare: IfIndex,
}

/// Every statement, one after the other.
pub async fn all(subject: &Subject<'_>) {
    a_device_with_an_ingress_qdisc_is_a_hook(subject).await;
    the_filter_is_read_with_its_keys_and_its_action(subject).await;
    flags_and_counters_agree_on_who_forwards(subject).await;
    there_is_nothing_where_nothing_can_be(subject).await;
    filters_are_in_chains(subject).await;
}

/// The device is among the hooks, with its qdisc; the bare one is not.
pub async fn a_device_with_an_ingress_qdisc_is_a_hook(subject: &Subject<'_>) {
    let hooks = subject.tc.hooks().await.expect("hooks");
    let hook = hooks.iter().find(|hook| hook.link == subject.link);
    assert_eq!(hook.map(|hook| hook.kind), Some(QdiscKind::Ingress), "{hooks:?}");
    assert!(hooks.iter().all(|hook| hook.link != subject.bare), "{hooks:?}");
}

/// Keys, protocol and action are those of the filter.
pub async fn the_filter_is_read_with_its_keys_and_its_action(subject: &Subject<'_>) {
    let filters = subject.tc.filters(subject.link, Direction::Ingress).await.expect("filters");
    let [filter] = filters.as_slice() else { panic!("one filter, not {filters:#?}") };
    assert_eq!((filter.protocol, filter.chain), (subject.eth_type, 0), "{filter}");
    assert!(filter.priority > 0 && filter.handle > 0, "{filter}");
    let rule = filter.flower().expect("a flower rule");
    let destination = rule.key(Key::DstMac).unwrap_or_else(|| panic!("{filter}"));
    assert!(destination.admits(&subject.destination.octets()), "{filter}");
    let eth_type = rule.key(Key::EthType).unwrap_or_else(|| panic!("{filter}"));
    assert!(eth_type.admits(&subject.eth_type.to_be_bytes()), "{filter}");
    let [action] = rule.actions.as_slice() else { panic!("one action, not {:#?}", rule.actions) };
    assert_eq!(action.kind, ActionKind::Mirred { to: subject.to, mirror: false, ingress: false });
    assert!(rule.unread.is_empty(), "{filter}");
}

/// `in_hw` and hardware counters, or `not_in_hw` and software counters.
pub async fn flags_and_counters_agree_on_who_forwards(subject: &Subject<'_>) {
    let filters = subject.tc.filters(subject.link, Direction::Ingress).await.expect("filters");
    for filter in &filters {
        let flags = filter.flower().map(|rule| rule.flags).expect("a flower rule");
        assert_eq!(flags.contains(Flags::IN_HW), subject.in_hw, "{filter}");
        assert_eq!(flags.contains(Flags::NOT_IN_HW), !subject.in_hw, "{filter}");
        assert_eq!(filter.in_hardware(), Some(subject.in_hw), "{filter}");
        let counted = filter.counters();
        let (by, other) = if subject.in_hw {
            (counted.hardware, counted.software)
        } else {
            (counted.software, counted.hardware)
        };
        assert_eq!((by.packets, other.packets), (subject.packets, 0), "{filter}");
    }
}

/// No filter leaves on egress of an ingress qdisc, on a bare device, or on one that is not there.
pub async fn there_is_nothing_where_nothing_can_be(subject: &Subject<'_>) {
    let nowhere = IfIndex(0x7fff_fff0);
    for (link, direction) in [
        (subject.link, Direction::Egress),
        (subject.bare, Direction::Ingress),
        (nowhere, Direction::Ingress),
        (nowhere, Direction::Egress),
    ] {
        let filters = subject.tc.filters(link, direction).await.expect("filters");
        assert!(filters.is_empty(), "{direction} of {link}: {filters:?}");
        let chains = subject.tc.chains(link, direction).await.expect("chains");
        assert!(chains.is_empty(), "{direction} of {link}: {chains:?}");
    }
}

/// Each filter's chain is among the chains.
pub async fn filters_are_in_chains(subject: &Subject<'_>) {
    let chains = subject.tc.chains(subject.link, Direction::Ingress).await.expect("chains");
    for filter in subject.tc.filters(subject.link, Direction::Ingress).await.expect("filters") {
        assert!(chains.iter().any(|chain| chain.index == filter.chain), "{chains:?}: {filter}");
    }
}
