//! `vdpa vm`: interfaces of domains, one at a time and by hand. `setup` does the same for a whole host.

mod around;
mod create;
mod document;
mod findings;
mod interface;
mod list;
mod placed;

use std::sync::Arc;

use clap::{Args, Subcommand};
use vdpa_hw::MacAddress;
use vdpa_vm::{DomainName, Domains, Effect, Interface, Placement, Surroundings, View, Virsh};

use self::interface::Wanted;
use self::placed::Placed;
use super::{Result, Session, simulation};
use crate::error::Error;
use crate::host::Access;
use crate::report::Outcome;

const ATTACH_HELP: &str = "\
Examples:
  vdpa vm attach cx6.1 --mac e4:11:22:33:55:60 --socket /run/vdpa/0000-43-00.0-vf0/vhost/net.sock --queues 8
  vdpa vm attach cx6.1 --mac e4:11:22:33:55:60 --vhostdev /dev/vhost-vdpa-0 --pin auto --address 0000:07:00.0";

const CREATE_HELP: &str = "\
Examples:
  sudo vdpa vm create cx6.1 --iso Rocky-8.4-x86_64-minimal.iso --kickstart helper-ks-rocky.cfg --memory 8 --vcpus 2 \\
      --huge-pages 1G --pin 14,16 --bridge baremetal --vnc 59000 --start
  sudo vdpa vm create web --image debian-12-generic-amd64.qcow2 --user-data user-data --disk-size 20 --network default \\
      --mac e4:11:22:33:55:60 --vhostdev /dev/vhost-vdpa-0
  vdpa vm create try --image debian-12-generic-amd64.qcow2 --print-xml";

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
    /// Make a new domain from a cloud image or an installer, on the hardware datapath if that is asked for.
    #[command(after_help = CREATE_HELP)]
    Create(Box<create::Create>),
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
    placed: Placed,
    /// Go on where something about this host speaks against it: a socket that QEMU may not reach, a MAC that is not the
    /// VF's, huge pages that are missing.
    #[arg(long)]
    force: bool,
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
            Self::Create(_) => "vm create",
            Self::Attach(_) => "vm attach",
            Self::Detach(_) => "vm detach",
            Self::Xml(_) => "vm xml",
        }
    }
}

pub(super) async fn run(session: &Session, vm: &Vm) -> Result {
    match vm {
        Vm::List(connection) => list::run(session, &*domains(session, connection)?).await,
        Vm::Create(create) => create::run(session, create).await,
        Vm::Attach(attach) => self::attach(session, attach).await,
        Vm::Detach(detach) => self::detach(session, detach).await,
        Vm::Xml(xml) => Ok(document::run(session, xml)?),
    }
}

async fn attach(session: &Session, options: &Attach) -> Result {
    let Attach { domain, wanted, placed, force, connection } = options;
    let domains = domains(session, connection)?;
    let _lock = lock(session, connection)?;
    let interface = wanted.interface()?;
    let definition = domains.xml(domain, View::Definition).await.map_err(Error::from)?;
    let owner = interface::owner(&definition, &interface)?;
    let around = surroundings(session, connection, domain, &definition, &interface).await?;
    let mut placement = chosen(session, placed, &around)?;
    placement.libvirt = domains.versions().await.map_err(Error::from)?.libvirt.parse().ok();
    let mut found = vdpa_vm::check(&definition, owner, &interface, &placement).map_err(Error::from)?;
    found.extend(around.check(domain, &definition, &interface, &placement).map_err(Error::from)?);
    let findings = findings::say(session, &found, *force)?;
    let effect = vdpa_vm::enforce_as(&*domains, domain, owner, Some(&interface), placement).await;
    let what = format!("{domain}: {interface}");
    Ok(wired(session, "vm attach", &what, effect.map_err(Error::from)?).with("findings", &findings))
}

async fn detach(session: &Session, Detach { domain, mac, connection }: &Detach) -> Result {
    let domains = domains(session, connection)?;
    let _lock = lock(session, connection)?;
    let owner = vdpa_vm::with_mac(&*domains, domain, *mac).await.map_err(Error::from)?;
    let effect = vdpa_vm::enforce(&*domains, domain, owner, None).await.map_err(Error::from)?;
    Ok(wired(session, "vm detach", &format!("{domain}: no interface {mac}"), effect))
}

/// What the host around the domain is like, where that is this one; what could not be looked at is said.
async fn surroundings(
    session: &Session,
    connection: &Connection,
    domain: &DomainName,
    definition: &str,
    interface: &Interface,
) -> std::result::Result<Surroundings, Error> {
    let Some(host) = neighbourhood(session, connection) else { return Ok(Surroundings::default()) };
    let mut notes = Vec::new();
    let around = around::look(&host?, domain, definition, interface, &mut notes).await;
    for note in &notes {
        session.output.caution(note);
    }
    Ok(around)
}

/// How the domain is to take the interface, with CPUs near the card where they are to be chosen.
fn chosen(
    session: &Session,
    placed: &Placed,
    around: &Surroundings,
) -> std::result::Result<Placement, Error> {
    if placed.wants_choice() {
        let (Some(cpus), Some(node)) = (&around.proposal, around.node) else {
            let hint = "name them: `--pin 14,16`; `lscpu` shows which are on which node";
            return Err(interface::usage("`--pin auto`: no free CPUs near the card are known", hint));
        };
        let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
        session.output.remark(format_args!(
            "vCPUs pinned to CPUs {}: on NUMA node {node}, as the card is, and no other domain's",
            cpus.join(",")
        ));
    }
    Ok(placed.placement(around.proposal.as_deref()))
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
    Outcome::done(command, outcome).with("effect", &effect)
}

/// The domains of the libvirt that is meant, or of the simulated host.
fn domains(session: &Session, connection: &Connection) -> Result<Arc<dyn Domains>, Error> {
    Ok(match simulation(&session.common)? {
        Some(simulated) => simulated.host().domains,
        None => Arc::new(Virsh::new(&connection.connect)),
    })
}

/// The host that the domain runs on, where that is this one or a simulated one.
fn neighbourhood(
    session: &Session,
    connection: &Connection,
) -> Option<std::result::Result<crate::host::Host, Error>> {
    let here = session.is_simulated() || connection.connect == Virsh::SYSTEM;
    here.then(|| {
        let (access, _) = session.known()?;
        session.host(&Access { libvirt: connection.connect.clone(), ..access })
    })
}

/// A `setup` that is at work edits the domains of this host's own libvirt: not at the same time as we do.
fn lock(session: &Session, connection: &Connection) -> Result<Option<crate::lock::Lock>, Error> {
    let of_this_host = session.is_simulated() || connection.connect == Virsh::SYSTEM;
    of_this_host.then(|| session.lock()).transpose()
}
