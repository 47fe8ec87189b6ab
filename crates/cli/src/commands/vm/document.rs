//! `vdpa vm xml`: a domain's XML in a file, edited and printed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use vdpa_hw::MacAddress;
use vdpa_vm::{Placement, Version, xml};

use super::findings::{self, Shown};
use super::interface::{self, Wanted};
use super::placed::Placed;
use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

/// virsh reads no larger file: `VSH_MAX_XML_FILE` in libvirt's `tools/vsh.h`.
const LARGEST: u64 = 10 * 1024 * 1024;

/// Options of `vm xml`.
#[derive(Debug, Args)]
pub struct Xml {
    /// The domain's XML, as `virsh dumpxml` prints it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Take the interface of ours with this MAC out, and all that came with it.
    #[arg(long, value_name = "MAC", conflicts_with_all = ["mac", "socket", "vhostdev", "pin", "address", "huge_pages"])]
    detach: Option<MacAddress>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    placed: Placed,
    /// The version of the libvirt that the document is for. One before 7.9 is told of doorbell pages in
    /// `<qemu:commandline>` [default: one that knows all of it].
    #[arg(long, value_name = "VERSION", conflicts_with = "detach")]
    libvirt: Option<Version>,
}

pub(super) fn run(session: &Session, options: &Xml) -> Result<Outcome, Error> {
    let before = read(&options.from)?;
    let (after, findings) = match options.detach {
        Some(mac) => (detach(&before, mac)?, Vec::new()),
        None => attach(session, &before, options)?,
    };
    if !session.output.is_json() {
        // Every byte counts, so nothing is put before a line. A reader that has gone away is no reason to fail.
        drop(io::stdout().write_all(after.as_bytes()));
    }
    let outcome = if after == before { "unchanged" } else { "done" };
    Ok(Outcome::done("vm xml", outcome).with("document", &after).with("findings", &findings))
}

fn attach(session: &Session, before: &str, options: &Xml) -> Result<(String, Vec<Shown>), Error> {
    if options.placed.wants_choice() {
        return Err(interface::usage("`--pin auto` for a document", "name the CPUs: `--pin 14,16`"));
    }
    let interface = options.wanted.interface()?;
    let owner = interface::owner(before, &interface)?;
    let placement = Placement { libvirt: options.libvirt, ..options.placed.placement(None) };
    let found = vdpa_vm::check(before, owner, &interface, &placement)?;
    let shown = findings::say(session, &found, false)?;
    Ok((xml::attach_as(before, owner, &interface, &placement)?, shown))
}

fn detach(before: &str, mac: MacAddress) -> Result<String, Error> {
    let missing = || vdpa_vm::xml::name(before).map(|domain| vdpa_vm::Error::NoInterface { domain, mac });
    match xml::with_mac(before, mac)? {
        Some(owner) => Ok(xml::detach(before, owner)?),
        None => Err(missing()?.into()),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let what = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = String::new();
    let mut read = || {
        let source: Box<dyn io::Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        if source.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
            return Err(io::Error::other("it is larger than the 10 MiB that virsh reads"));
        }
        Ok(())
    };
    // Nobody else has anything to do meanwhile.
    let outcome: io::Result<()> = read();
    outcome.map_err(|source| Error::Input { what, source })?;
    Ok(text)
}
