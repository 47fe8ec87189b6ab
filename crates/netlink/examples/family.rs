//! Asks the kernel's controller for a generic-netlink family: its number, and the groups it sends notifications to.

use vdpa_netlink::Family;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "devlink".to_owned());
    // A family wants its name for as long as the program runs.
    let info = Family::new(name.leak()).info().await?;
    println!("family {}: {:?}", info.id, info.groups);
    Ok(())
}
