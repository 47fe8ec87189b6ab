//! Which reason holds first.

use vdpa_eswitch::Mode;
use vdpa_ovs::flow::{Action, Attribute, Flow};
use vdpa_tc::{Flags, Split};

use super::{Forwarder, Joined, Reason, Survey};

/// Why the card does not forward a flow; `None` where it does. `passed` is what was forwarded while somebody measured.
pub fn why(survey: &Survey, joined: &Joined<'_>, passed: Option<Split>) -> Option<Reason> {
    match joined.forwarder() {
        Forwarder::Hardware => {
            passed.filter(|passed| passed.software.packets > 0).map(|passed| in_hardware(joined, passed))
        }
        forwarder => Some(
            setting(survey, joined, forwarder)
                .or_else(|| ports(survey, joined))
                .or_else(|| rule(survey, joined, forwarder))
                .unwrap_or(Reason::Unknown { forwarder }),
        ),
    }
}

/// The card has the rule, and packets pass in software all the same.
fn in_hardware(joined: &Joined<'_>, passed: Split) -> Reason {
    let conntrack = uses_conntrack(joined);
    let icmp = joined.flow.key.all().into_iter().any(|attribute| match attribute {
        Attribute::Icmp(_) | Attribute::Icmpv6(_) => true,
        Attribute::Ipv4(ipv4) => ipv4.proto.is_some_and(|proto| proto.value == 1),
        Attribute::Ipv6(ipv6) => ipv6.proto.is_some_and(|proto| proto.value == 58),
        _ => false,
    });
    match (conntrack, icmp) {
        (true, true) => Reason::IcmpUnderConntrack,
        (true, false) => Reason::ConntrackInSoftware,
        (false, _) => Reason::SoftwareAllTheSame { packets: passed.software.packets },
    }
}

/// What holds for all flows of the switch or of the card.
fn setting(survey: &Survey, joined: &Joined<'_>, forwarder: Forwarder) -> Option<Reason> {
    let parent = joined.in_port().and_then(|port| survey.ports.get(port)?.parent);
    if let Some(pf) = parent
        && survey.modes.get(&pf) == Some(&Mode::Legacy)
    {
        return Some(Reason::EswitchLegacy { pf });
    }
    if forwarder == Forwarder::Datapath && !survey.observation.hw_offload_configured() {
        return Some(Reason::HwOffloadOff { value: survey.observation.hw_offload.clone() });
    }
    (forwarder == Forwarder::Datapath && !survey.in_force()).then_some(Reason::HwOffloadNotInForce)
}

/// What holds for the ports that packets come in by and leave by.
fn ports(survey: &Survey, joined: &Joined<'_>) -> Option<Reason> {
    let name = joined.in_port()?;
    let port = survey.ports.get(name)?;
    let named = || name.to_owned();
    if port.internal {
        return Some(Reason::InternalSource { port: named() });
    }
    // A tunnel's device belongs to no card, and its rules are offloaded through the uplink.
    let tunnel = joined.flow.key.0.iter().any(|attribute| matches!(attribute, Attribute::Tunnel(_)));
    if port.switch.is_none() && !tunnel {
        return Some(Reason::NotOnCard { port: named() });
    }
    if !port.hooked && port.index.is_some() {
        return Some(Reason::NoIngressQdisc { port: named() });
    }
    if port.tc_offload == Some(false) {
        return Some(Reason::TcOffloadOff { port: named() });
    }
    let encapsulated = joined.flow.actions.0.iter().any(|action| matches!(action, Action::Set(_)));
    for output in joined.outputs() {
        match survey.ports.get(output) {
            Some(to) if to.internal => return Some(Reason::InternalDestination { port: output.to_owned() }),
            Some(to) if to.switch != port.switch && !tunnel && !encapsulated => {
                return Some(Reason::OtherSwitch { port: output.to_owned() });
            }
            _ => {}
        }
    }
    None
}

/// What holds for the flow itself.
fn rule(survey: &Survey, joined: &Joined<'_>, forwarder: Forwarder) -> Option<Reason> {
    let policy = survey.observation.other_config.get("tc-policy").map(String::as_str);
    let skip_hw = joined
        .filter
        .and_then(|filter| filter.flower())
        .is_some_and(|rule| rule.flags.contains(Flags::SKIP_HW));
    if skip_hw || (forwarder == Forwarder::Tc && policy == Some("skip_hw")) {
        return Some(Reason::SkipHw);
    }
    let port = joined.in_port().unwrap_or_default();
    if forwarder == Forwarder::Tc {
        let ask = joined.filter.and_then(|filter| filter.question(port, &|link| survey.name_of(link)));
        return Some(Reason::DriverRefused { port: port.to_owned(), said: None, ask });
    }
    if policy == Some("skip_sw") && uses_conntrack(joined) {
        return Some(Reason::SkipSwConntrack);
    }
    if let Some(key) = unsupported_key(joined.flow) {
        return Some(Reason::UnsupportedKey { key });
    }
    if let Some(action) = joined.flow.actions.0.iter().find_map(unsupported_action) {
        return Some(Reason::UnsupportedAction { action });
    }
    if let Some(recirculation) = joined.flow.key.recirc_id().filter(|id| *id != 0) {
        let mut leading = survey.flows.iter().filter(|flow| leads_to(flow, recirculation));
        if !leading.any(|flow| Joined { flow, filter: None }.forwarder() != Forwarder::Datapath) {
            return Some(Reason::ChainNotInTc { recirculation });
        }
    }
    // `netdev_tc_flow_put` in OVS's `lib/netdev-offload-tc.c`.
    let unshared = |line: &&String| line.ends_with("recirc_id sharing not supported");
    if recirculates(joined.flow)
        && let Some(said) = survey.complaints.iter().rev().find(unshared)
    {
        return Some(Reason::RecirculationNotShared { said: said.clone() });
    }
    let of_port = |line: &&String| line.ends_with(&format!(": {port}"));
    let said = survey.complaints.iter().rev().find(of_port).cloned();
    // With skip_sw, a rule that the driver refuses is in tc nowhere.
    if policy == Some("skip_sw") {
        return Some(Reason::DriverRefused { port: port.to_owned(), said, ask: None });
    }
    let said = said.or_else(|| survey.complaints.last().cloned())?;
    Some(Reason::OvsRefused { said })
}

