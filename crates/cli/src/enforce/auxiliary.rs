//! What a VF's driver makes of it: parameters of the VF's own, and a reload where what is in force is otherwise.

use vdpa_datapath::kernel::Diagnosis;
use vdpa_eswitch::{Auxiliary, DevlinkHandle, ParamMode, ParamValue, Reload, patience};
use vdpa_hw::{PciAddress, Vf};

use crate::arrival::naming_limit;
use crate::error::Error;
use crate::host::Host;
use crate::step::Enabled;
use crate::view::View;

/// Has the driver of the VF at `address` make what `in_force` says, and leaves its parameters `set`. Waits for the
/// network device where there is to be one.
pub(super) async fn set(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    address: PciAddress,
    set: Enabled,
    in_force: Enabled,
) -> Result<(), Error> {
    let function = Function { host, view, device: DevlinkHandle::from(address), address };
    let mut now = function.params().await?;
    if in_force.vnet && now.eth.is_some() && now.vnet.is_none() {
        let (wanted, diagnosis) = (address.to_string(), Diagnosis::NotEmulated);
        return Err(vdpa_datapath::Error::NoMgmtdev { wanted, diagnosis, refusal: None }.into());
    }
    let made = view.auxiliaries().await?.get(&address).cloned().unwrap_or_default();
    let differs =
        |class: &Auxiliary| now.of(*class).is_some() && made.contains(class) != in_force.has(*class);
    if Enabled::CLASSES.iter().any(differs) {
        now = function.set_params(now, in_force).await?;
        let beside = view.function(vf.pf).await?.sriov().map_or(0, |sriov| usize::from(sriov.num_vfs));
        // Side by side with those of the other VFs, which older kernels take one after the other.
        host.eswitch.reload(&function.device, Reload::DRIVER, patience(beside)).await?;
        if in_force.eth {
            host.links.netdev_of(address, naming_limit(beside)).await?;
        }
    }
    function.set_params(now, set).await?;
    Ok(())
}

/// What a VF's parameters are set to; `None` for one that its driver has not.
#[derive(Clone, Copy)]
struct Params {
    eth: Option<bool>,
    vnet: Option<bool>,
}

impl Params {
    fn of(self, class: Auxiliary) -> Option<bool> {
        match class {
            Auxiliary::Eth => self.eth,
            Auxiliary::Vnet => self.vnet,
            Auxiliary::Rdma => None,
        }
    }
}

/// A VF with its devlink device.
struct Function<'a> {
    host: &'a Host,
    view: &'a View<'a>,
    device: DevlinkHandle,
    address: PciAddress,
}

impl Function<'_> {
    async fn params(&self) -> Result<Params, Error> {
        let of = async |class| self.view.enabled(self.address, class).await;
        Ok(Params { eth: of(Auxiliary::Eth).await?, vnet: of(Auxiliary::Vnet).await? })
    }

    /// Sets those that there are and that read otherwise; gives what they read then.
    async fn set_params(&self, now: Params, wanted: Enabled) -> Result<Params, Error> {
        for class in Enabled::CLASSES {
            let wanted = wanted.has(class);
            if now.of(class).is_some_and(|now| now != wanted) {
                let value = ParamValue::Bool(wanted);
                self.host
                    .eswitch
                    .set_param(&self.device, class.param(), ParamMode::Driverinit, &value)
                    .await?;
            }
        }
        Ok(Params { eth: now.eth.map(|_| wanted.eth), vnet: now.vnet.map(|_| wanted.vnet) })
    }
}
