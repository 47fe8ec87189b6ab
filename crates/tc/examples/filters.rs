//! Shows the tc filters of this host, and what of them a card forwards. Without privilege.

use vdpa_tc::{Direction, Kernel, Tc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for hook in Kernel.hooks().await? {
        for filter in Kernel.filters(hook.link, Direction::Ingress).await? {
            let counters = filter.counters();
            println!("{filter}");
            println!(
                "  {} packets in hardware, {} in software",
                counters.hardware.packets, counters.software.packets
            );
        }
    }
    Ok(())
}
