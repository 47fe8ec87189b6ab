//! The switches of this host: the one part of this crate that touches it.

mod auxiliary;
mod sysfs;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use vdpa_hw::{IfIndex, MacAddress, PciAddress, VfIndex};
use vdpa_netlink::{Attributes, Errno, Family, Malformed, Message, Request};

use crate::error::{Error, Result, Sighting};
use crate::{
    Auxiliaries, DevlinkHandle, EncapMode, Eswitch, Flavour, Info, InlineMode, LagState, Mode, Param,
    ParamMode, ParamValue, Port, PortRate, Rate, Reload, ReloadAction, Representor, Representors, State,
};
use crate::{devlink, ethtool, lag};

/// The switches of this host, asked by devlink and ethtool over generic netlink.
///
/// Making one costs nothing; it may be cloned and used from several tasks.
#[derive(Debug, Clone)]
pub struct Kernel {
    sysfs: PathBuf,
    /// Which bit of a device's features hw-tc-offload is: a kernel's own, which stays.
    tc_offload_bit: Arc<OnceCell<Option<u32>>>,
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel {
    /// This host, with its sysfs at `/sys`.
    pub fn new() -> Self {
        Self::with_sysfs("/sys")
    }

    /// This host, with its sysfs at `root`: where representors are looked for that devlink does not
    /// list.
    pub fn with_sysfs(root: impl Into<PathBuf>) -> Self {
        Self { sysfs: root.into(), tc_offload_bit: Arc::default() }
    }

    /// What is there and where it was looked for, for the error of a wait.
    fn sighting(&self, device: &DevlinkHandle, representors: Representors) -> Sighting {
        let net = self.sysfs.join("class/net").display().to_string();
        let looked_in =
            format!("devlink ports of {device}, flavour pcivf; phys_port_name and phys_switch_id in {net}");
        Sighting { representors, looked_in }
    }
}

#[async_trait]
impl Eswitch for Kernel {
    async fn devices(&self) -> Result<Vec<DevlinkHandle>> {
        let request = devlink::dev::list();
        let messages = devlink::FAMILY.dump(request).await?;
        let read = messages.iter().map(|message| devlink::device(message.attributes()));
        read.collect::<Result<_, _>>().map_err(unreadable("list the devlink devices"))
    }

    async fn info(&self, device: &DevlinkHandle) -> Result<Info> {
        one(device, devlink::dev::info(device), devlink::dev::read_info).await
    }

    async fn state(&self, device: &DevlinkHandle) -> Result<State> {
        one(device, devlink::switch::get(device), devlink::switch::read).await
    }

    async fn set_mode(&self, device: &DevlinkHandle, mode: Mode, limit: Duration) -> Result<()> {
        done(device, devlink::switch::set_mode(device, mode, limit)).await
    }

    async fn set_inline(&self, device: &DevlinkHandle, inline: InlineMode) -> Result<()> {
        done(device, devlink::switch::set_inline(device, inline)).await
    }

    async fn set_encap(&self, device: &DevlinkHandle, encap: EncapMode) -> Result<()> {
        done(device, devlink::switch::set_encap(device, encap)).await
    }

    async fn ports(&self, device: &DevlinkHandle) -> Result<Vec<Port>> {
        self.listed(device, devlink::port::list(device), devlink::port::read).await
    }

    async fn params(&self, device: &DevlinkHandle) -> Result<Vec<Param>> {
        self.listed(device, devlink::param::list(device), devlink::param::read).await
    }

    async fn set_param(
        &self,
        device: &DevlinkHandle,
        name: &str,
        mode: ParamMode,
        value: &ParamValue,
    ) -> Result<()> {
        done(device, devlink::param::set(device, name, mode, value)).await
    }

    async fn all_params(&self) -> Result<BTreeMap<DevlinkHandle, Vec<Param>>> {
        let request = devlink::param::list_all();
        let intent = request.intent().to_owned();
        let mut found = BTreeMap::<_, Vec<Param>>::new();
        for message in devlink::FAMILY.dump(request).await? {
            let device = devlink::device(message.attributes()).map_err(unreadable(&intent))?;
            // Another driver's may be of a type that is not known here.
            match devlink::param::read(message.attributes()) {
                Ok(param) => found.entry(device).or_default().push(param),
                Err(error) => tracing::debug!(%device, %error, "a parameter that is not understood"),
            }
        }
        Ok(found)
    }

    async fn reload(
        &self,
        device: &DevlinkHandle,
        reload: Reload,
        limit: Duration,
    ) -> Result<BTreeSet<ReloadAction>> {
        one(device, devlink::reload::request(device, reload, limit), devlink::reload::read).await
    }

    async fn reload_failed(&self, device: &DevlinkHandle) -> Result<bool> {
        one(device, devlink::reload::device(device), devlink::reload::read_failed).await
    }

