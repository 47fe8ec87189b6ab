//! Shows every rule of the contracts on a real PF, which has no VFs and which nothing depends on.
//!
//! ```text
//! contract ADDRESS VF-DRIVER VFS
//! ```

use std::time::{Duration, Instant};

use vdpa_hw::contract::{self, Subject};
use vdpa_hw::{Pci, Role, RtnlLinks, SysfsPci};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [pf, driver, vfs] = &arguments[..] else {
        return Err("contract ADDRESS VF-DRIVER VFS".into());
    };
    let subject = Subject {
        pf: pf.parse()?,
        driver: driver.parse()?,
        vfs: vfs.parse()?,
        limit: Duration::from_mins(5),
    };
    let (pci, links) = (SysfsPci::default(), RtnlLinks::default());
    let began = Instant::now();
    contract::pci(&pci, &subject).await;
    println!("Pci holds on {pf}: {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    contract::links(&pci, &links, &subject).await;
    println!("Links holds on {pf}: {:.1} s", began.elapsed().as_secs_f64());
    let left = pci.functions().await?;
    println!("{} VFs left", left.iter().filter(|function| matches!(function.role, Role::Vf(_))).count());
    Ok(())
}
