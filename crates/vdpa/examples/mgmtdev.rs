//! Lists the host's vDPA management devices and the vDPA devices that were made on them.
//!
//! `cargo run -p vdpa-datapath --example mgmtdev [PCI]` – with a PCI address it says why that function
//! has no management device, loading the kernel module it takes (root).

use std::error::Error;
use std::path::Path;

use vdpa_datapath::{KernelVdpa as _, Linux};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let kernel = Linux::new(Path::new("/sys"), Path::new("/dev"));
    if let Some(function) = std::env::args().nth(1) {
        match kernel.mgmtdev_of(function.parse()?).await {
            Ok(found) => println!("{} makes vDPA devices", found.name),
            Err(error) => println!("{}\nhint: {}", error.chain(), error.hint().unwrap_or("none")),
        }
    }
    for mgmtdev in kernel.mgmtdevs().await? {
        let queues = mgmtdev.max_vqs.map_or(String::new(), |queues| format!(", up to {queues} virtqueues"));
        println!("{}: classes {:#x}{queues}", mgmtdev.name, mgmtdev.classes);
    }
    for device in kernel.devices().await? {
        let driver =
            kernel.driver(&device.name).await?.map_or("no driver".into(), |driver| driver.to_string());
        println!("{} on {}: {driver}, {} virtqueues", device.name, device.mgmtdev, device.max_vqs);
    }
    Ok(())
}
