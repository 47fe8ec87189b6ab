//! `vdpa host prepare` and `vdpa host restore`: what the host is booted with.

mod request;
mod show;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use vdpa_boot::Host;
use vdpa_hw::platform::{ModuleName, PageSize, Platform};

use self::show::{Prepared, TakenBack};
use super::{Session, bridge, simulation};
use crate::config::boot::HugePages;
use crate::config::{self, HostFile};
use crate::error::Error;
use crate::host::SimulatedHost;
use crate::lock::Lock;

const PREPARE_HELP: &str = "\
What is asked for comes from the host file's [boot] and from the flags, which add to it:
  [boot]                          # all of it optional
  iommu = true                    # Intel: intel_iommu=on iommu=pt; AMD, where it is on by default: iommu=pt
  huge_pages = [
    { size = \"1G\", count = 16 },             # by kernel arguments, while all memory is free
    { size = \"2M\", count = 512, node = 0 },  # a node's: now, and early in each boot
  ]
  default_huge_page = \"1G\"
  modules = [\"vfio-pci\"]          # besides those that the datapaths of the VFs need
  nested = true                   # guests may have guests
  arguments = [\"isolcpus=4-15\"]   # each becomes the only one of its name

Kernel arguments are written by grubby where it is, otherwise into GRUB's defaults (/etc/default/grub, or the
drop-in that overrides it), and GRUB's configuration is made anew. An argument that says otherwise is replaced,
none is there twice, every other byte stays. What we write besides is ours alone: /etc/modules-load.d/vdpa.conf,
/etc/modprobe.d/vdpa.conf, /etc/tmpfiles.d/vdpa.conf, and where SELinux is on and a VF has datapath = \"dpdk\" the policy
module /var/lib/vdpa/vdpa.cil, without which QEMU may not connect to its socket. Files of yours are kept beside as FILE.before-vdpa, and
`vdpa host restore` takes everything back. Nothing reboots; the end says whether a reboot is due, and why.

With --json the outcome is one of unchanged, changes, done, short, failed; beside what every command says (notes,
error, exit_code, …) there are
  arguments  the kernel arguments that are wanted
  boot       null, or files (path, diff) and command (an argument vector)
  files      of ours: path, diff
  pages      huge pages to be set at run time: size, node, count, now, and with --apply given
  modules    to be loaded now: module, state
  policy     null, or the argument vector that changes SELinux's policy
  backups    files that were made by --apply
  reboot     why a reboot is due, a line each

Exit codes: 0 done or nothing to do, 1 failed and the files are as they were (or fewer huge pages were given than
asked for: `short`), 2 usage or host file, 3 failed and not everything could be taken back.

Examples:
  vdpa host prepare                                         what would change; writes nothing
  sudo vdpa host prepare --hugepages 1G=16 --apply
  sudo vdpa host prepare --hugepages 2M=512@0 --hugepages 2M=512@1 --no-iommu --apply
  vdpa host prepare --json | jq -r '.boot.files[].diff'";

const RESTORE_HELP: &str = "\
With --json the outcome is done or unchanged, and beside what every command says there are
  files      those that are as they were
  removed    those that were not there before
  ran        null, or the argument vector that was run

Examples:
  sudo vdpa host restore
  sudo vdpa host restore --force changed    also where somebody changed what was written";

/// Commands about what the host is booted with.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Prepare the host: kernel arguments, huge pages, modules, nested virtualization. Shows the diff; --apply
    /// writes it.
    #[command(after_help = PREPARE_HELP)]
    Prepare(Box<Prepare>),
    /// Take back what `prepare` wrote.
    #[command(after_help = RESTORE_HELP)]
    Restore(Restore),
    /// Put the NIC that the host is managed by under a bridge, for virtual machines, and go back unless that is confirmed.
    #[command(after_help = bridge::HELP)]
    Bridge(bridge::Bridge),
}

/// Options of `host prepare`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Prepare {
    /// The host file [default: /etc/vdpa/host.toml, if it is there].
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Huge pages: so many of a size, on the host or on a NUMA node; may be given more than once.
    #[arg(long, value_name = "SIZE=COUNT[@NODE]")]
    pub hugepages: Vec<Asked>,
    /// The default size of huge pages.
    #[arg(long, value_name = "SIZE")]
    pub default_hugepagesz: Option<PageSize>,
    /// A module to load at boot; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub module: Vec<ModuleName>,
    /// A kernel argument, which becomes the only one of its name; may be given more than once.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub arg: Vec<String>,
    /// Let guests have guests.
    #[arg(long)]
    pub nested: bool,
    /// Leave the IOMMU's arguments alone.
    #[arg(long)]
    pub no_iommu: bool,
    /// Write it.
    #[arg(long)]
    pub apply: bool,
    /// Exit with 10 where there is something to change.
    #[arg(long, conflicts_with = "apply")]
    pub detailed_exitcode: bool,
    /// The host whose files and programs are below DIR, which run as they are, not confined to it.
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "simulate")]
    pub root: Option<PathBuf>,
}

