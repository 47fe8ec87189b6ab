//! How a PF carries this host's own traffic: by itself, or below a bond, a bridge or a VLAN.

use std::collections::BTreeSet;

use vdpa_hw::{Link, ManagementUse};

use crate::doctor::evidence::Use;
use crate::error::Error;
use crate::host::Host;
use crate::view::View;

/// The uses of a device and of whatever stands on it.
pub(super) async fn of(host: &Host, view: &View<'_>, link: &Link) -> Result<Vec<Use>, Error> {
    let links = view.links().await?;
    let (mut found, mut next, mut visited) = (Vec::new(), vec![link.clone()], BTreeSet::new());
    while let Some(link) = next.pop() {
        if !visited.insert(link.index) {
            continue;
        }
        for how in host.links.management_uses(link.index).await? {
            if let ManagementUse::MemberOf(above) | ManagementUse::CarriedBy(above) = &how {
                next.extend(links.iter().find(|link| link.name == *above).cloned());
            }
            found.push(Use { device: link.name.clone(), how });
        }
    }
    Ok(found)
}
