//! How much of a run was waiting, and for whom: from the record that `VDPA_TRACE` makes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Seconds of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Waits {
    /// By whom was waited for. These overlap: the kernel binds a VF while Open vSwitch takes up its ports.
    pub(crate) by: BTreeMap<String, f64>,
    /// Together, where what overlaps counts once.
    pub(crate) together: f64,
    /// How often something was waited for.
    pub(crate) count: usize,
}

#[derive(Deserialize)]
struct Line {
    waits_for: Option<String>,
    from: Option<u64>,
    to: u64,
}

/// Reads a record.
pub(crate) fn waits(record: &str) -> Result<Waits> {
    let mut all = Vec::new();
    let mut by: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for line in record.lines() {
        let line: Line =
            serde_json::from_str(line).with_context(|| format!("cannot read the span {line}"))?;
        if let (Some(whom), Some(from)) = (line.waits_for, line.from) {
            by.entry(whom).or_default().push((from, line.to));
            all.push((from, line.to));
        }
    }
    let count = all.len();
    let by = by.into_iter().map(|(whom, spans)| (whom, union(spans))).collect();
    Ok(Waits { by, together: union(all), count })
}

/// How long it is that at least one of the spans lasts, in seconds from microseconds.
fn union(mut spans: Vec<(u64, u64)>) -> f64 {
    spans.sort_unstable();
    let (mut total, mut covered) = (0, 0);
    for (from, to) in spans {
        total += to.saturating_sub(from.max(covered));
        covered = covered.max(to);
    }
    std::time::Duration::from_micros(total).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        assert!((union(vec![(5, 7), (0, 4), (1, 2), (3, 6)]) - 7e-6).abs() < 1e-12);
    }

    #[test]
    fn waits_are_told_apart_by_whom_they_are_for() {
        let record = r#"{"span":"a","waits_for":"kernel","from":0,"to":2000000}
{"span":"b","waits_for":"ovs","from":1000000,"to":3000000,"write":true}
{"span":"c","from":0,"to":9000000}
{"to":9500000}
"#;
        let waits = waits(record).unwrap();
        assert_eq!(waits.by, [("kernel".to_owned(), 2.0), ("ovs".to_owned(), 2.0)].into());
        assert!((waits.together - 3.0).abs() < 1e-9);
        assert_eq!(waits.count, 2);
    }
}
