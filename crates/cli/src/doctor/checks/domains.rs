//! The domains that VFs are for: whether they can use them.

use vdpa_vm::{DomainName, locked_kib};

use super::super::check::Check;
use super::super::evidence::{Domain, Evidence, WantedVf};
use crate::config::Datapath;

/// A check for each domain.
pub(super) fn domains(evidence: &Evidence) -> Vec<Check> {
    if evidence.answers.wanted.is_none() {
        return Vec::new();
    }
    if evidence.answers.domains.is_empty() {
        return vec![Check::pass("domains", "no VF is for one", "the host file")];
    }
    evidence.answers.domains.iter().flat_map(|(name, domain)| of_domain(evidence, name, domain)).collect()
}

fn of_domain(evidence: &Evidence, name: &DomainName, domain: &Result<Domain, String>) -> Vec<Check> {
    let source = format!("virsh dumpxml --inactive {name}");
    let domain = match domain {
        Ok(domain) => domain,
        Err(why) if why.contains("has no domain") => {
            let check = Check::pass(name, why.clone(), source).fail("a VF is for it");
            return vec![check.remedy("virsh list --all")];
        }
        Err(why) => return vec![Check::unknown(name, why, source)],
    };
    let profile = &domain.profile;
    let vfs: Vec<&WantedVf> =
        evidence.wanted_vfs().iter().filter(|vf| vf.vm.as_ref() == Some(name)).collect();
    let of = |datapath| vfs.iter().filter(|vf| vf.datapath == datapath).count();
    let queues = vfs.iter().map(|vf| vf.queues).max().unwrap_or(0);
    let state = if domain.active { "runs" } else { "shut off" };
    let fact = format!(
        "{state}, {} MiB, {} vCPUs, up to {queues} queue pairs ({} interrupt vectors)",
        profile.memory_kib / 1024,
        profile.vcpus,
        2 * u32::from(queues) + 2,
    );
    let check = Check::pass(name, fact, &source);
    let mut checks = Vec::new();
    if let Some(place) = profile.private_memory.as_ref().filter(|_| of(Datapath::Dpdk) > 0) {
        let why = format!("its memory is not shared ({place}), and vhost-user needs it shared");
        checks.push(check.clone().fail(why).remedy(format!("virsh edit {name}: take {place} out")));
    }
    if queues > profile.vcpus {
        let why =
            format!("{queues} queue pairs for {} vCPUs: the guest uses {}", profile.vcpus, profile.vcpus);
        checks.push(check.clone().warn(why).remedy(format!("ask for {} queues", profile.vcpus)));
    }
    checks.extend(locked(name, domain, of(Datapath::Kernel), &check));
    if checks.is_empty() {
        checks.push(check);
    }
    checks
}

/// QEMU locks the guest's memory once for each vhost-vdpa device.
fn locked(name: &DomainName, domain: &Domain, devices: usize, check: &Check) -> Option<Check> {
    let devices = u64::try_from(devices).ok().filter(|devices| *devices > 0)?;
    let needed = locked_kib(domain.profile.memory_kib, devices);
    let limit = domain.profile.hard_limit_kib?;
    let gib = |kib: u64| format!("{}.{} GiB", kib >> 20, ((kib & 0xf_ffff) * 10) >> 20);
    (limit < needed).then(|| {
        let why = format!(
            "its hard limit of {} is less than the {} that QEMU locks for {devices} vhost-vdpa devices",
            gib(limit),
            gib(needed)
        );
        check.clone().fail(why).remedy(format!("virsh memtune {name} --hard-limit {needed} --config"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy, refused};
    use super::*;

    #[test]
    fn a_domain_that_fits_is_shown_with_its_vectors() {
        // Pitfall 36: N queue pairs need 2N+2 vectors, and as many vCPUs.
        let found = check(&healthy(), "domain");
        assert!(found.passes("8192 MiB, 2 vCPUs, up to 2 queue pairs (6 interrupt vectors)"), "{found:?}");
        let mut evidence = healthy();
        evidence.domain("cx6.1").active = true;
        assert!(check(&evidence, "domain").passes("runs"));
    }

    #[test]
    fn more_queues_than_vcpus_are_a_warning() {
        let mut evidence = healthy();
        evidence.answers.wanted.as_mut().unwrap().vfs[0].queues = 16;
        assert!(check(&evidence, "domain").warns("16 queue pairs for 2 vCPUs"));
    }

    #[test]
    fn private_memory_fails_for_vhost_user() {
        let mut evidence = healthy();
        evidence.domain("cx6.1").profile.private_memory = Some("memAccess of a NUMA cell".to_owned());
        assert!(check(&evidence, "domain").fails("not shared (memAccess of a NUMA cell)"));
        evidence.answers.wanted.as_mut().unwrap().vfs[0].datapath = Datapath::Kernel;
        assert!(check(&evidence, "domain").passes("8192 MiB"));
    }

    /// Pitfall 35: each vhost-vdpa device locks the guest's memory once more: 1 GiB + RAM × n.
    #[test]
    fn a_hard_limit_below_what_is_locked_fails() {
        let mut evidence = healthy();
        let vfs = &mut evidence.answers.wanted.as_mut().unwrap().vfs;
        vfs[0].datapath = Datapath::Kernel;
        vfs[1] = WantedVf { index: 1, ..vfs[0].clone() };
        assert!(
            check(&evidence, "domain").passes("8192 MiB"),
            "without a limit libvirt sets one that is enough"
        );
        evidence.domain("cx6.1").profile.hard_limit_kib = Some(17 << 20);
        assert!(check(&evidence, "domain").passes("8192 MiB"));
        evidence.domain("cx6.1").profile.hard_limit_kib = Some(9 << 20);
        let found = check(&evidence, "domain");
        assert!(found.fails("9.0 GiB is less than the 17.0 GiB"), "{found:?}");
        assert_eq!(found.remedy.as_deref(), Some("virsh memtune cx6.1 --hard-limit 17825792 --config"));
    }

    #[test]
    fn a_domain_that_is_not_there_fails_and_one_that_cannot_be_read_is_unknown() {
        let mut evidence = healthy();
        let name: DomainName = "cx6.1".parse().unwrap();
        evidence.answers.domains.insert(name.clone(), Err("libvirt has no domain `cx6.1`".to_owned()));
        assert!(check(&evidence, "domain").fails("a VF is for it"));
        evidence.answers.domains.insert(name, refused("reach libvirt"));
        assert!(check(&evidence, "domain").is_unknown("reach libvirt"));
        evidence.answers.domains.clear();
        assert!(check(&evidence, "domain").passes("no VF is for one"));
        evidence.answers.wanted = None;
        assert!(checks(&evidence, "domain").is_empty());
    }
}
