//! One card of the host file: what it is on this host, and the statements about it and its VFs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use vdpa_eswitch::{LagState, Mode, Profile, Rate, VfAttribute};
use vdpa_hw::{DriverName, MacAddress, PciAddress, Role, Vf, VfIndex};

use super::mac::derived_mac;
use super::{DATAPATHS, DEVICES, EMPTY, FIRST, Order, PROBING, SECOND, SETTINGS, SWITCH, Stages, THIRD};
use crate::config::{Datapath, HostFile, Nic, NicName, Tuning, VfSpec};
use crate::error::Error;
use crate::host::Host;
use crate::step::{Device, Enabled, Names, Step};
use crate::view::View;

/// A card as the host file has it and as it is.
#[derive(Debug, Clone)]
pub(super) struct ResolvedNic {
    pub(super) pf: PciAddress,
    pub(super) vfs: Vec<VfSpec>,
    /// The MAC of each VF, given or derived.
    pub(super) macs: BTreeMap<VfIndex, MacAddress>,
    /// The dpdk-vdpa program, where a VF needs it.
    pub(super) program: PathBuf,
    /// Its bond's other end decides when VFs may be bound: they are set free until the bond is there.
    pub(super) awaits_bond: bool,
    /// Whether two of its kind can be one port in hardware, and the driver tells.
    pub(super) lag: Option<LagState>,
    profile: &'static Profile,
    vf_driver: Option<DriverName>,
    tuning: Tuning,
    found: Found,
    /// VFs of which their driver makes no network device now.
    without_eth: BTreeSet<VfIndex>,
}

/// How a card was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// In legacy mode, without VFs.
    Bare,
    /// In legacy mode, with VFs.
    LegacyVfs,
    /// In switchdev mode.
    Switchdev,
}

/// Holds one card of the host file against the host.
pub(super) async fn resolve(
    host: &Host,
    view: &View<'_>,
    pf: PciAddress,
    nic: &Nic,
    file: &HostFile,
) -> Result<ResolvedNic, Error> {
    let function = view.function(pf).await?;
    let asked = u16::try_from(nic.vfs.len()).unwrap_or(u16::MAX);
    let sriov = match &function.role {
        Role::Pf(sriov) => sriov,
        // Firmware hides the capability where SRIOV_EN is off.
        Role::Plain if !nic.firmware.is_empty() => {
            return Err(Error::TooManyVfs { nic: nic.pf.clone(), asked, total: 0 });
        }
        Role::Plain | Role::Vf(_) => return Err(vdpa_hw::Error::NotPf(pf).into()),
    };
    if asked > sriov.total_vfs {
        return Err(Error::TooManyVfs { nic: nic.pf.clone(), asked, total: sriov.total_vfs });
    }
    let profile = Profile::of(function.driver.as_ref().map_or("", DriverName::as_str));
    let switchdev = view.eswitch(pf).await?.mode == Mode::Switchdev;
    possible(view, nic, pf, profile, switchdev).await?;
    let uplink = view.link(Device::Uplink(pf)).await?;
    let permanent = uplink.map(|link| link.permanent_mac.unwrap_or(link.mac));
    let mac = |vf: &VfSpec| match (vf.mac, permanent) {
        (Some(mac), _) => Ok((vf.index, mac)),
        (None, Some(permanent)) => Ok((vf.index, derived_mac(permanent, vf.index))),
        (None, None) => Err(Error::NoPermanentMac { pf, vf: vf.index }),
    };
    let needs_program = nic.vfs.iter().any(|vf| vf.datapath == Datapath::Dpdk);
    let program =
        if needs_program { host.dpdk_program(file.dpdk.program.as_deref())? } else { PathBuf::new() };
    Ok(ResolvedNic {
        pf,
        vfs: nic.vfs.clone(),
        macs: nic.vfs.iter().map(mac).collect::<Result<_, _>>()?,
        program,
        awaits_bond: false,
        lag: None,
        profile,
        vf_driver: profile.vf_driver.map_or_else(|| function.driver.clone(), |name| name.parse().ok()),
        tuning: nic.tuning,
        found: match (switchdev, sriov.num_vfs) {
            (true, _) => Found::Switchdev,
            (false, 0) => Found::Bare,
            (false, _) => Found::LegacyVfs,
        },
        without_eth: without_eth(view, pf, &sriov.vfs).await?,
    })
}