fn uses_conntrack(joined: &Joined<'_>) -> bool {
    let looks = joined.flow.key.0.iter().any(|attribute| match attribute {
        Attribute::CtState(state) => state.to_string() != "0/0",
        _ => false,
    });
    let acts = joined.flow.actions.0.iter().any(|action| matches!(action, Action::Ct(_)));
    let rule = joined.filter.and_then(|filter| filter.flower()).is_some_and(vdpa_tc::Flower::has_conntrack);
    looks || acts || rule
}

fn recirculates(flow: &Flow) -> bool {
    flow.key.recirc_id().is_some_and(|id| id != 0)
        || flow.actions.0.iter().any(|action| matches!(action, Action::Recirc(_)))
}

fn leads_to(flow: &Flow, recirculation: u32) -> bool {
    flow.actions.0.iter().any(|action| matches!(action, Action::Recirc(id) if *id == recirculation))
}

/// An attribute of which some bit counts and that has no flower key (`test_key_and_mask` in OVS's
/// `lib/netdev-offload-tc.c`).
fn unsupported_key(flow: &Flow) -> Option<String> {
    let refuses = |attribute: &&Attribute| match attribute {
        // A mark of nothing is what packets have.
        Attribute::SkbMark(value) if value.value == 0 && value.mask.is_none_or(|mask| mask == u32::MAX) => {
            false
        }
        Attribute::SkbPriority(value) | Attribute::SkbMark(value) | Attribute::DpHash(value) => {
            !value.is_wildcard()
        }
        Attribute::CtTuple4(_) | Attribute::CtTuple6(_) | Attribute::Nd(_) | Attribute::NdExtensions(_) => {
            !counts_nothing(attribute)
        }
        Attribute::Ipv6(ipv6) => ipv6.label.is_some_and(|label| !label.is_wildcard()),
        Attribute::Nsh(_) => true,
        Attribute::Mpls(labels) => labels.to_string().contains(')'),
        _ => false,
    };
    flow.key.all().into_iter().find(refuses).map(ToString::to_string)
}

/// Whether every value in the attribute has a mask of zeros.
fn counts_nothing(attribute: &Attribute) -> bool {
    let text = attribute.to_string();
    let Some((_, content)) = text.split_once('(') else { return true };
    let zero = |mask: &str| mask.chars().all(|char| matches!(char, '0' | '.' | ':' | 'x'));
    content
        .trim_end_matches(')')
        .split(',')
        .all(|part| part.rsplit_once('/').is_some_and(|(_, mask)| zero(mask)))
}

/// An action that has no tc action (`netdev_tc_parse_nl_actions` in OVS's `lib/netdev-offload-tc.c`).
fn unsupported_action(action: &Action) -> Option<String> {
    let what = match action {
        Action::Userspace(_) => "send packets to user space",
        Action::Sample(_) | Action::Psample(_) => "sample packets",
        Action::Hash(_) => "hash packets",
        Action::Trunc(_) => "cut packets",
        Action::LbOutput(_) => "spread packets over a bond",
        Action::Clone(_) => "send a changed copy of packets",
        Action::DecTtl(_) => "lower the time to live",
        Action::PushEth(_) | Action::PopEth => "change Ethernet headers",
        // All but the headers of `set_flower_map`, MPLS's and a tunnel's.
        Action::Set(field)
            if !matches!(
                **field,
                Attribute::Eth(_)
                    | Attribute::Ipv4(_)
                    | Attribute::Ipv6(_)
                    | Attribute::Tcp(_)
                    | Attribute::Udp(_)
                    | Attribute::Mpls(_)
                    | Attribute::Tunnel(_)
            ) =>
        {
            "change what no tc action changes"
        }
        Action::PushNsh(_) | Action::PopNsh => "change network service headers",
        Action::TunnelPush(_) | Action::TunnelPop(_) => {
            "push or pop tunnel headers of the userspace datapath"
        }
        _ => return None,
    };
    Some(format!("{what}: {action}"))
}

#[cfg(test)]
mod tests;
