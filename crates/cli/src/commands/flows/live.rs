//! The flows that are there now, with what the card counted and why it does not forward.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use vdpa_ovs::flow::FlowLine;

use super::Session;
use super::json::Json;
use super::reading::{Show, write};
use super::table::Table;
use crate::error::Error;
use crate::offload::{Explained, Joined, Survey, why};

/// Shows the flows of the running Open vSwitch.
pub(super) async fn run(session: &Session) -> Result<ExitCode, Error> {
    let (access, bridge) = session.known()?;
    let host = session.host(&access)?;
    let survey = Survey::of(&host, &bridge).await?;
    let mut out = Vec::new();
    let mut table = Table::new(session.output.has_colours());
    for (joined, number) in survey.joined().iter().zip(1..) {
        let text = joined.flow.to_string();
        // What was printed from types is a flow.
        let Ok(line) = FlowLine::scan(&text) else { continue };
        let reason = why(&survey, joined, None).map(Explained::from);
        if session.output.is_json() {
            out.extend(object(number, &line, joined, reason.as_ref()));
        } else {
            table.flow(number, &line, &mut out);
            if let Some(Explained { text, remedy, .. }) = reason {
                drop(writeln!(out, "             why: {text}\n             to do: {remedy}"));
            }
        }
    }
    if session.output.is_json() {
        write(&mut out);
        return Ok(ExitCode::SUCCESS);
    }
    table.end(&mut out);
    for line in String::from_utf8_lossy(&out).lines() {
        session.output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// The object of a saved flow, and what only a running host can tell.
fn object(number: u64, line: &FlowLine<'_>, joined: &Joined<'_>, reason: Option<&Explained>) -> Vec<u8> {
    let mut plain = Vec::new();
    Json.flow(number, line, &mut plain);
    let mut object: Map<String, Value> = serde_json::from_slice(&plain).unwrap_or_default();
    let counted = joined.counters();
    object.insert("hardware".to_owned(), json!(counted.hardware));
    object.insert("software".to_owned(), json!(counted.software));
    object.insert("in_hw".to_owned(), json!(joined.filter.and_then(vdpa_tc::Filter::in_hardware)));
    object.insert("why".to_owned(), json!(reason));
    let mut text = serde_json::to_vec(&object).unwrap_or_default();
    text.push(b'\n');
    text
}