/// Those of a card's VFs that their driver has, and makes no network device of. Where all have one, nobody needs to know
/// what else was made of them.
async fn without_eth(
    view: &View<'_>,
    pf: PciAddress,
    vfs: &[PciAddress],
) -> Result<BTreeSet<VfIndex>, Error> {
    let mut found = BTreeSet::new();
    for (index, address) in VfIndex::first(u16::try_from(vfs.len()).unwrap_or(u16::MAX)).zip(vfs) {
        if !view.has(Device::Vf(Vf { pf, index })).await && view.lacks_eth(*address).await? {
            found.insert(index);
        }
    }
    Ok(found)
}

/// The PF that a host file names.
pub(super) async fn address(view: &View<'_>, name: &NicName) -> Result<PciAddress, Error> {
    match name {
        NicName::Pci(address) => Ok(*address),
        NicName::Netdev(name) => {
            let links = view.links().await?;
            let link = links.iter().find(|link| link.name == *name).and_then(|link| link.parent);
            link.ok_or_else(|| Error::NoNetdev(name.clone()))
        }
    }
}

/// Refuses what the card's driver has no notion of, or cannot change now.
async fn possible(
    view: &View<'_>,
    nic: &Nic,
    pf: PciAddress,
    profile: &'static Profile,
    switchdev: bool,
) -> Result<(), Error> {
    let state = view.eswitch(pf).await?;
    let no_setting =
        |setting: &'static str| Error::NoSetting { pf, setting }.at(nic.places.keys.get(&(None, setting)));
    if let Some(wanted) = nic.tuning.steering {
        let now = view.steering(pf).await?.ok_or_else(|| no_setting("steering_mode"))?;
        if switchdev && now != wanted {
            let fixed = Error::SteeringFixed { pf, now, wanted };
            return Err(fixed.at(nic.places.keys.get(&(None, "steering_mode"))));
        }
    }
    if nic.tuning.inline.is_some() && state.inline.is_none() {
        return Err(no_setting("inline_mode"));
    }
    if nic.tuning.encap.is_some() && state.encap.is_none() {
        return Err(no_setting("encap_mode"));
    }
    for spec in &nic.vfs {
        let asked = [(VfAttribute::Trust, spec.trust), (VfAttribute::Spoofchk, spec.spoofchk)];
        for (attribute, _) in asked.into_iter().filter(|(_, asked)| asked.is_some()) {
            if profile.refuses(attribute) {
                let vf = Vf { pf, index: spec.index };
                let refused = Error::NotInSwitchdev { vf, attribute, driver: profile.driver };
                let key = match attribute {
                    VfAttribute::Trust => "trust",
                    VfAttribute::Spoofchk => "spoofchk",
                };
                return Err(refused.at(nic.places.keys.get(&(Some(spec.index), key))));
            }
        }
    }
    Ok(())
}

impl ResolvedNic {
    pub(super) fn vf(&self, spec: &VfSpec) -> Vf {
        Vf { pf: self.pf, index: spec.index }
    }