    async fn auxiliaries(&self) -> Result<BTreeMap<PciAddress, Auxiliaries>> {
        auxiliary::all(&self.sysfs)
    }

    async fn rates(&self, device: &DevlinkHandle) -> Result<BTreeMap<VfIndex, PortRate>> {
        let listed = self.listed(device, devlink::rate::list(device), devlink::rate::read).await;
        let rates = match listed {
            // A kernel before 5.14 knows no such command.
            Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => return Ok(BTreeMap::new()),
            rates => rates?,
        };
        let ports = self.ports(device).await?;
        let vfs: BTreeMap<u32, VfIndex> =
            ports.iter().filter_map(|port| Some((port.index, port.local_vf()?))).collect();
        Ok(rates.into_iter().flatten().filter_map(|rate| Some((*vfs.get(&rate.port)?, rate))).collect())
    }

    async fn set_rate(&self, device: &DevlinkHandle, port: u32, rate: Rate) -> Result<()> {
        done(device, devlink::rate::set(device, port, rate)).await
    }

    async fn lag(&self, device: &DevlinkHandle) -> Result<Option<LagState>> {
        device.pci().map_or(Ok(None), |pf| lag::read(&self.sysfs, pf))
    }

    async fn await_lag(&self, device: &DevlinkHandle, wanted: LagState, limit: Duration) -> Result<()> {
        let seen = match device.pci() {
            Some(pf) => lag::until(&self.sysfs, pf, wanted, limit).await?,
            None => None,
        };
        if seen == Some(wanted) {
            Ok(())
        } else {
            Err(Error::LagStays { device: device.clone(), seen, limit })
        }
    }

    async fn representors(&self, device: &DevlinkHandle) -> Result<Representors> {
        let ports = self.ports(device).await?;
        let mut found = from_ports(&ports);
        // A driver that has no ports for its VFs (mlx5 before Linux 5.10) still names its netdevs.
        let lists_vfs = ports.iter().any(|port| port.local_vf().is_some());
        if !lists_vfs && let Some(pci) = device.pci() {
            let sysfs = self.sysfs.clone();
            let fallback = tokio::task::spawn_blocking(move || sysfs::representors(&sysfs, pci)).await;
            let fallback = fallback.map_err(|lost| Error::Sysfs {
                path: self.sysfs.clone(),
                source: std::io::Error::other(lost),
            })??;
            found.uplink = found.uplink.or(fallback.uplink);
            found.vfs = fallback.vfs;
        }
        Ok(found)
    }

    async fn await_representors(
        &self,
        device: &DevlinkHandle,
        vfs: &[VfIndex],
        limit: Duration,
    ) -> Result<Representors> {
        let missing = |found: &Representors| -> Vec<VfIndex> {
            vfs.iter().copied().filter(|vf| !found.vfs.contains_key(vf)).collect()
        };
        let seen = wait::until(self, device, limit, |found| missing(found).is_empty()).await?;
        match missing(&seen) {
            none if none.is_empty() => Ok(seen),
            missing => Err(Error::NoRepresentor {
                device: device.clone(),
                missing,
                limit,
                seen: Box::new(self.sighting(device, seen)),
            }),
        }
    }

    async fn await_uplink(&self, device: &DevlinkHandle, limit: Duration) -> Result<Representor> {
        let seen = wait::until(self, device, limit, |found| found.uplink.is_some()).await?;
        seen.uplink.clone().ok_or_else(|| Error::NoUplink {
            device: device.clone(),
            limit,
            seen: Box::new(self.sighting(device, seen)),
        })
    }

    async fn tc_offload(&self, link: IfIndex) -> Result<bool> {
        Ok(features(link).await?.active)
    }

    async fn tc_offloads(&self) -> Result<BTreeSet<IfIndex>> {
        let names = || answer(ethtool::FAMILY, ethtool::names(), ethtool::read_bit);
        let Some(bit) = *self.tc_offload_bit.get_or_try_init(names).await? else {
            return Ok(BTreeSet::new());
        };
        let request = ethtool::list();
        let intent = request.intent().to_owned();
        let messages = ethtool::FAMILY.dump(request).await?;
        let mut found = BTreeSet::new();
        for message in &messages {
            let attributes = message.attributes();
            if ethtool::read_active(attributes, bit).map_err(unreadable(&intent))? {
                found.insert(ethtool::read_link(attributes).map_err(unreadable(&intent))?);
            }
        }
        Ok(found)
    }

    async fn set_tc_offload(&self, link: IfIndex, on: bool) -> Result<()> {
        ethtool::FAMILY.request(ethtool::set(link, on)).await.map_err(|error| no_link(link, error))?;
        let ethtool::TcOffload { active, changeable } = features(link).await?;
        if active == on { Ok(()) } else { Err(Error::OffloadStays { link, on, changeable }) }
    }

