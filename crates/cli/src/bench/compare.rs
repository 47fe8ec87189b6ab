//! Two records, held against each other.

use std::fmt;

use serde::Serialize;

use super::record::{Figure, Record, Unit};
use crate::doctor::evidence::Taken;

/// What came of holding a record against an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Whose the earlier one is.
    pub earlier: Taken,
    /// How much worse a figure may be, in percent of the earlier one.
    pub threshold_percent: f64,
    /// What both have measured.
    pub figures: Vec<Compared>,
    /// What only one of them has.
    pub alone: Vec<String>,
    /// What is another than it was: of the hosts, of what was asked for, and which way packets went.
    pub differences: Vec<Difference>,
}

/// A figure then and now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Of what.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// As it was.
    pub then: f64,
    /// As it is.
    pub now: f64,
    /// Now, of then; absent where it was 0 then.
    pub ratio: Option<f64>,
    /// Whether it is worse by more than the threshold.
    pub worse: bool,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// Then; absent where it was not known.
    pub then: Option<String>,
    /// Now.
    pub now: Option<String>,
}

/// Holds `now` against `then`.
pub fn compare(then: &Record, now: &Record, threshold_percent: f64) -> Comparison {
    let (before, after): (Vec<Figure>, Vec<Figure>) = (figures(then), figures(now));
    let earlier = |figure: &Figure| before.iter().find(|one| one.name == figure.name).cloned();
    let compared =
        after.iter().filter_map(|figure| Some(Compared::of(&earlier(figure)?, figure, threshold_percent)));
    let figures: Vec<Compared> = compared.collect();
    let lonely = |figure: &&Figure| !figures.iter().any(|both| both.name == figure.name);
    let mut alone: Vec<String> = before
        .iter()
        .filter(lonely)
        .map(|figure| format!("{}: only in the earlier record", figure.name))
        .collect();
    alone.extend(
        after.iter().filter(lonely).map(|figure| format!("{}: not in the earlier record", figure.name)),
    );
    let mut differences = now.facts.since(&then.facts);
    differences.extend(otherwise(then, now));
    Comparison { earlier: then.taken.clone(), threshold_percent, figures, alone, differences }
}

fn figures(record: &Record) -> Vec<Figure> {
    record.figures().map(|(_, figure)| figure).collect()
}

/// What is different of how it was measured.
fn otherwise(then: &Record, now: &Record) -> Vec<Difference> {
    let asked = |record: &Record| {
        let asked = &record.asked;
        [
            ("host", record.taken.host.clone()),
            ("from", asked.from.clone()),
            ("to", asked.to.to_string()),
            ("server", asked.sink.clone().unwrap_or_else(|| "somebody else's".to_owned())),
            ("seconds", asked.seconds.to_string()),
        ]
    };
    let mut found: Vec<Difference> = std::iter::zip(asked(then), asked(now))
        .filter(|(then, now)| then.1 != now.1)
        .map(|((what, then), (_, now))| Difference {
            what: what.to_owned(),
            then: Some(then),
            now: Some(now),
        })
        .collect();
    for run in &now.runs {
        let earlier = then.runs.iter().find(|earlier| earlier.case == run.case);
        found.extend(earlier.filter(|earlier| earlier.path.through != run.path.through).map(|earlier| {
            let text = |through: super::path::Through| Some(through.text().to_owned());
            Difference {
                what: run.case.to_string(),
                then: text(earlier.path.through),
                now: text(run.path.through),
            }
        }));
    }
    found
}

impl Compared {
    fn of(then: &Figure, now: &Figure, threshold_percent: f64) -> Self {
        let part = threshold_percent / 100.0;
        let worse = if now.unit.is_gain() {
            now.value < then.value * (1.0 - part)
        } else {
            now.value > then.value * (1.0 + part)
        };
        Self {
            name: now.name.clone(),
            unit: now.unit,
            then: then.value,
            now: now.value,
            ratio: (then.value > 0.0).then(|| now.value / then.value),
            worse,
        }
    }
}

impl Comparison {
    /// The figures that are worse by more than the threshold.
    pub fn worse(&self) -> usize {
        self.figures.iter().filter(|figure| figure.worse).count()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |known: &Option<String>| known.clone().unwrap_or_else(|| "not known".to_owned());
        write!(f, "{}: {} then, {} now", self.what, text(&self.then), text(&self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Result;
    use super::super::record::tests::record;
    use super::*;

    /// A record whose throughputs and round trips are so many times those of the other.
    fn scaled(throughput: f64, time: f64) -> Record {
        let mut scaled = record();
        for run in &mut scaled.runs {
            match &mut run.result {
                Result::Throughput(measured) => {
                    for way in [&mut measured.forward, &mut measured.reverse].into_iter().flatten() {
                        way.bits_per_second *= throughput;
                    }
                }
                Result::RoundTrips(trips) => {
                    trips.median_us *= time;
                    trips.p99_us *= time;
                }
            }
        }
        scaled
    }

    #[test]
    fn less_throughput_and_longer_round_trips_are_worse() {
        assert_eq!(compare(&record(), &record(), 10.0).worse(), 0);
        // More than it was is no harm, however much.
        assert_eq!(compare(&record(), &scaled(2.0, 0.5), 0.0).worse(), 0);
        let slow = compare(&record(), &scaled(0.85, 1.05), 10.0);
        assert_eq!((slow.worse(), slow.figures.len()), (3, 5));
        assert!(slow.figures[0].ratio.is_some_and(|ratio| (ratio - 0.85).abs() < 0.001), "{slow:?}");
        assert_eq!(compare(&record(), &scaled(0.85, 1.05), 20.0).worse(), 0);
        assert_eq!(compare(&record(), &scaled(1.0, 1.5), 20.0).worse(), 2);
        // From nothing there is no ratio.
        let from_nothing = compare(&scaled(0.0, 1.0), &record(), 10.0);
        assert_eq!((from_nothing.figures[0].ratio, from_nothing.worse()), (None, 0));
    }

    #[test]
    fn what_only_one_has_and_what_is_otherwise_is_told() {
        let mut now = record();
        now.runs.remove(1);
        now.facts.kernel = Some("6.18".into());
        now.asked.seconds = 5;
        now.runs[0].path.through = super::super::path::Through::Software;
        let comparison = compare(&record(), &now, 10.0);
        assert_eq!(comparison.alone.len(), 2, "{:?}", comparison.alone);
        let differences: Vec<String> = comparison.differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            differences,
            [
                "kernel: 6.12 then, 6.18 now",
                "seconds: 10 then, 5 now",
                "TCP forward, 2 streams: not proven to go through hardware then, NOT through hardware now",
            ]
        );
    }
}
