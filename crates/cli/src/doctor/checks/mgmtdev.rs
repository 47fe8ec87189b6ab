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

/// Before `setup` there is no VF to ask, and a PF does not tell: it has no `enable_vnet` (`mlx5_vnet_supported` in mlx5's
/// `dev.c`).
fn before_there_are_vfs(card: &Card) -> Check {
    let why = "there is no VF yet: `setup` makes it, sets its enable_vnet, and says why none comes of it";
    Check::unknown(&card.name, why, SOURCE)
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
    let diagnosis = match Diagnosis::of(function.driver.clone(), has_bus, is_there, offered.to_vec()) {
        Diagnosis::NotOffered { others } => match vf.enabled {
            Ok([Some(_), None]) => Diagnosis::NotEmulated,
            Ok([_, Some(false)]) => Diagnosis::NoVnet,
            _ => Diagnosis::NotOffered { others },
        },
        diagnosis => diagnosis,
    };
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
        evidence.card().vfs[0].enabled = Ok([Some(true), Some(false)]);
        assert!(check(&evidence, "mgmtdev").fails("enable_vnet has to be in force"));
        assert!(check(&evidence, "mgmtdev").remedy.unwrap().contains("vdpa setup"));
        evidence.card().vfs[0].enabled = Ok([Some(true), None]);
        assert!(check(&evidence, "mgmtdev").fails("no parameter enable_vnet for it"));
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
    fn before_there_are_vfs_nobody_can_tell() {
        let mut evidence = for_the_kernel();
        assert!(check(&evidence, "mgmtdev").is_unknown("there is no VF yet"));
        evidence.answers.mgmtdevs = refused("list the vDPA management devices");
        assert!(check(&evidence, "mgmtdev").is_unknown("list the vDPA management devices"));
    }
}
