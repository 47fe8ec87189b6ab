//! Reading a dump to its end, or until nobody listens any more.

use std::io::{self, Read, Write as _};
use std::process::ExitCode;

use vdpa_ovs::flow::{Dump, FlowLine};
use vdpa_tc::saved::{self, Saved};

use super::format::Format;
use crate::commands::Session;
use crate::commands::source::Source;
use crate::report::count;

/// How much is kept before it is written.
const FULL: usize = 1 << 16;

/// How flows are shown.
pub(super) trait Show {
    /// Adds a flow to what is to be written; `number` is its line's.
    fn flow(&mut self, number: u64, flow: &FlowLine<'_>, out: &mut Vec<u8>);
    /// Adds a tc filter.
    fn filter(&mut self, number: u64, filter: &Saved, out: &mut Vec<u8>);
    /// Adds what comes behind the last one.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// A dump that is read.
pub(super) struct Reading<'a> {
    session: &'a Session,
    source: &'a Source,
    show: Box<dyn Show>,
    out: Vec<u8>,
    /// How many parts are no flows.
    bad: u64,
    /// How many parts there were.
    all: u64,
}

impl<'a> Reading<'a> {
    /// Of `source`, shown by `show`.
    pub(super) fn new(session: &'a Session, source: &'a Source, show: Box<dyn Show>) -> Self {
        Self { session, source, show, out: Vec::with_capacity(2 * FULL), bad: 0, all: 0 }
    }

    /// Shows all that `reader` gives; exit code 1 where some of it is no flow.
    ///
    /// # Errors
    /// What the reader says.
    pub(super) fn all(mut self, reader: impl Read, format: Format) -> io::Result<ExitCode> {
        let thing = match format {
            Format::Flows => {
                self.flows(Dump::new(reader))?;
                "line"
            }
            Format::TcJson => {
                self.filters(saved::Json::new(reader))?;
                "filter"
            }
            Format::TcText => {
                self.filters(saved::Text::new(reader))?;
                "filter"
            }
        };
        self.show.end(&mut self.out);
        write(&mut self.out);
        if self.bad == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let (Self { bad, source, session, .. }, all) = (&self, count(self.all, thing));
        session.output.complain(format_args!("{bad} of {all} of {source} could not be read"));
        session.output.hint("`ovs-appctl dpctl/dump-flows -m > FILE` saves a dump");
        Ok(ExitCode::FAILURE)
    }

    fn flows(&mut self, mut dump: Dump<impl Read>) -> io::Result<()> {
        while let Some(entry) = dump.next_entry()? {
            match entry.flow {
                Some(Ok(flow)) => self.show.flow(entry.number, &flow, &mut self.out),
                Some(Err(why)) => self.bad(entry.number, &why),
                None => {}
            }
            self.all = entry.number;
            if self.out.len() >= FULL && !write(&mut self.out) {
                break;
            }
        }
        Ok(())
    }

    fn filters(&mut self, parts: impl Iterator<Item = io::Result<saved::Entry>>) -> io::Result<()> {
        for part in parts {
            let saved::Entry { number, filter } = part?;
            match filter {
                Ok(Some(filter)) => self.show.filter(number, &filter, &mut self.out),
                // The heading of a priority.
                Ok(None) => continue,
                Err(why) => self.bad(number, &why),
            }
            self.all += 1;
            if self.out.len() >= FULL && !write(&mut self.out) {
                break;
            }
        }
        Ok(())
    }

    fn bad(&mut self, number: u64, why: &dyn std::fmt::Display) {
        self.bad += 1;
        // What was read before stands before it, where both go to the same terminal.
        write(&mut self.out);
        self.session.output.complain(format_args!("{} line {number}, {why}", self.source));
    }
}

/// Writes what there is; false where nobody listens.
pub(super) fn write(out: &mut Vec<u8>) -> bool {
    let written = io::stdout().lock().write_all(out);
    out.clear();
    written.is_ok()
}
