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
    ratios: BTreeMap<String, f64>,
    #[serde(skip)]
    order: (Vec<String>, Vec<&'static str>),
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
        Self { title, unit, samples: BTreeMap::new(), ratios: BTreeMap::new(), order }
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
        if let (Some(one), Some(other)) = (one, other) {
            self.ratios.insert(what.to_owned(), one / other);
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
        for (what, ratio) in &self.ratios {
            println!("{what:<70} {ratio:>8.3}");
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