    async fn set_function_mac(&self, device: &DevlinkHandle, vf: VfIndex, mac: MacAddress) -> Result<()> {
        let port = self.ports(device).await?.into_iter().find(|port| port.local_vf() == Some(vf));
        let Some(port) = port else { return Err(Error::NoPort { device: device.clone(), vf }) };
        done(device, devlink::port::set_hw_addr(device, port.index, vf, mac)).await
    }
}

impl Kernel {
    /// What a listing of all devices has of this one, which is known to be there.
    async fn listed<T>(
        &self,
        device: &DevlinkHandle,
        request: Request,
        read: fn(Attributes<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>> {
        let intent = request.intent().to_owned();
        let messages = devlink::FAMILY.dump(request).await?;
        let found = devlink::of_device(&messages, device, read).map_err(unreadable(&intent))?;
        if found.is_empty() && !self.devices().await?.contains(device) {
            return Err(Error::NoDevice(device.clone()));
        }
        Ok(found)
    }
}

/// The uplink and the VFs' representors among the ports of a switch.
fn from_ports(ports: &[Port]) -> Representors {
    let representor = |port: &Port| port.netdev.clone().map(|(index, name)| Representor { index, name });
    Representors {
        uplink: ports.iter().filter(|port| port.flavour == Some(Flavour::Physical)).find_map(representor),
        vfs: ports.iter().filter_map(|port| Some((port.local_vf()?, representor(port)?))).collect(),
    }
}

/// Sends a request whose answer is one message.
async fn one<T>(
    device: &DevlinkHandle,
    request: Request,
    read: fn(Attributes<'_>) -> Result<T, Malformed>,
) -> Result<T> {
    answer(devlink::FAMILY, request, read).await.map_err(|error| no_device(device, error))
}

/// Sends a request whose answer is that it is done.
async fn done(device: &DevlinkHandle, request: Request) -> Result<()> {
    devlink::FAMILY.request(request).await.map(|_| ()).map_err(|error| no_device(device, error))
}

async fn features(link: IfIndex) -> Result<ethtool::TcOffload> {
    answer(ethtool::FAMILY, ethtool::get(link), ethtool::read).await.map_err(|error| no_link(link, error))
}

async fn answer<T>(
    family: Family,
    request: Request,
    read: fn(Attributes<'_>) -> Result<T, Malformed>,
) -> Result<T, vdpa_netlink::Error> {
    let intent = request.intent().to_owned();
    let messages = family.request(request).await?;
    let message: &Message = messages.first().ok_or_else(|| {
        vdpa_netlink::Error::malformed(&intent, Malformed::Absent { kind: 0, name: "any message" })
    })?;
    read(message.attributes()).map_err(|malformed| vdpa_netlink::Error::malformed(&intent, malformed))
}

fn unreadable(intent: &str) -> impl Fn(Malformed) -> Error + '_ {
    move |malformed| Error::Netlink(vdpa_netlink::Error::malformed(intent, malformed))
}

/// devlink's answer for a handle that it does not have is ENODEV (`devlink_get_from_attrs_lock`).
fn no_device(device: &DevlinkHandle, error: vdpa_netlink::Error) -> Error {
    match error.refusal() {
        Some(refusal) if refusal.errno == Errno::ENODEV && refusal.message.is_none() => {
            Error::NoDevice(device.clone())
        }
        _ => error.into(),
    }
}

/// ethtool's answer for an index that no device has is ENODEV (`ethnl_parse_header_dev_get`).
fn no_link(link: IfIndex, error: vdpa_netlink::Error) -> Error {
    if error.errno() == Some(Errno::ENODEV) { Error::NoLink(link) } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(index: u32, flavour: Flavour, vf: Option<u16>, netdev: Option<(u32, &str)>) -> Port {
        Port {
            index,
            flavour: Some(flavour),
            number: None,
            pf: Some(0),
            vf: vf.map(VfIndex::new),
            controller: Some(0),
            external: false,
            netdev: netdev.map(|(index, name)| (IfIndex(index), name.parse().unwrap())),
            function: None,
        }
    }

    #[test]
    fn a_port_without_its_netdev_is_no_representor_yet() {
        let found = from_ports(&[
            port(0, Flavour::Physical, None, Some((4, "enp1s0np0"))),
            port(1, Flavour::PciVf, Some(0), Some((5, "eth1"))),
            port(2, Flavour::PciVf, Some(1), None),
            Port { external: true, ..port(3, Flavour::PciVf, Some(2), Some((6, "eth2"))) },
        ]);
        assert_eq!(found.uplink.unwrap().name.as_str(), "enp1s0np0");
        assert_eq!(found.vfs.into_keys().collect::<Vec<_>>(), [VfIndex::new(0)]);
    }
}
