//! A filter as tc(8) shows it.

use std::fmt;

use vdpa_hw::IfIndex;

use crate::{Action, Classifier, Counters, Filter, Flags, Flower};

/// A filter with devices by their names. See [`Filter::shown`].
pub struct Shown<'a> {
    filter: &'a Filter,
    name: &'a dyn Fn(IfIndex) -> String,
}

impl Filter {
    /// The filter with devices by the names that `name` gives them.
    pub fn shown<'a>(&'a self, name: &'a dyn Fn(IfIndex) -> String) -> Shown<'a> {
        Shown { filter: self, name }
    }
}

/// The filter in the words of `tc -s filter show`, with devices by their numbers.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown(&|index| format!("if{}", index.0)).fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filter { chain, priority, protocol, handle, classifier, .. } = self.filter;
        let kind = match classifier {
            Classifier::Flower(_) => "flower",
            Classifier::Other { kind, .. } => kind,
        };
        let protocol = self::protocol(*protocol);
        write!(f, "filter protocol {protocol} pref {priority} {kind} chain {chain} handle 0x{handle:x}")?;
        match classifier {
            Classifier::Flower(rule) => flower(f, rule, self.name),
            Classifier::Other { .. } => Ok(()),
        }
    }
}

fn flower(f: &mut fmt::Formatter<'_>, rule: &Flower, name: &dyn Fn(IfIndex) -> String) -> fmt::Result {
    rule.class_id.map_or(Ok(()), |class| write!(f, " classid {:x}:{:x}", class >> 16, class & 0xffff))?;
    rule.indev.as_ref().map_or(Ok(()), |indev| write!(f, "\n  indev {indev}"))?;
    rule.matches.iter().try_for_each(|found| write!(f, "\n  {found}"))?;
    rule.unread.iter().try_for_each(|unread| write!(f, "\n  {unread}"))?;
    write!(f, "\n  {}", rule.flags)?;
    let cards = rule.in_hw_count.filter(|_| rule.flags.contains(Flags::IN_HW));
    cards.map_or(Ok(()), |count| write!(f, " in_hw_count {count}"))?;
    for (order, action) in rule.actions.iter().enumerate() {
        write!(f, "\n\taction order {}: ", order + 1)?;
        self::action(f, action, name)?;
    }
    Ok(())
}

fn action(f: &mut fmt::Formatter<'_>, action: &Action, name: &dyn Fn(IfIndex) -> String) -> fmt::Result {
    action.kind.write(f, name)?;
    // What tc wrote has it already.
    if !matches!(action.kind, crate::ActionKind::Saved(_)) {
        write!(f, " {}", action.control)?;
    }
    write!(f, "\n\tindex {} ref {} bind {}", action.index, action.references, action.bound)?;
    action.installed.map_or(Ok(()), |ago| write!(f, " installed {} sec", ago.as_secs()))?;
    action.used.map_or(Ok(()), |ago| write!(f, " used {} sec", ago.as_secs()))?;
    if let Some(stats) = &action.stats {
        let Counters { packets, bytes } = stats.total;
        let crate::Stats { drops, overlimits, requeues, backlog, qlen, .. } = stats;
        write!(f, "\n\tAction statistics:\n\tSent {bytes} bytes {packets} pkt ")?;
        write!(f, "(dropped {drops}, overlimits {overlimits} requeues {requeues})")?;
        if stats.hardware.is_some() {
            let split = stats.split();
            for (who, counted) in [("software", split.software), ("hardware", split.hardware)] {
                write!(f, "\n\tSent {who} {} bytes {} pkt", counted.bytes, counted.packets)?;
            }
        }
        write!(f, "\n\tbacklog {backlog}b {qlen}p requeues {requeues}")?;
    }
    action.cookie.as_ref().map_or(Ok(()), |cookie| write!(f, "\n\tcookie {cookie}"))?;
    action.hw_stats.map_or(Ok(()), |how| write!(f, "\n\thw_stats {}", how.name()))?;
    action.used_hw_stats.map_or(Ok(()), |how| write!(f, "\n\tused_hw_stats {}", how.name()))
}

/// Ethernet types with names (`ll_proto_n2a` in iproute2's `lib/ll_proto.c`).
const PROTOCOLS: [(u16, &str); 8] = [
    (0x0003, "all"),
    (0x0800, "ip"),
    (0x0806, "arp"),
    (0x86dd, "ipv6"),
    (0x8100, "802.1Q"),
    (0x88a8, "802.1ad"),
    (0x8847, "mpls_uc"),
    (0x88cc, "LLDP"),
];

/// An Ethernet type as tc names it.
pub(crate) fn protocol(number: u16) -> String {
    let known = PROTOCOLS.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("[{number}]"), |(_, name)| (*name).to_owned())
}

/// The Ethernet type that tc names so.
pub(crate) fn protocol_named(name: &str) -> Option<u16> {
    let number = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok());
    number.or_else(|| PROTOCOLS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number))
}
