//! Who holds VFs.

use super::super::check::Check;
use super::super::evidence::{Card, CardVf, Evidence, User};
use super::each_card;

const SOURCE: &str = "/proc/*/fd, libvirt";

/// A check for each VF that somebody holds; one for the card, where nobody holds any.
pub(super) fn occupied(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card: &Card| {
        if card.address().is_none() {
            return Vec::new();
        }
        let mut checks: Vec<Check> = card.vfs.iter().filter_map(held).collect();
        if !evidence.answers.privileged {
            let reason = "only root sees what other users' processes have open";
            checks.push(Check::unknown(&card.name, reason, SOURCE).remedy("sudo vdpa doctor"));
        } else if checks.is_empty() {
            let fact = if card.vfs.is_empty() { "there are no VFs" } else { "nobody holds a VF" };
            checks.push(Check::pass(&card.name, fact, SOURCE));
        }
        checks
    })
}

fn held(vf: &CardVf) -> Option<Check> {
    let users = match &vf.users {
        Ok(users) => users,
        Err(why) => return Some(Check::unknown(vf.vf, why, SOURCE)),
    };
    if users.is_empty() {
        return None;
    }
    let shown: Vec<String> = users.iter().map(shown).collect();
    let check = Check::pass(vf.vf, shown.join("; "), SOURCE);
    // Our own datapath goes and comes with `setup`, and a domain that is shut off is in nobody's way.
    let foreign = users.iter().any(|user| match user {
        User::Process { .. } => true,
        User::Domain { active, .. } => *active,
        User::Datapath { .. } => false,
    });
    Some(if foreign {
        check
            .warn("it cannot be taken away as long as it is held; `setup`'s guard vf-in-use refuses where it would")
            .remedy("shut the VM down or end the process, or: vdpa setup --force vf-in-use")
    } else {
        check
    })
}

fn shown(user: &User) -> String {
    match user {
        User::Process { process, domain } => {
            let domain = domain.as_ref().map_or_else(String::new, |name| format!(", domain {name}"));
            format!(
                "process {} ({}{domain}) through {}",
                process.pid,
                process.command,
                process.path.display()
            )
        }
        User::Domain { name, through, active: true } => format!("domain {name} runs on {through}"),
        User::Domain { name, through, active: false } => {
            format!("domain {name} asks for {through} when it starts")
        }
        User::Datapath { pid: Some(pid) } => format!("dpdk-vdpa of ours (process {pid})"),
        User::Datapath { pid: None } => "dpdk-vdpa of ours, not ready".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::Holder;

    use super::super::super::fixture::{check, checks, healthy, refused};
    use super::*;

    fn with(users: Vec<User>) -> Evidence {
        let mut evidence = healthy();
        evidence.add_vf(0).users = Ok(users);
        evidence
    }

    fn domain(active: bool) -> User {
        User::Domain { name: "cx6.1".parse().unwrap(), through: "0000:43:00.2".to_owned(), active }
    }

    #[test]
    fn nobody_holds_a_vf_or_there_is_none() {
        assert!(check(&healthy(), "vf-in-use").passes("there are no VFs"));
        assert!(check(&with(vec![]), "vf-in-use").passes("nobody holds a VF"));
    }

    #[test]
    fn a_process_is_named_with_its_pid_and_its_domain() {
        let process = Holder { pid: 4711, command: "qemu-kvm".into(), path: "/dev/vfio/141".into() };
        let found =
            check(&with(vec![User::Process { process, domain: Some("cx6.1".to_owned()) }]), "vf-in-use");
        assert!(found.warns("cannot be taken away"));
        assert_eq!(found.fact, "process 4711 (qemu-kvm, domain cx6.1) through /dev/vfio/141");
        assert_eq!(found.subject, "0000:43:00.0/vf0");
    }

    #[test]
    fn a_running_domain_is_in_the_way_and_one_that_is_shut_off_is_not() {
        assert!(check(&with(vec![domain(true)]), "vf-in-use").warns("cannot be taken away"));
        assert!(check(&with(vec![domain(false)]), "vf-in-use").passes("when it starts"));
        let ours = check(&with(vec![User::Datapath { pid: Some(7) }]), "vf-in-use");
        assert!(ours.passes("dpdk-vdpa of ours (process 7)"));
    }

    #[test]
    fn who_is_not_root_does_not_see_all() {
        let mut evidence = with(vec![]);
        evidence.answers.privileged = false;
        let found = check(&evidence, "vf-in-use");
        assert!(found.is_unknown("only root") && found.remedy.as_deref() == Some("sudo vdpa doctor"));
        evidence.answers.privileged = true;
        evidence.card().vfs[0].users = refused("reach libvirt");
        assert!(checks(&evidence, "vf-in-use")[0].is_unknown("reach libvirt"));
    }
}
