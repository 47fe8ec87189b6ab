//! Whether NetworkManager leaves representors alone.
//!
//! Where there are representors, NetworkManager's own records say whether it manages them
//! (`/run/NetworkManager/devices/INDEX`, `managed=`: `nm_config_device_state_write` in its `src/core/nm-config.c`). Before
//! there are any, its configuration can only be searched for a rule that means them.

use std::path::Path;

use vdpa_hw::platform::Files as _;

use super::super::check::Check;
use super::super::collect::{NM_DIRECTORIES, NM_FILE};
use super::super::evidence::{Card, Evidence};
use super::each_card;

/// What a rule for representors speaks of: their driver as udev and NetworkManager know it, the names that the kernel and
/// udev give them, or those of the vendor's scripts.
const MEANT: [&str; 5] = ["mlx5e_rep", "pf?vf", "pf*vf", "_[0-9]", "_*"];

/// A check for each card.
pub(super) fn network_manager(evidence: &Evidence) -> Vec<Check> {
    const RUNDIR: &str = "/run/NetworkManager";
    match evidence.files.list(RUNDIR.as_ref()) {
        Ok(_) => each_card(evidence, |card| of_card(evidence, card)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            vec![Check::pass("host", "NetworkManager does not run", RUNDIR)]
        }
        Err(error) => vec![Check::unknown("host", format!("cannot read {RUNDIR}: {error}"), RUNDIR)],
    }
}

fn of_card(evidence: &Evidence, card: &Card) -> Vec<Check> {
    const SOURCE: &str = "/run/NetworkManager/devices";
    const REMEDY: &str = "in /etc/NetworkManager/conf.d/90-representors.conf: [keyfile] unmanaged-devices=…, then: nmcli general reload";
    if card.address().is_none() {
        return Vec::new();
    }
    let representors = match &card.representors {
        Ok(representors) => representors,
        Err(why) => return vec![Check::unknown(&card.name, why, "devlink port show")],
    };
    if representors.is_empty() {
        return vec![foretold(evidence, card)];
    }
    let (mut managed, mut unread) = (Vec::new(), Vec::new());
    for (index, name) in representors {
        match evidence.files.text(&format!("{SOURCE}/{index}")) {
            Ok(Some(text)) if text.lines().any(|line| line == "managed=true") => {
                managed.push(name.to_string());
            }
            // A device that it has never managed has no record.
            Ok(_) => {}
            Err(why) => unread.push(why),
        }
    }
    let count = representors.len();
    vec![if let Some(why) = unread.pop() {
        Check::unknown(&card.name, why, SOURCE)
    } else if managed.is_empty() {
        Check::pass(&card.name, format!("manages none of {count} representors"), SOURCE)
    } else {
        let fact = format!("manages {} of {count} representors: {}", managed.len(), managed.join(", "));
        Check::pass(&card.name, fact, SOURCE)
            .warn("it may take them off the bridge, give them addresses, and slow the making of many VFs")
            .remedy(REMEDY)
    }]
}

/// What will become of representors that are not there yet, as far as its configuration tells.
fn foretold(evidence: &Evidence, card: &Card) -> Check {
    let mut rules = Vec::new();
    let mut files = vec![NM_FILE.to_owned()];
    for directory in NM_DIRECTORIES {
        let names = evidence.files.list(Path::new(directory)).unwrap_or_default();
        files.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    for file in &files {
        match evidence.files.text(file) {
            Ok(text) => {
                let text = text.unwrap_or_default();
                let about = text
                    .lines()
                    .filter(|line| line.contains("unmanaged-devices") || line.contains("match-device"));
                rules.extend(about.map(|line| (file.clone(), line.trim().to_owned())));
            }
            Err(why) => return Check::unknown(&card.name, why, file),
        }
    }
    let source = "NetworkManager's configuration";
    match rules.iter().find(|(_, rule)| MEANT.iter().any(|meant| rule.contains(meant))) {
        Some((file, rule)) => {
            Check::pass(&card.name, format!("there is no representor yet, and a rule that means them: {rule}"), file)
        }
        None if rules.is_empty() => Check::pass(&card.name, "runs, and no rule leaves devices alone", source)
            .warn("it will bring representors up and configure them as soon as they are there")
            .remedy("in /etc/NetworkManager/conf.d/90-representors.conf: [keyfile] unmanaged-devices=…, then: nmcli general reload"),
        None => {
            let (file, rule) = &rules[0];
            Check::unknown(
                &card.name,
                format!("runs; whether its rules mean representors shows when there are some: {rule}"),
                file,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, healthy, refused};

    const RULES: &str = "/etc/NetworkManager/conf.d/sriov.conf";

    #[test]
    fn where_it_does_not_run_it_manages_nothing() {
        let mut evidence = healthy();
        evidence.without("/run/NetworkManager");
        assert!(check(&evidence, "network-manager").passes("does not run"));
        evidence.unreadable("/run/NetworkManager");
        assert!(check(&evidence, "network-manager").is_unknown("/run/NetworkManager"));
    }

    /// Pitfall 25: NetworkManager must leave representors unmanaged; rules that match VFs miss them.
    #[test]
    fn a_representor_that_it_manages_is_named() {
        let mut evidence = healthy();
        evidence.add_representor(21, "enp67s0f0_0");
        evidence.add_representor(22, "enp67s0f0_1");
        assert!(check(&evidence, "network-manager").passes("manages none of 2"), "it has no record of them");
        evidence.file("/run/NetworkManager/devices/21", "managed=false\n");
        evidence.file("/run/NetworkManager/devices/22", "managed=true\n");
        let found = check(&evidence, "network-manager");
        assert!(
            found.warns("off the bridge") && found.fact.ends_with("1 of 2 representors: enp67s0f0_1"),
            "{found:?}"
        );
        evidence.unreadable("/run/NetworkManager/devices/22");
        assert!(check(&evidence, "network-manager").is_unknown("devices/22"));
        evidence.card().representors = refused("list the ports");
        assert!(check(&evidence, "network-manager").is_unknown("list the ports"));
    }

    #[test]
    fn before_there_are_representors_its_rules_are_looked_at() {
        let mut evidence = healthy();
        assert!(check(&evidence, "network-manager").passes("a rule that means them"));
        evidence.file(RULES, "unmanaged-devices=interface-name:enp67s0f0v0\n");
        assert!(check(&evidence, "network-manager").is_unknown("shows when there are some"));
        evidence.without(RULES);
        assert!(check(&evidence, "network-manager").warns("bring representors up"));
        evidence.unreadable("/etc/NetworkManager/NetworkManager.conf");
        assert!(check(&evidence, "network-manager").is_unknown("NetworkManager.conf"));
    }
}