/// Options of `host restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Go on although somebody changed what was written.
    #[arg(long, value_name = "WHAT")]
    pub force: Option<Overridden>,
    /// The host whose files and programs are below DIR.
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "simulate")]
    pub root: Option<PathBuf>,
}

/// What `restore --force` goes past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Overridden {
    /// Files that were changed since.
    Changed,
}

/// Huge pages as a flag says them: `1G=16`, `2M=512@0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked(HugePages);

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || "write it like `1G=16`, or `2M=512@0` for NUMA node 0".to_owned();
        let (size, rest) = text.split_once('=').ok_or_else(form)?;
        let (count, node) = rest.split_once('@').map_or((rest, None), |(count, node)| (count, Some(node)));
        let size = size.parse().map_err(|error: vdpa_hw::ParseError| error.to_string())?;
        let count = count.parse().map_err(|_| form())?;
        let node = node.map(str::parse).transpose().map_err(|_| form())?;
        Ok(Self(HugePages { size, count, node, at: None }))
    }
}

impl HostCommand {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "host prepare",
            Self::Restore(_) => "host restore",
            Self::Bridge(_) => "host bridge",
        }
    }

    fn root(&self) -> Option<&Path> {
        match self {
            Self::Prepare(options) => options.root.as_deref(),
            Self::Restore(options) => options.root.as_deref(),
            Self::Bridge(_) => None,
        }
    }
}

/// Carries out a command.
pub(super) async fn run(session: &Session, command: &HostCommand) -> super::Result {
    let root = command.root().unwrap_or(Path::new("/"));
    let (host, platform) = match simulation(&session.common)? {
        Some(host) => simulated(session, &host)?,
        None => (Host::new(root), Platform::new(root)),
    };
    // Whoever changes the host is alone.
    let lock = || match command.root() {
        Some(root) => Lock::take(&root.join("run/vdpa")),
        None => session.lock(),
    };
    match command {
        HostCommand::Prepare(options) => {
            let _lock = options.apply.then(lock).transpose()?;
            let file = host_file(session, options, root)?;
            let (request, notes) = request::of(options, file.as_ref(), &platform)?;
            let mut plan = host.plan(&request).await.map_err(Error::from)?;
            plan.notes.splice(0..0, notes);
            let applied = if options.apply {
                Some(host.apply(&request, &plan).await.map_err(Error::from)?)
            } else {
                None
            };
            let prepared = Prepared { plan, applied, detailed: options.detailed_exitcode };
            Ok(prepared.show(session))
        }
        HostCommand::Restore(options) => {
            let _lock = lock()?;
            let restored = host.restore(options.force.is_some()).await.map_err(Error::from)?;
            Ok(TakenBack { restored }.show(session))
        }
        HostCommand::Bridge(options) => bridge::run(session, options).await,
    }
}

/// The host file: the one that is named, or the usual one where there is one.
fn host_file(session: &Session, options: &Prepare, root: &Path) -> Result<Option<HostFile>, Error> {
    let usual = root.join(config::DEFAULT_PATH.trim_start_matches('/'));
    match &options.config {
        Some(path) => Ok(Some(config::read(path)?)),
        None if session.is_simulated() => {
            Ok(Some(config::parse(Path::new("host 105"), crate::host::HOST_FILE)?))
        }
        None if usual.exists() => Ok(Some(config::read(&usual)?)),
        None => Ok(None),
    }
}

/// A simulated host keeps what is changed of its files beside its machine.
pub(super) fn simulated(session: &Session, simulated: &SimulatedHost) -> Result<(Host, Platform), Error> {
    let root = simulated.root();
    let host = vdpa_boot::mock::host_105(&root, simulated.host().files, session.common.fail_at);
    let host = host.map_err(|source| Error::Run { path: root, source })?;
    let platform = host.platform().clone();
    Ok((host, platform))
}
