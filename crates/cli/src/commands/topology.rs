//! `vdpa topology`: what hangs on what.

use clap::{Args, ValueEnum};
use vdpa_hw::PciAddress;
use vdpa_ovs::BridgeName;

use super::{Result, Session};
use crate::report::Outcome;
use crate::topology::{dot, look, mermaid, svg, text};

const HELP: &str = "\
What is green forwards in hardware or is ready for it, what is yellow works in software, what is red does not
work. A picture is printed on standard output and says that a simulated host is one.

Examples:
  vdpa topology
  vdpa topology --format svg > host.svg
  vdpa topology --format dot | dot -Tpng > host.png
  vdpa topology --json | jq -r '.cards[].vfs[] | select(.representor.offload != \"in_force\") | .address'";

/// Options of `topology`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Shown {
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The bridge [default: that of the last `setup`, of the host file, or ovs-sriov].
    #[arg(long, value_name = "NAME")]
    pub bridge: Option<BridgeName>,
    /// Only the card with this PF; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    pub pci: Vec<PciAddress>,
}

/// How a topology is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A tree, for a terminal.
    Text,
    /// For Graphviz.
    Dot,
    /// For wikis.
    Mermaid,
    /// A picture, light or dark as the viewer is.
    Svg,
}

/// Looks, and shows what there is.
pub(super) async fn run(session: &Session, options: &Shown) -> Result {
    let (access, bridge) = session.known()?;
    let host = session.host(&access)?;
    let topology = look(&host, options.bridge.as_ref().unwrap_or(&bridge), &options.pci).await?;
    let simulated = session.is_simulated();
    let title = if simulated { "vdpa topology of a simulated host" } else { "vdpa topology" };
    let document =
        Outcome::done("topology", "shown").with("bridge", &topology.bridge).with("cards", &topology.cards);
    if session.output.is_json() {
        return Ok(Outcome { notes: topology.notes, ..document });
    }
    match options.format {
        Format::Text => {
            for line in text::lines(&topology) {
                session.output.line(line);
            }
            for note in &topology.notes {
                session.output.line(format_args!("note: {note}"));
            }
        }
        Format::Dot => session.output.raw(&dot::graph(&topology, title)),
        Format::Mermaid => session.output.raw(&mermaid::flowchart(&topology, title)),
        Format::Svg => session.output.raw(&svg::picture(&topology, title)),
    }
    Ok(document)
}
