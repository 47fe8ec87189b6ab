//! What came out: a table for people, a file for machines, and a verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::contender::Contender;
use super::guest::Measured;
use super::outcome;

/// One run of one contender.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Who.
    pub(crate) contender: Contender,
    /// With how many VFs.
    pub(crate) vfs: u16,
    /// When.
    pub(crate) round: u32,
    /// What it took and did.
    #[serde(flatten)]
    pub(crate) measured: Measured,
    /// The end state, a fact a line.
    pub(crate) state: String,
    /// How many flows were offloaded after packets from VF to VF, where that was looked at.
    pub(crate) offloaded: Option<u32>,
    /// Ours: whether `vdpa teardown` brought the clean state back.
    pub(crate) restored: Option<bool>,
}

impl Sample {
    /// The run in a line.
    pub(crate) fn line(&self) -> String {
        let Measured { seconds, restarts, processes, writes, .. } = &self.measured;
        format!(
            "{} VFs  {:24} {seconds:6.2} s  {restarts} restarts, {} processes, {} writes",
            self.vfs,
            self.contender,
            processes.started(),
            writes.clients
        )
    }
}

/// All runs that count.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rounds: u32,
    /// The host's load averages before and after.
    load: [String; 2],
    samples: Vec<Sample>,
    /// Runs of a script that did not reach the end state.
    failures: Vec<(Contender, u16)>,
}

