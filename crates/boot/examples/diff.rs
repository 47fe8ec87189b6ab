//! Shows what would change if this host, or the one whose files are below a directory, had its IOMMU on. Changes nothing.

use vdpa_boot::{Host, Request, Want};
use vdpa_hw::platform::Vendor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).unwrap_or_else(|| "/".to_owned());
    let request = Request { wants: Want::iommu(Vendor::Intel), ..Request::default() };
    print!("{}", Host::new(root).plan(&request).await?.diff());
    Ok(())
}
