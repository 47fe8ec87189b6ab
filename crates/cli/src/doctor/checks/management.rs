//! Whether the host is managed through a card: what `setup`'s guard `management-traffic` will object to.

use vdpa_hw::ManagementUse;

use super::super::check::Check;
use super::super::evidence::Evidence;
use super::each_card;

/// Addresses, routes, memberships and this SSH session, on the PF and on what stands on it.
pub(super) fn management(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        if card.address().is_none() {
            return Vec::new();
        }
        let uses = match &card.uses {
            Ok(uses) => uses,
            Err(why) => return vec![Check::unknown(&card.name, why, "rtnetlink")],
        };
        let session = match &evidence.answers.session {
            Ok(session) => *session,
            Err(why) => return vec![Check::unknown(&card.name, why, "SSH_CONNECTION, /proc/net/tcp")],
        };
        if uses.is_empty() {
            return vec![Check::pass(&card.name, "carries none", "rtnetlink")];
        }
        let here = |how: &ManagementUse| match how {
            ManagementUse::Address(address) => session == Some(*address),
            _ => false,
        };
        let shown = uses.iter().map(|found| {
            let session = if here(&found.how) { ", which this SSH session is connected to" } else { "" };
            format!("{} {}{session}", found.device, found.how)
        });
        let fact = shown.collect::<Vec<_>>().join("; ");
        let why = if uses.iter().any(|found| here(&found.how)) {
            "`setup` would cut off the session that it is typed in; its guard management-traffic refuses"
        } else {
            "`setup` takes the PF's network device away for a while; its guard management-traffic refuses"
        };
        let check = Check::pass(&card.name, fact, "rtnetlink").fail(why);
        vec![check.remedy("move what is named to another card, or: vdpa setup --force management-traffic")]
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::evidence::Use;
    use super::super::super::fixture::{check, healthy, refused};
    use super::*;

    fn used(device: &str, how: ManagementUse) -> Use {
        Use { device: device.parse().unwrap(), how }
    }

    #[test]
    fn each_way_to_manage_a_host_through_the_card_fails_and_is_named() {
        let mut evidence = healthy();
        assert!(check(&evidence, "management-traffic").passes("carries none"));
        for (how, fact) in [
            (ManagementUse::Address("10.0.0.5".parse().unwrap()), "enp67s0f0 has address 10.0.0.5"),
            (ManagementUse::DefaultRoute, "enp67s0f0 carries a default route"),
            (ManagementUse::MemberOf("bond0".parse().unwrap()), "enp67s0f0 is a member of bond0"),
            (ManagementUse::CarriedBy("vlan7".parse().unwrap()), "enp67s0f0 carries vlan7"),
        ] {
            evidence.card().uses = Ok(vec![used("enp67s0f0", how)]);
            let found = check(&evidence, "management-traffic");
            assert!(found.fails("refuses") && found.fact == fact, "{found:?}");
        }
    }

    #[test]
    fn the_session_is_found_on_what_stands_on_the_pf() {
        let mut evidence = healthy();
        let address = "10.0.0.5".parse().unwrap();
        evidence.card().uses = Ok(vec![
            used("enp67s0f0", ManagementUse::MemberOf("br0".parse().unwrap())),
            used("br0", ManagementUse::Address(address)),
        ]);
        evidence.answers.session = Ok(Some(address));
        let found = check(&evidence, "management-traffic");
        assert!(found.fails("cut off the session"), "{found:?}");
        assert!(found.fact.ends_with("br0 has address 10.0.0.5, which this SSH session is connected to"));
    }

    #[test]
    fn what_cannot_be_asked_is_unknown() {
        let mut evidence = healthy();
        evidence.answers.session = Err("cannot read /proc/600/fd: Permission denied".to_owned());
        assert!(check(&evidence, "management-traffic").is_unknown("/proc/600/fd"));
        evidence.card().uses = refused("list the addresses of this host");
        assert!(check(&evidence, "management-traffic").is_unknown("list the addresses"));
    }
}
