//! `vdpa flows`: datapath flows, as a table for people or an object a line for programs.
//!
//! Flows of a saved dump are shown as they are read and then forgotten, so that it may have any length. Those that are
//! there now are joined with their tc filters, and each that the card does not forward says why (`live.rs`).

mod format;
mod json;
mod live;
mod reading;
mod table;

use std::process::ExitCode;

use clap::Args;

use self::format::Format;
use self::json::Json;
use self::reading::Reading;
use self::table::Table;
use super::Session;
use super::source::Source;
use crate::error::Error;

const HELP: &str = "\
With --json each flow is an object on a line of its own:
  line       where in the file it begins, from 1
  ufid       its identity; null without -m, and where a tc filter is not Open vSwitch's
  key        what packets it is for: attributes by name, each with what stands in its parentheses; of tc its keys as its
             text has them
  actions    what becomes of them, in order
  packets    how many it was for
  bytes      how many they had
  used       seconds since the last of them, null for never
  flags      TCP flags that were seen, null for none
  offloaded  yes, partial or no; null where the dump was made without -m and does not say
  dp         the layer that forwards (tc, ovs, dpdk), null without -m
  text       the line as it was read; of tc's JSON the object, of its text the lines

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
  tc -j -s filter show dev enp67s0f0_0 ingress | vdpa flows --from -
  vdpa flows --from flows.txt --json | jq -r 'select(.offloaded == \"no\") | .text'
  vdpa flows --from flows.txt --json | jq -s 'group_by(.key.in_port)[] | {port: .[0].key.in_port, packets: map(.packets) | add}'";

/// Options of `flows`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Flows {
    /// A saved dump, and not the flows that are there now: what `ovs-appctl dpctl/dump-flows [-m]`, `ovs-dpctl dump-flows`
    /// or `tc [-j] -s filter show` printed; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub from: Option<Source>,
}

/// Shows the flows of a dump; exit code 1 where some lines are none.
pub(super) async fn run(session: &Session, options: &Flows) -> Result<ExitCode, Error> {
    let Some(from) = &options.from else { return live::run(session).await };
    if session.is_simulated() {
        return Err(Error::NotSimulated("a saved dump"));
    }
    let error = |source| Error::Input { what: from.to_string(), source };
    let (format, reader) = Format::see(from.open()?).map_err(error)?;
    let reading = if session.output.is_json() {
        Reading::new(session, from, Box::new(Json))
    } else {
        Reading::new(session, from, Box::new(Table::new(session.output.has_colours())))
    };
    // Nobody else has anything to do meanwhile.
    reading.all(reader, format).map_err(error)
}
