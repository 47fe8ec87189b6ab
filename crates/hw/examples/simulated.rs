//! A program's own code on a simulated host: the same trait as the real one, and the third operation fails.

use std::time::Duration;

use vdpa_hw::mock::{Fuse, Lasting, Machine, When, hosts};
use vdpa_hw::{Pci, PciAddress};

/// Whatever you write: it does not know which host it has.
async fn two_vfs(pci: &dyn Pci, pf: PciAddress) -> vdpa_hw::Result<u16> {
    pci.set_autoprobe(pf, false).await?;
    pci.set_vf_count(pf, 2, Duration::from_secs(30)).await?;
    Ok(pci.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pf = "0000:43:00.0".parse()?;
    let machine = Machine::new(hosts::host_105());
    println!("{} VFs", two_vfs(&machine, pf).await?);

    let machine = Machine::new(hosts::host_105());
    machine.set_fuse(Some(Fuse::new(2, When::After, Lasting::Once)));
    if let Err(error) = two_vfs(&machine, pf).await {
        println!("with a fuse: {error}");
    }
    Ok(())
}
