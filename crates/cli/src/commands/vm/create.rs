//! `vdpa vm create`: a new domain from a cloud image or an installer, in one command.

use std::io::{self, Write as _};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use vdpa_vm::{Blueprint, Disk, DomainName, Domains, Network, Surroundings, xml};

use super::findings;
use super::interface::{self, Wanted, usage};
use super::placed::Placed;
use super::{Connection, chosen, domains, lock, surroundings};
use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

/// Options of `vm create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The domain's name.
    name: DomainName,
    /// Its CPUs.
    #[arg(long, value_name = "N", default_value_t = NonZeroU16::new(2).unwrap_or(NonZeroU16::MIN))]
    vcpus: NonZeroU16,
    /// Its memory in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 8)]
    memory: u32,
    /// The cloud image that its disk is on top of; it is not written to.
    #[arg(long, value_name = "FILE", conflicts_with = "iso", required_unless_present = "iso")]
    image: Option<PathBuf>,
    /// The installer's ISO image.
    #[arg(long, value_name = "FILE")]
    iso: Option<PathBuf>,
    /// Its disk, which must not be there yet [default: /var/lib/libvirt/images/NAME.qcow2].
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// The disk's size in GiB [default: the image's, or 30].
    #[arg(long, value_name = "GIB")]
    disk_size: Option<u64>,
    /// What Anaconda installs by, with `--iso`: a kickstart file.
    #[arg(long, value_name = "FILE", requires = "iso")]
    kickstart: Option<PathBuf>,
    /// What cloud-init does at the first start, with `--image`: a user-data file.
    #[arg(long, value_name = "FILE", requires = "image")]
    user_data: Option<PathBuf>,
    /// The bridge of this host that it is managed by.
    #[arg(long, value_name = "BRIDGE", conflicts_with = "network")]
    bridge: Option<String>,
    /// libvirt's network that it is managed by [default: none].
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// The TCP port of its VNC console, on loopback [default: libvirt's choice].
    #[arg(long, value_name = "PORT")]
    vnc: Option<u16>,
    /// The QEMU program [default: libvirt's choice].
    #[arg(long, value_name = "FILE")]
    emulator: Option<PathBuf>,
    /// Run it in software, without KVM.
    #[arg(long)]
    tcg: bool,
    /// Print the domain's XML and make nothing.
    #[arg(long)]
    print_xml: bool,
    /// Start it, and give up where it has not started after this many seconds.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", conflicts_with = "print_xml")]
    start: Option<u64>,
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

pub(super) async fn run(session: &Session, create: &Create) -> super::Result {
    let domains = domains(session, &create.connection)?;
    let Drawn { document, findings } = create.document(session).await?;
    let disk = create.disk();
    let seed = create.seed_path();
    let command: Vec<String> = if session.is_simulated() {
        Vec::new()
    } else {
        let words = disk.command().map_err(Error::from)?;
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    };
    if create.print_xml {
        if !session.output.is_json() {
            drop(io::stdout().write_all(document.as_bytes()));
        }
        return Ok(Outcome::done("vm create", "done")
            .with("document", &document)
            .with("disk", &command)
            .with("findings", &findings));
    }
    create.look_for_bridge(session)?;
    let _lock = lock(session, &create.connection)?;
    if domains.list().await.map_err(Error::from)?.contains(&create.name) {
        let what = format!("domain `{}` is there already", create.name);
        return Err(usage(&what, "choose another name; `vdpa vm attach` wires one that is there").into());
    }
    let mut made = Made::default();
    if !session.is_simulated() {
        disk.make().await.map_err(Error::from)?;
        made.0.push(disk.path.clone());
        if let Some(path) = &seed {
            write_seed(path, &create.seed_content()?)?;
            made.0.push(path.clone());
        }
    }
    domains.define(&document).await.map_err(Error::from)?;
    // From here on they are the domain's.
    made.0.clear();
    session.output.line(format_args!("{}: defined, with its disk {}", create.name, disk.path.display()));
    if let Some(seconds) = create.start {
        let limit = Duration::from_secs(seconds);
        Domains::start(&*domains, &create.name, limit).await.map_err(Error::from)?;
        session.output.line(format_args!("{}: started", create.name));
    } else {
        let hint =
            format!("`timeout 60 virsh -c {} start {}` starts it", create.connection.connect, create.name);
        session.output.line(hint);
    }
    Ok(Outcome::done("vm create", "done")
        .with("document", &document)
        .with("disk", &command)
        .with("findings", &findings))
}

/// A domain that is not there yet.
struct Drawn {
    document: String,
    findings: Vec<findings::Shown>,
}

