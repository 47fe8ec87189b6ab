//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use vdpa_hw::{NetdevName, PciAddress};
use vdpa_ovs::BridgeName;

use crate::commands::bench;
use crate::commands::doctor::Doctor;
use crate::commands::firmware::Firmware;
use crate::commands::flows::Flows;
use crate::commands::prepare::HostCommand;
use crate::commands::service;
use crate::commands::stats::Stats;
use crate::commands::topology::Shown;
use crate::commands::verify::Verify;
use crate::commands::vm::Vm;
use crate::config::{self, ConfigError, Datapath, HostFile, NicName};
use crate::guard::Guard;
use crate::host::HOST_FILE;
use crate::until::Until;

/// From a bare ConnectX-6 Dx to virtual machines on its hardware datapath, and back.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  vdpa setup --simulate                         try it on a simulated host; changes nothing real
  vdpa plan                                     what `setup` would change for /etc/vdpa/host.toml
  sudo vdpa setup --pci 0000:43:00.0 --vfs 2    the simple case without a host file
  vdpa host prepare                             kernel arguments, huge pages, modules: the diff
  sudo vdpa setup --config host.toml            the host as the file says
  vdpa status --json                            every statement, for a program
  sudo vdpa verify --from vm0 --to 10.0.0.2     proof that the card forwards
  sudo vdpa teardown                            back to what was there before

Exit codes: 0 done, 1 failed and the host is as it was, 2 usage or configuration,
3 failed and not everything could be restored: what remains is listed, 10 there is more to do (`plan
--detailed-exitcode`; `setup`, where a card waits for a firmware reset or a reboot).";

