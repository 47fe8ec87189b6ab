//! The cards: those of the host file, or every one that could be meant.

use vdpa_eswitch::{Auxiliary, DevlinkHandle, Info};
use vdpa_hw::firmware::{
    INTERNAL_CPU_MODEL, INTERNAL_CPU_OFFLOAD_ENGINE, NUM_OF_VFS, PF_NUM_OF_VF_VALID, SRIOV_EN, SettingName,
    UCTX_EN,
};
use vdpa_hw::platform::Files;
use vdpa_hw::{Function, PciAddress, Vf, VfIndex};

use super::{seen, uses};
use crate::config::{HostFile, NicName};
use crate::doctor::checks::bluefield;
use crate::doctor::evidence::{Card, CardVf, Seen, User};
use crate::error::Error;
use crate::host::Host;
use crate::occupants::{By, occupants};
use crate::step::Device;
use crate::view::View;

/// The settings that are asked for: all that it has would take its tool seconds. Only a card with CPUs of its own
/// has settings for them.
fn firmware_names(function: &Seen<Function>) -> Vec<SettingName> {
    let has_cpus = function.as_ref().is_ok_and(|function| bluefield(function).is_some());
    let of_cpus = [INTERNAL_CPU_MODEL, INTERNAL_CPU_OFFLOAD_ENGINE].into_iter().filter(|_| has_cpus);
    let names = [SRIOV_EN, NUM_OF_VFS, PF_NUM_OF_VF_VALID, UCTX_EN].into_iter().chain(of_cpus);
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Mellanox and NVIDIA.
const VENDOR: u16 = 0x15b3;

/// The cards.
///
/// # Errors
/// Where it cannot be found out which there are.
pub(super) async fn all(host: &Host, file: Option<&HostFile>) -> Result<Vec<Card>, Error> {
    let view = View::new(host);
    let mut cards = Vec::new();
    if let Some(file) = file {
        for nic in &file.nics {
            cards.push((nic.pf.to_string(), address(&view, &nic.pf).await));
        }
    } else {
        let functions = host.pci.functions().await?;
        let pfs =
            functions.iter().filter(|function| function.id.vendor == VENDOR && function.sriov().is_some());
        cards.extend(pfs.map(|function| (function.address.to_string(), Ok(function.address))));
    }
    let each = cards.into_iter().map(|(name, address)| card(host, &view, name, address));
    Ok(futures::future::join_all(each).await)
}

async fn address(view: &View<'_>, name: &NicName) -> Result<PciAddress, Error> {
    match name {
        NicName::Pci(address) => Ok(*address),
        NicName::Netdev(name) => {
            let links = view.links().await?;
            let parent = links.iter().find(|link| link.name == *name).and_then(|link| link.parent);
            parent.ok_or_else(|| Error::NoNetdev(name.clone()))
        }
    }
}

async fn card(host: &Host, view: &View<'_>, name: String, address: Result<PciAddress, Error>) -> Card {
    let pf = match address {
        Ok(pf) => pf,
        Err(error) => return unseen(name, &error.flat()),
    };
    let handle = DevlinkHandle::from(pf);
    let function =
        seen("sysfs", async { view.function(pf).await.map(std::sync::Arc::unwrap_or_clone) }).await;
    let settings = firmware_names(&function);
    let (uplink, info, eswitch, params, firmware, representors) = tokio::join!(
        seen("rtnetlink", async {
            let link = view.link(Device::Uplink(pf)).await?;
            link.ok_or_else(|| Error::Missing(format!("a network device of {pf}")))
        }),
        seen("devlink", async { Ok(without_serials(host.eswitch.info(&handle).await?)) }),
        seen("devlink", async { Ok(host.eswitch.state(&handle).await?) }),
        seen("devlink", async { Ok(host.eswitch.params(&handle).await?) }),
        seen("the card's firmware", async { Ok(host.firmware.settings(pf, &settings).await?) }),
        seen("devlink", async { Ok(host.eswitch.representors(&handle).await?) }),
    );
    let uses = match &uplink {
        Ok(uplink) => seen("rtnetlink", uses::of(host, view, uplink)).await,
        Err(why) => Err(why.clone()),
    };
    let vfs = function.as_ref().map(|function| vfs_of(function, pf)).unwrap_or_default();
    Card {
        name,
        vfs: card_vfs(host, view, pf, &vfs).await,
        function,
        uplink,
        info,
        eswitch,
        params,
        firmware,
        uses,
        representors: representors.map(|found| {
            found.vfs.into_values().map(|representor| (representor.index, representor.name)).collect()
        }),
    }
}

/// A card that is not there.
fn unseen(name: String, why: &str) -> Card {
    Card {
        name,
        function: Err(why.to_owned()),
        uplink: Err(why.to_owned()),
        info: Err(why.to_owned()),
        eswitch: Err(why.to_owned()),
        params: Err(why.to_owned()),
        firmware: Err(why.to_owned()),
        uses: Err(why.to_owned()),
        vfs: Vec::new(),
        representors: Err(why.to_owned()),
    }
}

fn without_serials(info: Info) -> Info {
    Info { serial: None, board_serial: None, ..info }
}

fn vfs_of(function: &Function, pf: PciAddress) -> Vec<(Vf, PciAddress)> {
    let addresses = function.sriov().map(|sriov| sriov.vfs.clone()).unwrap_or_default();
    let count = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
    VfIndex::first(count).map(|index| Vf { pf, index }).zip(addresses).collect()
}

async fn card_vfs(host: &Host, view: &View<'_>, pf: PciAddress, vfs: &[(Vf, PciAddress)]) -> Vec<CardVf> {
    if vfs.is_empty() {
        return Vec::new();
    }
    let indexed: Vec<_> = vfs.iter().map(|(vf, address)| (vf.index, *address)).collect();
    let held = seen("the holders of VFs", occupants(host, pf, &indexed)).await;
    let datapaths = seen("dpdk-vdpa's supervisors", async { Ok(host.dpdk.instances().await?) }).await;
    let mut found = Vec::new();
    for (vf, address) in vfs {
        let users = match (&held, &datapaths) {
            (Err(why), _) | (_, Err(why)) => Err(why.clone()),
            (Ok(held), Ok(datapaths)) => {
                let held =
                    held.iter().filter(|occupant| occupant.vf == *vf).map(|occupant| match &occupant.by {
                        By::Process(process) => User::Process {
                            process: process.clone(),
                            domain: domain_of(&*host.files, process.pid),
                        },
                        By::Domain(holder) => User::Domain {
                            name: holder.domain.clone(),
                            through: holder.resource.to_string(),
                            active: holder.active,
                        },
                    });
                let ours = datapaths.iter().filter(|instance| instance.spec.vf == *vf);
                Ok(held.chain(ours.map(|instance| User::Datapath { pid: instance.pid() })).collect())
            }
        };
        let function =
            seen("sysfs", async { view.function(*address).await.map(std::sync::Arc::unwrap_or_clone) }).await;
        let enabled = async |class| view.enabled(*address, class).await;
        let enabled =
            seen("devlink", async { Ok([enabled(Auxiliary::Eth).await?, enabled(Auxiliary::Vnet).await?]) })
                .await;
        found.push(CardVf { vf: *vf, function, users, enabled });
    }
    found
}

/// The domain that a QEMU process runs: libvirt starts it with `-name guest=NAME,…`. Nothing else of its command
/// line is looked at.
fn domain_of(files: &dyn Files, pid: u32) -> Option<String> {
    let line = files.read(format!("/proc/{pid}/cmdline").as_ref()).ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut arguments = line.split('\0').skip_while(|argument| *argument != "-name").skip(1);
    let name = arguments.next()?.split(',').find_map(|part| part.strip_prefix("guest="))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_hw::platform::Rooted;

    #[test]
    fn a_qemu_process_tells_its_domain() {
        let root = tempfile::tempdir().unwrap();
        let write = |pid: u32, line: &str| {
            std::fs::create_dir_all(root.path().join(format!("proc/{pid}"))).unwrap();
            std::fs::write(root.path().join(format!("proc/{pid}/cmdline")), line).unwrap();
        };
        write(10, "/usr/libexec/qemu-kvm\0-name\0guest=cx6.1,debug-threads=on\0-object\0secret,data=x\0");
        write(11, "/usr/bin/dpdk-testpmd\0--no-huge\0");
        let files = Rooted::new(root.path());
        assert_eq!(domain_of(&files, 10).as_deref(), Some("cx6.1"));
        assert_eq!((domain_of(&files, 11), domain_of(&files, 12)), (None, None));
    }
}
