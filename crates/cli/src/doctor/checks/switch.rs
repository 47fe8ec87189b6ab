//! Open vSwitch: whether it answers, and what of its settings stands against offload.

use super::super::check::Check;
use super::super::evidence::Evidence;

const SOURCE: &str = "ovs-vsctl list Open_vSwitch";

/// Whether it answers, does what it is told, and has no setting that hurts.
pub(super) fn open_vswitch(evidence: &Evidence) -> Vec<Check> {
    let switch = match &evidence.answers.switch {
        Ok(switch) => switch,
        // Nobody listens: it is not installed, or does not run.
        Err(why) if why.contains("cannot connect") && !why.contains("ermission") => {
            let check =
                Check::pass("Open vSwitch", why.clone(), SOURCE).fail("there is no switch to put ports on");
            return vec![
                check.remedy("install it, and: systemctl start openvswitch-switch (openvswitch on RHEL)"),
            ];
        }
        Err(why) => return vec![Check::unknown("Open vSwitch", why, SOURCE)],
    };
    let state = if switch.applied { "answers, and is up to date" } else { "answers" };
    let check = Check::pass("Open vSwitch", state, SOURCE);
    let mut checks = vec![if switch.applied {
        check
    } else {
        check
            .fail("ovs-vswitchd does not take up what is written: it has stopped, or hangs")
            .remedy("systemctl status ovs-vswitchd; journalctl -u ovs-vswitchd")
    }];
    let configured = switch.hw_offload.as_deref().unwrap_or("not set");
    checks.push(Check::pass("hw-offload", format!("{configured}; `setup` sets it"), SOURCE));
    checks.extend(switch.other_config.iter().map(|(key, value)| setting(evidence, key, value)));
    checks
}

/// Settings of `other_config` that bear upon offload (ovs-vswitchd.conf.db(5)).
fn setting(evidence: &Evidence, key: &str, value: &str) -> Check {
    let check = Check::pass(format_args!("other_config:{key}"), value, SOURCE);
    let remove = format!("ovs-vsctl remove Open_vSwitch . other_config {key}");
    match (key, value) {
        ("tc-policy", "none") => check,
        ("tc-policy", "skip_hw") => check.fail("flows are kept out of the card").remedy(remove),
        ("tc-policy", _) => {
            check.warn("`skip_sw` breaks the offload of conntrack: flows that the card refuses are lost to tc").remedy(remove)
        }
        ("max-idle", _) => {
            check.warn("its manual advises against a change, and offloaded flows come and go by it").remedy(remove)
        }
        ("dpdk-init", "true" | "try") if !evidence.is_userspace() => check
            .warn("it is for bridges in userspace; those of the kernel, which offload by tc, lose huge pages and cores to it")
            .remedy(remove),
        _ => check,
    }
}

/// Ports of ours that ovs-vswitchd could not open.
pub(super) fn ports(evidence: &Evidence) -> Vec<Check> {
    let source = "ovs-vsctl list Interface";
    let switch = match &evidence.answers.switch {
        Ok(switch) => switch,
        Err(why) => return vec![Check::unknown("ports", why, source)],
    };
    if switch.broken_ports.is_empty() {
        return vec![Check::pass("ports", "all of ours are open", source)];
    }
    let check = |(name, error): &(String, String)| {
        Check::pass(name, error, source)
            .warn("a row is left of a device that is not there, as after a reboot")
            .remedy("vdpa setup, which takes such rows over, or vdpa teardown")
    };
    switch.broken_ports.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy};

    #[test]
    fn a_switch_that_answers_and_keeps_up_is_right() {
        let mut evidence = healthy();
        assert!(check(&evidence, "open-vswitch").passes("up to date"));
        evidence.switch().applied = false;
        assert!(check(&evidence, "open-vswitch").fails("does not take up"));
        evidence.answers.switch =
            Err("cannot connect to /run/openvswitch/db.sock: No such file or directory".into());
        assert!(check(&evidence, "open-vswitch").fails("no switch to put ports on"));
        evidence.answers.switch = Err("cannot connect to /run/openvswitch/db.sock: Permission denied".into());
        assert!(check(&evidence, "open-vswitch").is_unknown("Permission denied"));
        assert!(check(&evidence, "ovs-ports").is_unknown("Permission denied"));
    }

    /// Pitfalls 40 and 43: `tc-policy=skip_sw` breaks conntrack offload; a tuned `max-idle` is discouraged, and
    /// `n-offload-threads` is for the userspace datapath only.
    #[test]
    fn settings_against_offload_are_named() {
        let mut evidence = healthy();
        for (key, value) in [
            ("dpdk-init", "true"),
            ("max-idle", "30000"),
            ("n-offload-threads", "4"),
            ("tc-policy", "skip_sw"),
        ] {
            evidence.switch().other_config.insert(key.to_owned(), value.to_owned());
        }
        let found = checks(&evidence, "open-vswitch");
        assert!(found[2].warns("userspace") && found[3].warns("advises against"), "{found:#?}");
        assert!(found[4].passes("4") && found[5].warns("conntrack"), "{found:#?}");
        evidence.switch().other_config.insert("tc-policy".into(), "skip_hw".into());
        assert!(checks(&evidence, "open-vswitch")[5].fails("out of the card"));
    }

    /// Pitfalls 44 and 45: rows of ports survive a reboot and their devices do not; the failure is in the interface.
    #[test]
    fn a_row_without_its_device_is_named() {
        let mut evidence = healthy();
        assert!(check(&evidence, "ovs-ports").passes("all of ours are open"));
        let words = "could not open network device eth4 (No such device)";
        evidence.switch().broken_ports.push(("eth4".to_owned(), words.to_owned()));
        let found = check(&evidence, "ovs-ports");
        assert!(found.warns("after a reboot") && found.subject == "eth4" && found.fact == words);
    }
}