    /// The orders that may work on this card, the preferred one first; none where it is switched already.
    pub(super) fn orders(&self) -> &'static [Order] {
        match self.found {
            Found::Switchdev => &[],
            _ if !self.profile.switches_with_vfs => &[Order::SwitchdevFirst],
            Found::Bare => &[Order::SwitchdevFirst, Order::VfsFirst],
            Found::LegacyVfs => &[Order::VfsFirst, Order::SwitchdevFirst],
        }
    }

    /// The order of the attempt with this number, counted from 0: the last one there is, if there are not so many.
    pub(super) fn order(&self, attempt: usize) -> Option<Order> {
        self.orders().get(attempt).or(self.orders().last()).copied()
    }

    /// Whether nothing is there that one of the orders would have to take away first.
    pub(super) fn is_bare(&self) -> bool {
        self.found == Found::Bare
    }

    /// Whether its driver is mlx5's.
    pub(super) fn is_mlx5(&self) -> bool {
        self.profile.driver == "mlx5_core"
    }

    /// What the driver is to make of a VF, where that is a choice that matters: for the kernel's vDPA, and for another
    /// datapath if it was chosen for that one before.
    pub(super) fn auxiliary(&self, spec: &VfSpec) -> Option<Enabled> {
        let enabled = match spec.datapath {
            Datapath::Kernel => Some(Enabled::FOR_VDPA),
            _ => self.without_eth.contains(&spec.index).then_some(Enabled::BY_DEFAULT),
        };
        enabled.filter(|_| self.profile.makes_auxiliaries)
    }

    /// Whether the kernel can tell when two such cards are one port.
    pub(super) fn bonds_in_hardware(&self) -> bool {
        self.profile.bonds_in_hardware
    }

    pub(super) fn add_switch(&self, stages: &mut Stages, attempt: usize) {
        let pf = self.pf;
        let count = u16::try_from(self.vfs.len()).unwrap_or(u16::MAX);
        let probing = Step::Autoprobe { pf, on: false };
        // Before the first representor comes, and taken back before those that were there come again.
        let names = Step::Names { pf, names: Some(Names { vfs: count, current: true }) };
        stages[DEVICES].push(names.clone());
        let vfs = Step::Vfs { pf, count };
        let mode = Step::EswitchMode { pf, mode: Mode::Switchdev };
        if self.order(attempt) == Some(Order::VfsFirst) {
            stages[PROBING].push(probing);
            stages[FIRST].extend([names, vfs]);
            stages[THIRD].push(mode);
        } else {
            if self.found == Found::LegacyVfs {
                stages[EMPTY].push(Step::Vfs { pf, count: 0 });
            }
            stages[FIRST].extend([probing, names, mode]);
            stages[SECOND].push(vfs);
        }
        let set_free = self.found == Found::LegacyVfs && self.order(attempt) == Some(Order::VfsFirst);
        if set_free || self.awaits_bond && self.found == Found::Switchdev {
            let unbound = |spec| Step::Driver { vf: self.vf(spec), driver: None };
            stages[SECOND].extend(self.vfs.iter().map(unbound));
        }
        // Steering can change in legacy mode only, and encapsulation without flows (`mlx5_fs_mode_validate`,
        // `mlx5_devlink_eswitch_encap_mode_set`); the inline mode is every present VF's, before it is probed
        // (`mlx5_esw_vports_inline_set`).
        stages[SETTINGS].extend(self.tuning.steering.map(|mode| Step::Steering { pf, mode }));
        stages[SETTINGS].extend(self.tuning.encap.map(|mode| Step::Encap { pf, mode }));
        stages[DEVICES].extend(self.tuning.inline.map(|mode| Step::Inline { pf, mode }));
        // In a stage before the bridge's, and so taken back after it has let the ports go: a card that has rules stays as
        // it is (`set_feature_hw_tc` in mlx5's `en_main.c`).
        stages[DEVICES].push(Step::TcOffload { device: Device::Uplink(pf), on: true });
        stages[DATAPATHS].push(Step::Up { device: Device::Uplink(pf), up: true });
    }

    pub(super) fn add_vf(&self, stages: &mut Stages, spec: &VfSpec) {
        let vf = self.vf(spec);
        let device = Device::Representor(vf);
        let (mac, trust, spoofchk) = (self.macs[&spec.index], spec.trust, spec.spoofchk);
        stages[DEVICES].push(Step::VfAttributes { vf, mac, trust, spoofchk });
        if spec.rate != Rate::UNLIMITED {
            stages[DEVICES].push(Step::Rate { vf, rate: spec.rate });
        }
        stages[DEVICES].push(Step::TcOffload { device, on: true });
        // A device that is up cannot be renamed before kernel 6.0: udev is let to finish first. A VF's link is its
        // representor's (`mlx5e_rep_open` and `mlx5e_rep_close` in mlx5's `en_rep.c`).
        stages[DATAPATHS].push(Step::Up { device, up: spec.up });
        stages[SWITCH].push(Step::Driver { vf, driver: self.vf_driver.clone() });
    }
}
