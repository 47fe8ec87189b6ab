//! VFs without a vDPA management device, and why.

use vdpa_datapath::kernel::Diagnosis;
use vdpa_hw::platform::Files as _;

use super::super::check::Check;
use super::super::evidence::{Card, CardVf, Evidence};
use super::each_card;
use crate::config::Datapath;

const SOURCE: &str = "vdpa mgmtdev show";

/// A check for each VF that is to be served by the kernel; without a host file, one for each card that has any.
pub(super) fn mgmtdev(evidence: &Evidence) -> Vec<Check> {
    if !evidence.wants(Datapath::Kernel) {
        return Vec::new();
    }
    let offered = match &evidence.answers.mgmtdevs {
        Ok(offered) => offered,
        Err(why) => return vec![Check::unknown("kernel", why, SOURCE)],
    };
    each_card(evidence, |card| {
        if card.address().is_none() {
            return Vec::new();
        }
        let wanted = |vf: &&CardVf| {
            evidence.answers.wanted.is_none()
                || evidence.wanted_vfs().iter().any(|wanted| {
                    wanted.card == card.name
                        && wanted.index == vf.vf.index.get()
                        && wanted.datapath == Datapath::Kernel
                })
        };
        let vfs: Vec<&CardVf> = card.vfs.iter().filter(wanted).collect();
        if vfs.is_empty() {
            return vec![before_there_are_vfs(card)];
        }
        vfs.into_iter().map(|vf| of_vf(evidence, vf, offered)).collect()
    })
}

/// Before `setup` there is no VF to ask; the driver of the PF says whether it could have one.
fn before_there_are_vfs(card: &Card) -> Check {
    let enabled = card.param("enable_vnet");
    let source = "devlink dev param show … name enable_vnet";
    match enabled.as_deref() {
        Some("false") => Check::pass(&card.name, "there is no VF yet, and enable_vnet is off on the PF", source)
            .warn("a VF has a management device only where enable_vnet is on; VFs have a setting of their own")
            .remedy("after `setup` has made the VF: devlink dev param set pci/VF name enable_vnet value true cmode driverinit, and devlink dev reload pci/VF"),
        Some(_) => Check::pass(&card.name, "there is no VF yet; enable_vnet is on on the PF", source),
        None => Check::unknown(&card.name, "there is no VF yet, and the driver has no parameter enable_vnet", source),
    }
}

fn of_vf(evidence: &Evidence, vf: &CardVf, offered: &[vdpa_hw::PciAddress]) -> Check {
    let function = match &vf.function {
        Ok(function) => function,
        Err(why) => return Check::unknown(vf.vf, why, SOURCE),
    };
    if offered.contains(&function.address) {
        return Check::pass(vf.vf, format!("pci/{}", function.address), SOURCE);
    }
    let has_bus = evidence.files.list("/sys/bus/vdpa".as_ref()).is_ok();
    let modules = evidence.platform().modules();
    let is_there = |module: &str| {
        let name = module.parse().ok();
        name.zip(modules.as_ref().ok()).is_some_and(|(name, modules)| modules.state(&name).is_there())
    };
    let diagnosis = Diagnosis::of(function.driver.clone(), has_bus, is_there, offered.to_vec());
    let check = Check::pass(vf.vf, format!("none for pci/{}", function.address), SOURCE);
    check.fail(diagnosis.to_string()).remedy(diagnosis.hint())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy, refused};
    use super::*;

    fn for_the_kernel() -> Evidence {
        let mut evidence = healthy();
        evidence.answers.wanted.as_mut().unwrap().vfs[0].datapath = Datapath::Kernel;
        evidence
    }

    #[test]
    fn a_vf_with_one_passes() {
        let mut evidence = for_the_kernel();
        evidence.add_vf(0);
        evidence.answers.mgmtdevs = Ok(vec!["0000:43:00.2".parse().unwrap()]);
        assert!(check(&evidence, "mgmtdev").passes("pci/0000:43:00.2"));
        evidence.add_vf(1);
        assert_eq!(checks(&evidence, "mgmtdev").len(), 1, "VF 1 is for another datapath");
    }

    /// Pitfall 32: an empty `vdpa mgmtdev show` is diagnosed: driver, module, firmware or `enable_vnet`.
    #[test]
    fn a_vf_without_one_fails_and_the_cause_is_named() {
        let mut evidence = for_the_kernel();
        evidence.add_vf(0);
        assert!(check(&evidence, "mgmtdev").fails("its driver offers none"));
        assert!(check(&evidence, "mgmtdev").remedy.unwrap().contains("UCTX_EN=1"));
        evidence.file("/proc/modules", "vdpa 1 0 - Live\n");
        assert!(check(&evidence, "mgmtdev").fails("`mlx5_vdpa` is not loaded"));
        evidence.without("/sys/bus/vdpa");
        assert!(check(&evidence, "mgmtdev").fails("`vdpa` is not loaded"));
        evidence.card().vfs[0].function.as_mut().unwrap().driver = Some("vfio-pci".parse().unwrap());
        assert!(check(&evidence, "mgmtdev").fails("`vfio-pci` makes no vDPA devices"));
        evidence.card().vfs[0].function.as_mut().unwrap().driver = None;
        assert!(check(&evidence, "mgmtdev").fails("no driver is bound"));
    }

    #[test]
    fn before_there_are_vfs_the_pf_says_whether_there_could_be_one() {
        let mut evidence = for_the_kernel();
        assert!(check(&evidence, "mgmtdev").passes("enable_vnet is on"));
        evidence.enable_vnet(false);
        assert!(check(&evidence, "mgmtdev").warns("only where enable_vnet is on"));
        evidence.card().params = Ok(Vec::new());
        assert!(check(&evidence, "mgmtdev").is_unknown("no parameter enable_vnet"));
        evidence.answers.mgmtdevs = refused("list the vDPA management devices");
        assert!(check(&evidence, "mgmtdev").is_unknown("list the vDPA management devices"));
    }
}
