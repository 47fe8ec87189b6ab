//! `vdpa firmware`: what a card's firmware keeps over power cycles, shown and changed.

mod card;
mod change;
mod show;

use clap::{Args, Subcommand};
use vdpa_hw::PciAddress;
use vdpa_hw::firmware::{SettingName, Value};

use super::{Result, Session};
use crate::commands::source::Source;

const HELP: &str = "\
A setting has three values: its default, the current one, and the one that counts from the next boot on, which is all
that is ever changed. What it takes until it is the current one is said: a firmware reset of which level, a reboot, a
power cycle. None of that is done here. The kernel is asked where it has a parameter for a setting (mlx5 from Linux 6.18
on: SRIOV_EN, NUM_OF_VFS), then mstconfig (mstflint), then mlxconfig (MFT).

With --json, `cards` has for each card
  pci, ports        its first port's address, and each port with the name of its network device
  device, kind, part, description     as the tool tells them; null where it does not
  settings          name, default, current, next (null where they are not told), read_only, and keeper: who told
  pending           the settings whose next value is another than the current one
  activation        what it takes: need (nothing, reset, reboot, power_cycle), level, command, why; null if nothing
  not_asked         why there may be more settings: who could not be asked

Examples:
  vdpa firmware show                                       every card of this host
  vdpa firmware show --pci 0000:43:00.0 NUM_OF_VFS UCTX_EN
  mstconfig -d 43:00.0 -e query > nv.txt; vdpa firmware show --from nv.txt --json
  sudo vdpa firmware set --pci 0000:43:00.0 SRIOV_EN=true NUM_OF_VFS=16 UCTX_EN=true
  sudo vdpa firmware reset --pci 0000:43:00.0 NUM_OF_VFS   its default, from the next boot on
  vdpa firmware set --simulate NUM_OF_VFS=16";

/// `vdpa firmware`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Firmware {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show settings: default, current, next boot.
    #[command(after_help = HELP)]
    Show(Show),
    /// Set what counts from the next boot on.
    #[command(after_help = HELP)]
    Set(Set),
    /// Give settings their defaults, from the next boot on.
    #[command(after_help = HELP)]
    Reset(Reset),
}

/// Options of `firmware show`.
#[derive(Debug, Args)]
struct Show {
    /// Only these settings.
    #[arg(value_name = "NAME")]
    names: Vec<SettingName>,
    /// The card, by the address of one of its ports [default: every card].
    #[arg(long, value_name = "ADDRESS")]
    pci: Option<PciAddress>,
    /// What `mstconfig query` or `mlxconfig query` printed at another time, text or JSON; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "pci")]
    from: Option<Source>,
}

/// Options of `firmware set`.
#[derive(Debug, Args)]
struct Set {
    /// Settings: a number, true or false, or a word as `show` has it.
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = assignment)]
    values: Vec<(SettingName, Value)>,
    /// The card, by the address of one of its ports [default: the only one].
    #[arg(long, value_name = "ADDRESS")]
    pci: Option<PciAddress>,
}

/// Options of `firmware reset`.
#[derive(Debug, Args)]
struct Reset {
    /// These settings.
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<SettingName>,
    /// Every setting of the card.
    #[arg(long)]
    all: bool,
    /// The card, by the address of one of its ports [default: the only one].
    #[arg(long, value_name = "ADDRESS")]
    pci: Option<PciAddress>,
}

impl Firmware {
    /// What the command is called.
    pub(super) fn name(&self) -> &'static str {
        match self.verb {
            Verb::Show(_) => "firmware show",
            Verb::Set(_) => "firmware set",
            Verb::Reset(_) => "firmware reset",
        }
    }
}

/// Shows or changes settings.
pub(super) async fn run(session: &Session, options: &Firmware) -> Result {
    let outcome = match &options.verb {
        Verb::Show(Show { from: Some(source), names, .. }) => show::saved(session, source, names)?,
        Verb::Show(Show { pci, names, .. }) => show::run(session, *pci, names).await?,
        Verb::Set(Set { pci, values }) => change::set(session, *pci, values).await?,
        Verb::Reset(Reset { pci, names, .. }) => change::reset(session, *pci, names).await?,
    };
    Ok(outcome)
}

/// `NAME=VALUE`.
fn assignment(text: &str) -> std::result::Result<(SettingName, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NUM_OF_VFS=16")?;
    let name = name.parse().map_err(|error: vdpa_hw::ParseError| error.to_string())?;
    let value = value.parse().map_err(|error: vdpa_hw::ParseError| error.to_string())?;
    Ok((name, value))
}
