//! Looks after the SR-IOV cards of this host by hand.
//!
//! ```text
//! pci                        PFs, their VFs, drivers, network devices and MACs
//! pci vfs ADDRESS COUNT      switch VFs on or off
//! pci autoprobe ADDRESS 0|1  whether new VFs are offered to drivers
//! pci bind ADDRESS DRIVER    bind a driver, whatever autoprobe says
//! pci bind-vfs PF DRIVER      bind a driver to every VF side by side, and wait for their network devices
//! pci unbind ADDRESS         unbind
//! pci holders ADDRESS        who has it open
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use vdpa_hw::{DriverName, Function, Link, Links, Pci, PciAddress, Role, RtnlLinks, SysfsPci};

const LIMIT: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(source) = error.source() {
                eprintln!("  {source}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let pci = SysfsPci::default();
    let began = Instant::now();
    match arguments {
        [] => return list(&pci, &RtnlLinks::default()).await,
        ["vfs", address, count] => pci.set_vf_count(address.parse()?, count.parse()?, LIMIT).await?,
        ["autoprobe", address, on] => pci.set_autoprobe(address.parse()?, *on == "1").await?,
        ["bind", address, driver] => {
            let (address, driver) = (address.parse()?, driver.parse()?);
            pci.set_driver(address, Some(&driver)).await?;
            let netdev = RtnlLinks::default().netdev_of(address, Duration::from_secs(5)).await;
            netdev.map_or_else(|error| println!("{error}"), |link| println!("{}", describe(&link)));
        }
        ["bind-vfs", pf, driver] => bind_vfs(&pci, pf.parse()?, driver.parse()?).await?,
        ["unbind", address] => pci.set_driver(address.parse()?, None).await?,
        ["holders", address] => {
            for holder in pci.holders(address.parse()?).await? {
                println!("{holder} by {}", holder.path.display());
            }
        }
        _ => return Err("see the head of examples/pci.rs".into()),
    }
    println!("done in {:.3} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn bind_vfs(pci: &SysfsPci, pf: PciAddress, driver: DriverName) -> Result<(), Box<dyn Error>> {
    let (links, began) = (RtnlLinks::default(), Instant::now());
    let vfs = pci.function(pf).await?.sriov().map(|sriov| sriov.vfs.clone()).unwrap_or_default();
    try_join_all(vfs.iter().map(|&vf| pci.set_driver(vf, Some(&driver)))).await?;
    println!("{} VFs bound after {:.3} s", vfs.len(), began.elapsed().as_secs_f64());
    for netdev in try_join_all(vfs.iter().map(|&vf| links.netdev_of(vf, LIMIT))).await? {
        println!("{}", describe(&netdev));
    }
    Ok(())
}

async fn list(pci: &SysfsPci, links: &RtnlLinks) -> Result<(), Box<dyn Error>> {
    let (functions, links) = (pci.functions().await?, links.links().await?);
    let find = |address| functions.iter().find(|function| function.address == address);
    for pf in &functions {
        let Some(sriov) = pf.sriov() else { continue };
        let autoprobe = if sriov.autoprobe { "on" } else { "off" };
        println!("{}, {} of {} VFs, autoprobe {autoprobe}", line(pf, &links), sriov.num_vfs, sriov.total_vfs);
        for vf in sriov.vfs.iter().filter_map(|&vf| find(vf)) {
            let Role::Vf(key) = vf.role else { continue };
            println!("  vf {}: {}", key.index, line(vf, &links));
        }
    }
    Ok(())
}

fn line(function: &Function, links: &[Link]) -> String {
    let driver = function.driver.as_ref().map_or("no driver", |driver| driver.as_str());
    let netdevs: Vec<_> = of(function.address, links).map(describe).collect();
    format!("{} [{}] {driver} {}", function.address, function.id, netdevs.join(", "))
}

fn of(parent: PciAddress, links: &[Link]) -> impl Iterator<Item = &Link> {
    links.iter().filter(move |link| link.parent == Some(parent))
}

fn describe(link: &Link) -> String {
    let port = link.phys_port_name.as_ref().map(|port| format!(" port {port}")).unwrap_or_default();
    format!("{} ({}){port}", link.name, link.mac)
}