/// The middle, the least and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of at least one number.
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            *sorted.get(middle)?
        } else {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, sorted[middle])
        };
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Report {
    /// An empty one.
    pub(crate) fn begin(rounds: u32) -> Result<Self> {
        Ok(Self { rounds, load: [load()?, String::new()], samples: Vec::new(), failures: Vec::new() })
    }

    /// Takes a run in.
    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Takes in that a script did not reach the end state.
    pub(crate) fn failed(&mut self, contender: Contender, vfs: u16) {
        self.failures.push((contender, vfs));
    }

    /// Prints the tables and the verdict, and keeps both and all numbers.
    pub(crate) fn end(mut self) -> Result<ExitCode> {
        self.load[1] = load()?;
        let targets = self.targets();
        let mut text = format!(
            "{} rounds; load of the host {} before, {} after\n\n{}\n{}\n",
            self.rounds,
            self.load[0],
            self.load[1],
            self.table(),
            self.ours()
        );
        for (contender, vfs) in &self.failures {
            let _ = writeln!(text, "a run of {contender} failed with {vfs} VFs, and was repeated");
        }
        outcome::end("setup", text, &targets, &self)
    }

    fn sizes(&self) -> BTreeSet<u16> {
        self.samples.iter().map(|sample| sample.vfs).collect()
    }

    fn of(&self, vfs: u16, contender: Contender) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.vfs == vfs && sample.contender == contender)
    }

    fn spread(&self, vfs: u16, contender: Contender, of: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.of(vfs, contender).map(|sample| of(&sample.measured)))
    }

    /// How much longer than ours another takes, as each round says by itself, since rounds differ more than
    /// contenders do where the machine is shared.
    fn ratio(&self, vfs: u16, contender: Contender) -> Option<Spread> {
        let ours: BTreeMap<u32, f64> =
            self.of(vfs, Contender::Ours).map(|sample| (sample.round, sample.measured.seconds)).collect();
        let ratios = self
            .of(vfs, contender)
            .filter_map(|sample| Some(sample.measured.seconds / ours.get(&sample.round)?));
        Spread::of(ratios)
    }

    /// Every contender, by the number of VFs.
    fn table(&self) -> String {
        let mut table = String::from(
            "VFs  contender                  median s  (least–most)    ÷ ours  (least–most)   CPU s  OVS restarts  processes  by others  threads and all  OVSDB writes  offloaded\n",
        );
        let contenders: BTreeSet<Contender> = self.samples.iter().map(|sample| sample.contender).collect();
        for vfs in self.sizes() {
            for &contender in &contenders {
                let most = |of: &dyn Fn(&Measured) -> u32| {
                    self.of(vfs, contender).map(|sample| of(&sample.measured)).max().unwrap_or_default()
                };
                let (Some(seconds), Some(cpu), Some(ratio)) = (
                    self.spread(vfs, contender, |measured| measured.seconds),
                    self.spread(vfs, contender, |measured| measured.user + measured.system),
                    self.ratio(vfs, contender),
                ) else {
                    continue;
                };
                let [span, ratios] =
                    [seconds, ratio].map(|spread| format!("({:.3}–{:.3})", spread.least, spread.most));
                let offloaded =
                    self.of(vfs, contender).find_map(|sample| sample.offloaded).unwrap_or_default();
                let _ = writeln!(
                    table,
                    "{vfs:3}  {contender:24}  {:9.3}  {span:15}  {:6.2}  {ratios:13}  {:5.3}  {:12}  {:9}  {:9}  {:15}  {:12}  {offloaded:9}",
                    seconds.median,
                    ratio.median,
                    cpu.median,
                    most(&|measured| measured.restarts),
                    most(&|measured| measured.processes.started()),
                    most(&|measured| measured.processes.others.values().sum()),
                    most(&|measured| measured.forks),
                    most(&|measured| measured.writes.clients),
                );
            }
        }
        table
    }

    /// Where our own time goes. Who is waited for overlaps; the sum of waiting and our own is the whole.
    fn ours(&self) -> String {
        let mut table = String::from("within vdpa setup, median seconds\nVFs    whole  waiting  (");
        let parties: BTreeSet<&String> = self
            .samples
            .iter()
            .filter_map(|sample| sample.measured.waits.as_ref())
            .flat_map(|waits| waits.by.keys())
            .collect();
        let names: Vec<String> = parties.iter().map(|party| format!("{party:>7}")).collect();
        let _ = writeln!(table, "{})  our own  own user CPU  waits", names.join("  "));
        for vfs in self.sizes() {
            let of = |of: &dyn Fn(&Measured) -> f64| {
                self.spread(vfs, Contender::Ours, of).map_or(0.0, |spread| spread.median)
            };
            let waits = |measured: &Measured| measured.waits.clone().unwrap_or_default();
            let by: Vec<String> = parties
                .iter()
                .map(|&party| {
                    format!(
                        "{:7.3}",
                        of(&|measured| waits(measured).by.get(party).copied().unwrap_or_default())
                    )
                })
                .collect();
            let _ = writeln!(
                table,
                "{vfs:3}  {:7.3}  {:7.3}  ({})  {:7.3}  {:12.3}  {:5.0}",
                of(&|measured| measured.seconds),
                of(&|measured| waits(measured).together),
                by.join("  "),
                of(&|measured| measured.seconds - waits(measured).together),
                of(&|measured| measured.user),
                of(&|measured| f64::from(u32::try_from(waits(measured).count).unwrap_or(u32::MAX))),
            );
        }
        table
    }

    /// What is to be reached, and whether it is.
    fn targets(&self) -> Vec<(String, bool)> {
        let mut targets = Vec::new();
        for vfs in self.sizes() {
            let mut all = |what: &str, is: &dyn Fn(&Sample) -> bool| {
                targets.push((format!("{vfs} VFs: {what}"), self.of(vfs, Contender::Ours).all(is)));
            };
            all("no restart of Open vSwitch", &|sample| sample.measured.restarts == 0);
            all("no process started", &|sample| sample.measured.processes.started() == 0);
            all("one write transaction", &|sample| sample.measured.writes.clients == 1);
            all("teardown brings the clean state back", &|sample| sample.restored == Some(true));
            for floor in self
                .samples
                .iter()
                .map(|sample| sample.contender)
                .filter(|contender| contender.is_floor())
                .collect::<BTreeSet<_>>()
            {
                if let Some(Spread { median: ratio, .. }) = self.ratio(vfs, floor) {
                    targets.push((format!("{vfs} VFs: faster than {floor} ({ratio:.2} times)"), ratio > 1.0));
                    targets.push((format!("{vfs} VFs: in 0.8 of the time of {floor}"), ratio >= 1.25));
                }
            }
            if let Some(Spread { median: ratio, .. }) =
                self.ratio(vfs, Contender::Reference).filter(|_| vfs == 2)
            {
                targets.push((
                    format!("{vfs} VFs: 8 times faster than the reference ({ratio:.1} times)"),
                    ratio >= 8.0,
                ));
            }
            let over_waiting = |measured: &Measured| {
                measured.seconds / measured.waits.as_ref().map_or(f64::NAN, |waits| waits.together)
            };
            if let Some(Spread { median: ratio, .. }) = self.spread(vfs, Contender::Ours, over_waiting) {
                targets.push((
                    format!("{vfs} VFs: at most 1.10 of what kernel, udev and daemons take ({ratio:.3})"),
                    ratio <= 1.10,
                ));
            }
        }
        targets.extend(self.growth());
        targets
    }

    /// Whether a VF costs no more where there are more of them: from 8 on, since with fewer the card costs more than they.
    fn growth(&self) -> Vec<(String, bool)> {
        let each = |vfs: u16| {
            let whole = self.spread(vfs, Contender::Ours, |measured| measured.seconds);
            whole.map_or(f64::NAN, |spread| spread.median / f64::from(vfs))
        };
        let sizes: Vec<u16> = self.sizes().into_iter().filter(|vfs| *vfs >= 8).collect();
        let grown = sizes.iter().zip(sizes.iter().skip(1)).map(|(&few, &many)| {
            let ratio = each(many) / each(few);
            (format!("a VF of {many} costs no more than one of {few} ({ratio:.2} times)"), ratio <= 1.0)
        });
        grown.collect()
    }
}

fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg").context("cannot read the load of this machine")?;
    Ok(load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied()).map(|spread| spread.median);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some(3.0));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(spread(&[4.0, 1.0]), Some(2.5));
    }
}
