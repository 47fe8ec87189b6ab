//! How the domain is to take an interface, as flags describe it.

use std::str::FromStr;

use clap::Args;
use vdpa_hw::PciAddress;
use vdpa_hw::platform::PageSize;
use vdpa_vm::{Pin, Placement};

/// How the domain is to take the interface.
#[derive(Debug, Args)]
pub(super) struct Placed {
    /// Where the guest sees the device: its PCI address there [default: libvirt's choice].
    #[arg(long, value_name = "PCI")]
    address: Option<PciAddress>,
    /// Make the guest's memory of huge pages of this size, `1G` or `2M`, where it is of ordinary pages.
    #[arg(long, value_name = "SIZE")]
    huge_pages: Option<PageSize>,
    /// Pin the guest's vCPUs to these CPUs of the host, the first to the first: `14,16`. `auto`, where the host is looked
    /// at: to CPUs on the card's NUMA node that no other domain is pinned to.
    #[arg(long, value_name = "CPUS")]
    pin: Option<Pins>,
}

/// What vCPUs are to be pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pins {
    /// CPUs near the card.
    Auto,
    /// These, in order.
    To(Vec<u32>),
}

impl FromStr for Pins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let cpus: Result<Vec<u32>, _> = text.split(',').map(|cpu| cpu.trim().parse()).collect();
        let cpus = cpus.map_err(|_| "name CPUs, one for each vCPU, as `14,16`, or say `auto`".to_owned())?;
        // No domain of libvirt has more vCPUs than that.
        if cpus.len() > usize::from(u16::MAX) { Err("too many CPUs".to_owned()) } else { Ok(Self::To(cpus)) }
    }
}

impl Placed {
    /// Whether CPUs are to be chosen.
    pub(super) fn wants_choice(&self) -> bool {
        self.pin == Some(Pins::Auto)
    }

    /// The placement, with `proposal` for the CPUs where they are to be chosen.
    pub(super) fn placement(&self, proposal: Option<&[u32]>) -> Placement {
        let cpus = match &self.pin {
            Some(Pins::To(cpus)) => cpus,
            Some(Pins::Auto) => proposal.unwrap_or_default(),
            None => &[],
        };
        let pins = (0..).zip(cpus).map(|(vcpu, cpu)| Pin { vcpu, cpu: *cpu }).collect();
        Placement { libvirt: None, address: self.address, pins, huge_pages: self.huge_pages }
    }
}