const HOST_FILE_HELP: &str = "\
A host file (/etc/vdpa/host.toml):
  [bridge]
  name = \"ovs-sriov\"              # made if missing; other bridges are never touched

  [[nic]]
  pci = \"0000:43:00.0\"            # or netdev = \"enp67s0f0\"
  vfs = 2
  firmware = { NUM_OF_VFS = 8 }   # checked, and written with --firmware; \"auto\": room for twice the VFs

  [[nic.vf]]
  index = 0
  mac = \"e4:11:22:33:55:60\"       # left out: derived from the card's permanent address
  datapath = \"dpdk\"               # dpdk (vhost-user) | kernel (vhost-vdpa) | ovs-dpdk | none
  queues = 8
  cores = [4, 5]                  # optional: the CPUs of its dpdk-vdpa process; and mode, as in [dpdk]
  vm = \"cx6.1\"                    # the libvirt domain to wire it into
  vlan = 100                      # optional, as min_rate_mbps, max_rate_mbps, link_state, trust and spoofchk are

  [[bond]]                        # two uplinks as one port (VF LAG)
  name = \"bond0\"
  mode = \"802.3ad\"                # active-backup | balance-xor | 802.3ad
  nics = [\"0000:43:00.0\", \"0000:43:00.1\"]

  [dpdk]                          # all of it optional
  program = \"/usr/local/bin/dpdk-vdpa\"
  mode = \"server\"                 # who listens: dpdk-vdpa (server) or QEMU (client: VMs outlive its crash)
  driver_args = []                # for DPDK's vDPA driver: \"event_mode=2\"
  hugepages = true                # false: ordinary memory, memory_mb of it
  eal_args = [\"-l\", \"4\"]
  group = \"libvirt-qemu\"          # who may open the sockets

  [ovs_dpdk]                      # with datapath = \"ovs-dpdk\"; all of it optional
  socket_mem = \"1024,0\"           # and pmd_cpu_mask = \"0x30\", extra = [words for DPDK's EAL]

  [libvirt]
  uri = \"qemu:///system\"

Examples:
  vdpa setup --simulate
  sudo vdpa setup --config host.toml
  sudo vdpa setup --netdev enp67s0f0 --vfs 4 --datapath kernel
  sudo vdpa setup --force management-traffic
  sudo vdpa setup --firmware      # exit code 10: what it wrote waits for the reset or reboot that it names";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the host what the host file says; on failure, restore what was there.
    #[command(after_help = HOST_FILE_HELP)]
    Setup(Setup),
    /// Show what `setup` would change, statement by statement; touches nothing.
    #[command(
        after_help = "Examples:\n  vdpa plan --simulate\n  vdpa plan --config host.toml --detailed-exitcode; echo $?"
    )]
    Plan(Plan),
    /// Show every statement and whether it holds now; exit code 1 if one does not.
    #[command(
        after_help = "Examples:\n  vdpa status\n  vdpa status --json | jq '.statements[] | select(.holds | not)'"
    )]
    Status(Wanted),
    /// Bring back what was there before `setup`.
    #[command(
        after_help = "Examples:\n  sudo vdpa teardown\n  sudo vdpa teardown --force drift    also where someone changed things since"
    )]
    Teardown(Teardown),
    /// Ask whether this host is ready, and say what is missing and what to type.
    Doctor(Doctor),
    /// Prepare what the host is booted with, and take that back.
    #[command(subcommand)]
    Host(HostCommand),
    /// Show and change what a card's firmware keeps over power cycles, such as how many VFs it may have.
    Firmware(Firmware),
    /// Show datapath flows, and which of them a card forwards.
    Flows(Flows),
    /// Show and edit the interfaces of libvirt domains.
    #[command(subcommand)]
    Vm(Vm),
    /// Prove that packets are forwarded by the card, or say why they are not; exit code 1 if they are not.
    Verify(Verify),
    /// Measure throughput or round trips between two ends, and say whether they went through hardware.
    Bench(bench::Options),
    /// Show the kernel's vDPA management devices, as iproute2's `vdpa mgmtdev` does.
    #[command(
        disable_help_flag = true,
        after_help = "Examples:\n  vdpa mgmtdev show\n  vdpa -j mgmtdev show pci/0000:43:00.2"
    )]
    Mgmtdev(Words),
    /// Make, show, change and delete the kernel's vDPA devices, as iproute2's `vdpa dev` does.
    #[command(
        disable_help_flag = true,
        after_help = "Examples:\n  vdpa dev show\n  vdpa -jp dev config show\n  sudo vdpa dev add name vdpa0 mgmtdev pci/0000:43:00.2 \
                      mac e4:11:22:33:55:60 max_vqp 8\n  sudo vdpa dev del vdpa0"
    )]
    Dev(Words),
    /// Show what hangs on what: card, VFs, representors, bridge, datapaths, virtual machines.
    Topology(Shown),
    /// Show what each VF's virtqueues and representor have counted.
    Stats(Stats),
    /// Print what a shell needs to complete this program's words.
    #[command(
        after_help = "Examples:\n  vdpa completions bash > /etc/bash_completion.d/vdpa\n  vdpa completions fish > ~/.config/fish/completions/vdpa.fish"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print this program's manual page, or write those of all its commands.
    #[command(after_help = "Examples:\n  vdpa man | man -l -\n  vdpa man --into /usr/local/share/man/man1")]
    Man {
        /// Write vdpa.1 and a page for each command into this directory.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Have the host set up at every boot, or no longer.
    #[command(subcommand, after_help = service::EXAMPLES)]
    Service(service::Service),
    /// Run a dpdk-vdpa process and see to it; started by `setup`.
    #[command(hide = true)]
    Supervise {
        /// The process's directory.
        directory: PathBuf,
    },
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document instead of text.
    #[arg(short, long, global = true)]
    pub json: bool,
    /// With `mgmtdev` and `dev`: JSON on several lines.
    #[arg(short, long, global = true, hide = true)]
    pub pretty: bool,
    /// Work on a simulated host (the reference document's host 105), kept in DIR between commands
    /// [default DIR: `$XDG_STATE_HOME/vdpa/simulated`].
    #[arg(long, global = true, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option, reason = "absent, without a value and with one are three things")]
    pub simulate: Option<Option<PathBuf>>,
    /// On a simulated host: let the N-th operation fail, to see what happens then.
    #[arg(long, global = true, value_name = "N", requires = "simulate", value_parser = clap::value_parser!(u64).range(1..))]
    pub fail_at: Option<u64>,
    /// Where ovsdb-server listens.
    #[arg(long, global = true, value_name = "SOCKET", default_value = vdpa_ovs::DEFAULT_SOCKET)]
    pub ovsdb: PathBuf,
    /// Say what is done on the way (-v), and what is sent (-vv), on standard error.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What the host should be: a host file, or a single card by flags.
#[derive(Debug, Args)]
pub struct Wanted {
    /// The host file [default: /etc/vdpa/host.toml].
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Instead of a host file: the card, by the PCI address of its PF.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["config", "netdev"], requires = "vfs")]
    pub pci: Option<PciAddress>,
    /// Instead of a host file: the card, by the name of its network device.
    #[arg(long, value_name = "NAME", conflicts_with = "config", requires = "vfs")]
    pub netdev: Option<NetdevName>,
    /// How many VFs the card is to have.
    #[arg(long, value_name = "N", conflicts_with = "config", value_parser = clap::value_parser!(u16).range(1..))]
    pub vfs: Option<u16>,
    /// The bridge [default: ovs-sriov].
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub bridge: Option<BridgeName>,
    /// The datapath of every VF: dpdk, kernel, ovs-dpdk or none [default: none].
    #[arg(long, value_name = "KIND", conflicts_with = "config")]
    pub datapath: Option<Datapath>,
}

