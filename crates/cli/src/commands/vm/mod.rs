//! `vdpa vm`: interfaces of domains, one at a time and by hand. `setup` does the same for a whole host.

mod document;
mod interface;
mod list;

use std::sync::Arc;

use clap::{Args, Subcommand};
use vdpa_hw::MacAddress;
use vdpa_vm::{DomainName, Domains, Effect, Virsh};

use self::interface::Wanted;
use super::{Result, Session, simulation};
use crate::error::Error;
use crate::report::Outcome;

const ATTACH_HELP: &str = "\
Examples:
  vdpa vm attach cx6.1 --mac e4:11:22:33:55:60 --socket /run/vdpa/0000-43-00.0-vf0/vhost/net.sock --queues 8
  vdpa vm attach cx6.1 --mac e4:11:22:33:55:60 --vhostdev /dev/vhost-vdpa-0";

const XML_HELP: &str = "\
Examples:
  virsh dumpxml --inactive --security-info cx6.1 > cx6.1.xml
  vdpa vm xml --from cx6.1.xml --mac e4:11:22:33:55:60 --vhostdev /dev/vhost-vdpa-0 > wired.xml
  vdpa vm xml --from wired.xml --detach e4:11:22:33:55:60 | cmp - cx6.1.xml";

/// What to do with domains.
#[derive(Debug, Subcommand)]
pub enum Vm {
    /// Show the domains, and what interfaces of ours they have.
    #[command(
        after_help = "Examples:\n  vdpa vm list\n  vdpa vm list --json | jq '.domains[].interfaces[].interface.mac'"
    )]
    List(Connection),
    /// Put an interface into a domain's definition; it counts from the domain's next start.
    #[command(after_help = ATTACH_HELP)]
    Attach(Attach),
    /// Take an interface of ours out of a domain's definition, and all that came with it.
    #[command(after_help = "Examples:\n  vdpa vm detach cx6.1 e4:11:22:33:55:60")]
    Detach(Detach),
    /// Edit a domain's XML in a file, and print it; every other byte stays as it is.
    #[command(after_help = XML_HELP)]
    Xml(document::Xml),
}

/// Which libvirt is meant.
#[derive(Debug, Args)]
pub struct Connection {
    /// libvirt's connection URI.
    #[arg(long, value_name = "URI", default_value = Virsh::SYSTEM)]
    connect: String,
}

/// Options of `vm attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// The domain.
    domain: DomainName,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    connection: Connection,
}

/// Options of `vm detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// The domain.
    domain: DomainName,
    /// The interface's MAC.
    mac: MacAddress,
    #[command(flatten)]
    connection: Connection,
}

impl Vm {
    /// The command's name, in documents.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "vm list",
            Self::Attach(_) => "vm attach",
            Self::Detach(_) => "vm detach",
            Self::Xml(_) => "vm xml",
        }
    }
}

pub(super) async fn run(session: &Session, vm: &Vm) -> Result {
    match vm {
        Vm::List(connection) => list::run(session, &*domains(session, connection)?).await,
        Vm::Attach(attach) => self::attach(session, attach).await,
        Vm::Detach(detach) => self::detach(session, detach).await,
        Vm::Xml(xml) => Ok(document::run(session, xml)?),
    }
}

async fn attach(session: &Session, Attach { domain, wanted, connection }: &Attach) -> Result {
    let domains = domains(session, connection)?;
    let _lock = lock(session, connection)?;
    let interface = wanted.interface()?;
    let definition = domains.xml(domain, vdpa_vm::View::Definition).await.map_err(Error::from)?;
    let owner = interface::owner(&definition, &interface)?;
    interface::warn(session, &definition, owner, &interface)?;
    let effect = vdpa_vm::enforce(&*domains, domain, owner, Some(&interface)).await.map_err(Error::from)?;
    Ok(wired(session, "vm attach", &format!("{domain}: {interface}"), effect))
}

async fn detach(session: &Session, Detach { domain, mac, connection }: &Detach) -> Result {
    let domains = domains(session, connection)?;
    let _lock = lock(session, connection)?;
    let owner = vdpa_vm::with_mac(&*domains, domain, *mac).await.map_err(Error::from)?;
    let effect = vdpa_vm::enforce(&*domains, domain, owner, None).await.map_err(Error::from)?;
    Ok(wired(session, "vm detach", &format!("{domain}: no interface {mac}"), effect))
}

/// Says what came of an edit.
fn wired(session: &Session, command: &'static str, what: &str, effect: Effect) -> Outcome {
    let (outcome, from) = match effect {
        Effect::Unchanged => ("unchanged", "as it was"),
        Effect::Defined => ("done", "counts when the domain starts"),
        Effect::NextStart => ("done", "counts after the running domain is shut down and started again"),
        Effect::AfterSavedState => {
            ("done", "counts for the start after the one that resumes the saved state")
        }
    };
    session.output.line(format_args!("{what}; {from}"));
    Outcome::done(command, outcome, &[]).with("effect", &effect)
}

/// The domains of the libvirt that is meant, or of the simulated host.
fn domains(session: &Session, connection: &Connection) -> Result<Arc<dyn Domains>, Error> {
    Ok(match simulation(&session.common)? {
        Some(simulated) => simulated.host().domains,
        None => Arc::new(Virsh::new(&connection.connect)),
    })
}

/// A `setup` that is at work edits the domains of this host's own libvirt: not at the same time as we do.
fn lock(session: &Session, connection: &Connection) -> Result<Option<crate::lock::Lock>, Error> {
    let of_this_host = session.is_simulated() || connection.connect == Virsh::SYSTEM;
    of_this_host.then(|| session.lock()).transpose()
}