impl Create {
    /// The domain's XML, with its interface on the hardware datapath where one is asked for, if that can work here.
    async fn document(&self, session: &Session) -> Result<Drawn, Error> {
        let placement = self.placed.placement(None);
        let network = match (&self.bridge, &self.network) {
            (Some(bridge), _) => Network::Bridge(bridge.clone()),
            (None, Some(network)) => Network::Libvirt(network.clone()),
            (None, None) => Network::Absent,
        };
        let mut blueprint = Blueprint {
            name: self.name.clone(),
            memory_mib: u64::from(self.memory) * 1024,
            huge_pages: placement.huge_pages,
            vcpus: self.vcpus.get(),
            pins: placement.pins.clone(),
            disk: self.disk().path,
            installer: self.iso.as_deref().map(absolute).transpose()?,
            seed: self.seed_path(),
            network,
            vnc: self.vnc,
            emulator: self.emulator.clone(),
            kvm: !self.tcg,
        };
        if !self.wanted.is_asked_for() {
            if self.placed.wants_choice() {
                let hint =
                    "name the CPUs: `--pin 14,16`, or the VF's datapath too: `--socket PATH --mac MAC`";
                return Err(usage("`--pin auto` without an interface of a card", hint));
            }
            return Ok(Drawn { document: blueprint.xml(), findings: Vec::new() });
        }
        let interface = self.wanted.interface()?;
        // What is printed may be for another host.
        let around = if self.print_xml && !self.placed.wants_choice() {
            Surroundings::default()
        } else {
            surroundings(session, &self.connection, &self.name, &blueprint.xml(), &interface).await?
        };
        if self.placed.wants_choice() {
            blueprint.pins = chosen(session, &self.placed, &around)?.pins;
        }
        let plain = blueprint.xml();
        let owner = interface::owner(&plain, &interface)?;
        // The rest of it is in the blueprint.
        let placement = vdpa_vm::Placement { pins: Vec::new(), huge_pages: None, ..placement };
        let mut found = vdpa_vm::check(&plain, owner, &interface, &placement)?;
        found.extend(around.check(&self.name, &plain, &interface, &placement)?);
        let findings = findings::say(session, &found, self.force || self.print_xml)?;
        Ok(Drawn { document: xml::attach_as(&plain, owner, &interface, &placement)?, findings })
    }

    /// That the bridge is there, where that is this host's: libvirt asks for it at the start and not before.
    fn look_for_bridge(&self, session: &Session) -> Result<(), Error> {
        let here = !session.is_simulated() && self.connection.connect == vdpa_vm::Virsh::SYSTEM;
        let Some(bridge) = self.bridge.as_ref().filter(|_| here) else { return Ok(()) };
        if Path::new("/sys/class/net").join(bridge).exists() {
            return Ok(());
        }
        let what = format!("there is no bridge `{bridge}` on this host");
        let hint = format!(
            "`vdpa host bridge --over NIC --name {bridge}` shows how the NIC that the host is managed by is put under one"
        );
        if self.start.is_some() {
            return Err(usage(&what, &hint));
        }
        session.output.caution(format_args!("{what}, and the domain does not start without it: {hint}"));
        Ok(())
    }

    fn disk(&self) -> Disk {
        let usual = || PathBuf::from(format!("/var/lib/libvirt/images/{}.qcow2", self.name));
        // An overlay's image is found from where the overlay is; a disk of libvirt's has no current directory.
        let at = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let size_gib = self.disk_size.or(self.image.is_none().then_some(30));
        Disk { path: self.disk.as_ref().map_or_else(usual, at), size_gib, image: self.image.as_ref().map(at) }
    }

    /// Where the disk with the guest's first instructions is, if it is to have one: beside its disk.
    fn seed_path(&self) -> Option<PathBuf> {
        let wanted = self.kickstart.is_some() || self.user_data.is_some();
        wanted.then(|| self.disk().path.with_extension("seed.img"))
    }

    fn seed_content(&self) -> Result<Vec<u8>, Error> {
        let read = |path: &Path| {
            let input = |source| Error::Input { what: path.display().to_string(), source };
            std::fs::read(path).map_err(input)
        };
        let (source, disk) = match (&self.kickstart, &self.user_data) {
            (Some(kickstart), _) => (kickstart, vdpa_vm::seed("OEMDRV", &[("ks.cfg", &read(kickstart)?)])),
            (None, Some(user_data)) => {
                let meta = format!("instance-id: {0}\nlocal-hostname: {0}\n", self.name);
                let files = [("user-data", &read(user_data)?[..]), ("meta-data", meta.as_bytes())];
                (user_data, vdpa_vm::seed("CIDATA", &files))
            }
            (None, None) => return Ok(Vec::new()),
        };
        let large =
            || usage(&format!("{} is larger than 1.4 MB", source.display()), "have it fetch the rest");
        disk.ok_or_else(large)
    }
}

/// Files that were made for a domain, and that go again where it does not come to be.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Writes a file that is not there yet, whole or not at all.
fn write_seed(path: &Path, content: &[u8]) -> Result<(), Error> {
    let file = |source| Error::File { verb: "write", path: path.to_owned(), source };
    let write = || {
        let mut new = std::fs::File::create_new(path)?;
        new.write_all(content).and_then(|()| new.sync_all()).inspect_err(|_| drop(std::fs::remove_file(path)))
    };
    write().map_err(file)
}

/// The same path for a process with another current directory, where the file is there.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let input = |source| Error::Input { what: path.display().to_string(), source };
    std::fs::canonicalize(path).map_err(input)
}
