//! A record of what this program waited for, for whoever measures it.
//!
//! Wherever a layer hands work to somebody else and waits, it has a span at level `debug` with the field
//! `waits_for`: `kernel`, `udev`, `ovs`, `dpdk`, `systemd` or `libvirt`. `VDPA_TRACE=FILE` writes each
//! span of ours to FILE as it closes, one JSON object a line, with microseconds since the program began:
//!
//! ```text
//! {"span":"sysfs.write","waits_for":"kernel","from":5210,"to":5731,"attribute":"…/sriov_numvfs","text":"2"}
//! ```
//!
//! Spans run side by side: how long was waited is the union of their times and not the sum. The last
//! line, without a `span`, says when the program ended.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The environment variable that names the file.
pub const VARIABLE: &str = "VDPA_TRACE";

/// A layer that writes spans to a file.
#[derive(Debug, Clone)]
pub struct Trace {
    began: Instant,
    file: Arc<Mutex<BufWriter<File>>>,
}

impl Trace {
    /// Into the file at `path`, which is made anew, with times since `began`.
    ///
    /// # Errors
    /// Where it cannot be created.
    pub fn to(path: &Path, began: Instant) -> io::Result<Self> {
        let file = Arc::new(Mutex::new(BufWriter::new(File::create(path)?)));
        Ok(Self { began, file })
    }

    /// Whether a span is one of ours.
    pub fn records(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("vdpa")
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn end(&self) -> io::Result<()> {
        self.write(&Map::from_iter([("to".to_owned(), self.now().into())]))?;
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    fn write(&self, line: &Map<String, Value>) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *file, line)?;
        file.write_all(b"\n")
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// What is kept of an open span.
struct Open {
    from: u64,
    fields: Map<String, Value>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Trace {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Open { from: self.now(), fields: fields.0 });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { from, mut fields }) = span.extensions_mut().remove::<Open>() else { return };
        let mut line = Map::from_iter([("span".to_owned(), span.name().into())]);
        line.extend(fields.remove_entry("waits_for"));
        line.insert("from".to_owned(), from.into());
        line.insert("to".to_owned(), self.now().into());
        line.extend(fields);
        // A record that cannot be written shows by its missing end.
        let _ = self.write(&line);
    }
}

/// A span's fields as JSON.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_span_is_a_line_and_the_end_is_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        let trace = Trace::to(&path, Instant::now()).unwrap();
        let subscriber =
            tracing_subscriber::registry().with(trace.clone().with_filter(filter_fn(Trace::records)));
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::debug_span!("outer", count = 2_u64).entered();
            drop(tracing::debug_span!("inner", waits_for = "kernel", text = "a\nb"));
            tracing::debug!("no span");
            drop(tracing::debug_span!(target: "tokio", "of others"));
            drop(outer);
        });
        trace.end().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Map<String, Value>> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<_> = lines.iter().map(|line| line.get("span").and_then(Value::as_str)).collect();
        assert_eq!(names, [Some("inner"), Some("outer"), None]);
        assert_eq!(lines[0]["waits_for"], "kernel");
        assert_eq!(lines[0]["text"], "a\nb");
        assert_eq!(lines[1]["count"], 2);
        let time = |line: usize, end: &str| lines[line][end].as_u64().unwrap();
        assert!(
            time(1, "from") <= time(0, "from")
                && time(0, "to") <= time(1, "to")
                && time(1, "to") <= time(2, "to")
        );
    }
}
