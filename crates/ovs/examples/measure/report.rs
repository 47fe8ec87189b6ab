//! Samples, their medians, and a table of them.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

/// Every measurement, by title and contender.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    tables: Vec<Table>,
}

/// Contenders for one thing.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    title: String,
    unit: &'static str,
    /// Samples of each contender in each column, in the order they were taken.
    samples: BTreeMap<String, BTreeMap<&'static str, Vec<f64>>>,
    ratios: Vec<Held>,
    #[serde(skip)]
    order: (Vec<String>, Vec<&'static str>),
}

/// How much one median is of another.
#[derive(Debug, Serialize)]
struct Held {
    what: String,
    ratio: f64,
    /// What it should be, and whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<(String, bool)>,
}

impl Report {
    /// Shows a table, and keeps it.
    pub(crate) fn add(&mut self, table: Table) {
        table.print();
        self.tables.push(table);
    }
}

impl Table {
    pub(crate) fn new(title: String, unit: &'static str) -> Self {
        println!("\n{title} ({unit}, medians)");
        let order = (Vec::new(), Vec::new());
        Self { title, unit, samples: BTreeMap::new(), ratios: Vec::new(), order }
    }

    pub(crate) fn sample(&mut self, contender: &str, column: &'static str, value: f64) {
        if !self.order.0.iter().any(|known| known == contender) {
            self.order.0.push(contender.to_owned());
        }
        if !self.order.1.contains(&column) {
            self.order.1.push(column);
        }
        self.samples.entry(contender.to_owned()).or_default().entry(column).or_default().push(value);
    }

    pub(crate) fn median(&self, contender: &str, column: &str) -> Option<f64> {
        let mut values = self.samples.get(contender)?.get(column)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }

    /// How much one contender's median is of another's.
    pub(crate) fn ratio(&mut self, what: &str, one: Option<f64>, other: Option<f64>) {
        self.held(what, one, other, |_| None);
    }

    /// The same, which should be so much or more.
    pub(crate) fn target_least(&mut self, what: &str, one: Option<f64>, other: Option<f64>, least: f64) {
        self.held(what, one, other, |ratio| Some((format!("at least {least}"), ratio >= least)));
    }

    /// The same, which should be so much or less.
    pub(crate) fn target_most(&mut self, what: &str, one: Option<f64>, other: Option<f64>, most: f64) {
        self.held(what, one, other, |ratio| Some((format!("at most {most}"), ratio <= most)));
    }

    fn held(
        &mut self,
        what: &str,
        one: Option<f64>,
        other: Option<f64>,
        target: impl FnOnce(f64) -> Option<(String, bool)>,
    ) {
        if let (Some(one), Some(other)) = (one, other) {
            let ratio = one / other;
            self.ratios.push(Held { what: what.to_owned(), ratio, target: target(ratio) });
        }
    }

    fn print(&self) {
        let (contenders, columns) = &self.order;
        print!("{:<34}", "");
        for column in columns {
            print!(" {column:>14}");
        }
        println!();
        for contender in contenders {
            print!("{contender:<34}");
            for column in columns {
                match self.median(contender, column) {
                    Some(median) => print!(" {median:>14.2}"),
                    None => print!(" {:>14}", "-"),
                }
            }
            println!();
        }
        for Held { what, ratio, target } in &self.ratios {
            print!("{what:<70} {ratio:>8.3}");
            match target {
                Some((target, met)) => println!("  {target}: {}", if *met { "met" } else { "NOT MET" }),
                None => println!(),
            }
        }
    }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The processor time that this process has used, user's and system's.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
