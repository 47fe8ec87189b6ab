//! `vdpa flows`: datapath flows, as a table for people or an object a line for programs.
//!
//! Flows of a saved dump are shown as they are read and then forgotten, so that it may have any length. Those that are
//! there now are joined with their tc filters, and each that the card does not forward says why (`live.rs`).

mod json;
mod live;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use vdpa_ovs::flow::{Dump, FlowLine};

use self::json::Json;
use self::table::Table;
use super::Session;
use super::source::Source;
use crate::error::Error;
use crate::report::count;

/// How much is kept before it is written.
const FULL: usize = 1 << 16;

const HELP: &str = "\
With --json each flow is an object on a line of its own:
  line       its number in the dump, from 1
  ufid       its identity, null without -m
  key        its attributes by name, each with what stands in its parentheses
  actions    its actions, in their order
  packets    how many it was for
  bytes      how many they had
  used       seconds since the last of them, null for never
  flags      TCP flags that were seen, null for none
  offloaded  yes, partial or no; null where the dump was made without -m and does not say
  dp         the layer that forwards (tc, ovs, dpdk), null without -m
  text       the line as it was read

Without --from, of the flows that are there now, also
  hardware   {packets, bytes} that the card forwarded, by tc
  software   {packets, bytes} that the kernel forwarded
  in_hw      whether tc says that the card has the rule; null where tc has none
  why        {reason, text, remedy} where the card does not forward; docs/offload.md lists the reasons

Lines that are no flows are named on standard error, and the exit code is 1.

Examples:
  sudo vdpa flows
  sudo vdpa flows --json | jq -r 'select(.why) | [.key.in_port, .why.reason] | @tsv'
  ovs-appctl dpctl/dump-flows -m > flows.txt; vdpa flows --from flows.txt
  ovs-appctl dpctl/dump-flows -m | vdpa flows --from -
  vdpa flows --from flows.txt --json | jq -r 'select(.offloaded == \"no\") | .text'
  vdpa flows --from flows.txt --json | jq -s 'group_by(.key.in_port)[] | {port: .[0].key.in_port, packets: map(.packets) | add}'";

/// Options of `flows`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Flows {
    /// A saved dump, and not the flows that are there now: what `ovs-appctl dpctl/dump-flows [-m]` or `ovs-dpctl dump-flows` printed; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub from: Option<Source>,
}

/// How flows are shown.
trait Show {
    /// Adds a flow to what is to be written.
    fn flow(&mut self, number: u64, flow: &FlowLine<'_>, out: &mut Vec<u8>);
    /// Adds what comes behind the last one.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Shows the flows of a dump; exit code 1 where some lines are none.
pub(super) async fn run(session: &Session, options: &Flows) -> Result<ExitCode, Error> {
    let Some(from) = &options.from else { return live::run(session).await };
    if session.is_simulated() {
        return Err(Error::NotSimulated("a saved dump"));
    }
    let reader = from.open()?;
    let show: Box<dyn Show> = if session.output.is_json() {
        Box::new(Json)
    } else {
        Box::new(Table::new(session.output.has_colours()))
    };
    let read = |source| Error::Input { what: from.to_string(), source };
    let ended = tokio::task::block_in_place(|| stream(session, from, Dump::new(reader), show));
    ended.map_err(read)
}

/// Reads to the end, or until nobody listens any more.
fn stream(
    session: &Session,
    source: &Source,
    mut dump: Dump<impl io::Read>,
    mut show: Box<dyn Show>,
) -> io::Result<ExitCode> {
    let (mut out, mut bad, mut lines) = (Vec::with_capacity(2 * FULL), 0_u64, 0_u64);
    while let Some(entry) = dump.next_entry()? {
        match entry.flow {
            Some(Ok(flow)) => show.flow(entry.number, &flow, &mut out),
            Some(Err(why)) => {
                bad += 1;
                session.output.complain(format_args!("{source} line {}, {why}", entry.number));
            }
            None => {}
        }
        lines = entry.number;
        if out.len() >= FULL && !write(&mut out) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    show.end(&mut out);
    write(&mut out);
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    session.output.complain(format_args!("{bad} of {} of {source} could not be read", count(lines, "line")));
    session.output.hint("`ovs-appctl dpctl/dump-flows -m > FILE` saves a dump");
    Ok(ExitCode::FAILURE)
}

/// Writes what there is; false where nobody listens.
fn write(out: &mut Vec<u8>) -> bool {
    let written = io::stdout().lock().write_all(out);
    out.clear();
    written.is_ok()
}