/// The words of a command whose grammar is iproute2's.
#[derive(Debug, Args)]
pub struct Words {
    /// As in vdpa-mgmtdev(8) and vdpa-dev(8) of iproute2; `help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// Options of `setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// What the host should be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Go on although this guard objects; may be given more than once.
    #[arg(long, value_name = "GUARD")]
    pub force: Vec<Guard>,
    /// Write the firmware settings that the host file has; without this they are only checked.
    #[arg(long)]
    pub firmware: bool,
    /// Stop on the way, as a boot has to.
    #[arg(long, value_name = "WHERE", default_value = "domains", hide = true)]
    pub until: Until,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// What the host should be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Exit with 10 where there is something to change.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Options of `teardown`.
#[derive(Debug, Args)]
pub struct Teardown {
    /// Go on although this guard objects; may be given more than once.
    #[arg(long, value_name = "GUARD")]
    pub force: Vec<Guard>,
}

impl Wanted {
    /// What the host should be: by flags, by the file named, or by the usual one. On a simulated host without
    /// any, what the reference document makes of it.
    ///
    /// # Errors
    /// [`ConfigError`] for what cannot be.
    pub fn host_file(&self, simulated: bool) -> Result<HostFile, ConfigError> {
        let name = self.pci.map(NicName::Pci).or_else(|| self.netdev.clone().map(NicName::Netdev));
        match (name, self.vfs, &self.config) {
            (Some(name), Some(vfs), _) => {
                Ok(HostFile::single(name, vfs, self.bridge.clone(), self.datapath.unwrap_or_default()))
            }
            (None, Some(vfs), _) => Err(ConfigError {
                message: format!("--vfs {vfs} without a card"),
                place: None,
                hint: "name it with `--pci 0000:43:00.0` or `--netdev enp67s0f0`".to_owned(),
            }),
            (_, _, Some(path)) => config::read(path),
            _ if simulated => config::parse(Path::new("host 105"), HOST_FILE),
            _ => config::read(Path::new(config::DEFAULT_PATH)),
        }
    }

    /// Whether nothing is said about the host.
    pub fn is_silent(&self) -> bool {
        self.config.is_none() && self.pci.is_none() && self.netdev.is_none() && self.vfs.is_none()
    }
}
