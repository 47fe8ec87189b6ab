//! The statement "this VF (or MAC) has this interface in this domain": what it says now, and making it true.

use serde::Serialize;
use vdpa_hw::MacAddress;

use crate::{Alias, DomainName, Domains, Error, Interface, Placement, Result, Version, View, xml};

/// The mark of our interface with this MAC in the definition of `domain`. [`Error::NoInterface`] if there is none.
pub async fn with_mac(domains: &dyn Domains, domain: &DomainName, mac: MacAddress) -> Result<Alias> {
    let found = xml::with_mac(&domains.xml(domain, View::Definition).await?, mac)?;
    found.ok_or_else(|| Error::NoInterface { domain: domain.clone(), mac })
}

/// From when an edit of a domain's definition counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The definition said so already; nothing was written.
    Unchanged,
    /// The domain is shut off: it will start like this.
    Defined,
    /// The domain runs: it goes on as it is, and is like this once it was shut down and started again.
    /// A reboot from within the guest is not enough.
    NextStart,
    /// A saved state waits (`virsh managedsave`): the next start resumes it as it was; the edit counts
    /// for the start after that.
    AfterSavedState,
}

/// The interface that `owner` has in the definition of `domain`.
pub async fn observe(
    domains: &dyn Domains,
    domain: &DomainName,
    owner: impl Into<Alias>,
) -> Result<Option<Interface>> {
    xml::find(&domains.xml(domain, View::Definition).await?, owner)
}

/// Makes the definition of `domain` give `owner` the interface `wanted`, or none.
///
/// What was written is read back. Where libvirt did not keep it, its former definition is put back.
pub async fn enforce(
    domains: &dyn Domains,
    domain: &DomainName,
    owner: impl Into<Alias>,
    wanted: Option<&Interface>,
) -> Result<Effect> {
    enforce_as(domains, domain, owner, wanted, Placement::default()).await
}

/// The same, and with a say in how the domain takes it. Where `placement` names no version, libvirt is asked for its.
pub async fn enforce_as(
    domains: &dyn Domains,
    domain: &DomainName,
    owner: impl Into<Alias>,
    wanted: Option<&Interface>,
    mut placement: Placement,
) -> Result<Effect> {
    let alias = owner.into();
    let status = domains.status(domain).await?;
    if !status.persistent {
        return Err(Error::Transient(domain.clone()));
    }
    let before = domains.xml(domain, View::Definition).await?;
    let after = match wanted {
        Some(interface) => {
            if placement.libvirt.is_none() {
                placement.libvirt = version(domains).await?;
            }
            xml::attach_as(&before, alias, interface, &placement)?
        }
        None => xml::detach(&before, alias)?,
    };
    if after == before {
        return Ok(Effect::Unchanged);
    }
    domains.define(&after).await?;
    if let Err(why) = kept(domains, domain, alias, wanted).await {
        domains.define(&before).await?;
        return Err(why);
    }
    Ok(if status.managed_save {
        Effect::AfterSavedState
    } else if status.active {
        Effect::NextStart
    } else {
        Effect::Defined
    })
}

/// The version of libvirt; `None` for one that says it in another way than they all do.
pub(crate) async fn version(domains: &dyn Domains) -> Result<Option<Version>> {
    Ok(domains.versions().await?.libvirt.parse().ok())
}

async fn kept(
    domains: &dyn Domains,
    domain: &DomainName,
    alias: Alias,
    wanted: Option<&Interface>,
) -> Result<()> {
    let not_kept = |why| Err(Error::NotKept { domain: domain.clone(), why });
    let text =
        |interface: Option<&Interface>| interface.map_or_else(|| "none".to_owned(), ToString::to_string);
    let found = match observe(domains, domain, alias).await {
        Ok(found) => found,
        Err(Error::Changed { why, .. }) => return not_kept(why),
        Err(other) => return Err(other),
    };
    if found.as_ref() == wanted {
        return Ok(());
    }
    not_kept(format!("wanted {}, found {}", text(wanted), text(found.as_ref())))
}
