//! `vdpa vm list`: the domains, and what interfaces of ours they have.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use vdpa_vm::{Alias, DomainName, Domains, Interface, Status, View, xml};

use super::{Result, Session};
use crate::error::Error;
use crate::report::Outcome;

/// How many domains are asked for side by side.
const AT_ONCE: usize = 8;

#[derive(Debug, Serialize)]
struct Domain {
    name: String,
    #[serde(flatten)]
    status: Status,
    interfaces: Vec<Wired>,
}

#[derive(Debug, Serialize)]
struct Wired {
    /// The VF that it was made for by `setup`; absent where it was put there by hand.
    vf: Option<String>,
    interface: Interface,
}

pub(super) async fn run(session: &Session, domains: &dyn Domains) -> Result {
    let names = domains.list().await.map_err(Error::from)?;
    let found = stream::iter(names).map(|name| look(domains, name)).buffered(AT_ONCE);
    let found: Vec<Domain> = found.try_collect().await.map_err(Error::from)?;
    for domain in &found {
        let state = match domain.status {
            Status { active: true, persistent: true, .. } => "running",
            Status { active: true, persistent: false, .. } => "running, transient",
            Status { managed_save: true, .. } => "saved",
            Status { .. } => "shut off",
        };
        session.output.line(format_args!("{}  {state}", domain.name));
        for Wired { vf, interface } in &domain.interfaces {
            let whom = vf.as_ref().map_or_else(|| "put there by hand".to_owned(), |vf| format!("VF {vf}"));
            session.output.line(format_args!("  {interface}; {whom}"));
        }
    }
    if found.is_empty() {
        session.output.line("no domains");
    }
    Ok(Outcome::done("vm list", "done").with("domains", &found))
}

async fn look(domains: &dyn Domains, name: DomainName) -> vdpa_vm::Result<Domain> {
    let status = domains.status(&name).await?;
    let view = if status.persistent { View::Definition } else { View::Current };
    let wired = xml::interfaces(&domains.xml(&name, view).await?)?;
    let interfaces = wired.into_iter().map(|(owner, interface)| {
        let vf = match owner {
            Alias::Vf(vf) => Some(vf.to_string()),
            Alias::Mac(_) => None,
        };
        Wired { vf, interface }
    });
    Ok(Domain { name: name.to_string(), status, interfaces: interfaces.collect() })
}
