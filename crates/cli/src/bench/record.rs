//! Results as a file that is kept: what was measured, on what host, when, and which way it went.
//!
//! ```json
//! { "format": 1,
//!   "taken": { "host": "cx6-1", "at": 1763856000, "by": "vdpa 0.1.0", "simulated": false },
//!   "facts": { "kernel": "6.12.38", "cpu": "…", "cpus": 64, "ovs": "3.5.0", "cards": [ … ] },
//!   "asked": { "from": "network namespace vm0", "to": "10.0.0.2", "sink": "vm1", "seconds": 10 },
//!   "runs": [ { "case": { "kind": "tcp", "direction": "forward", "streams": 8 },
//!               "result": { "throughput": { "forward": { "bits_per_second": 9.4e9, … } } },
//!               "path": { "through": "hardware", "why": null, "legs": [ … ] } } ] }
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::facts::Facts;
use super::iperf::{Measured, Throughput};
use super::path::Path;
use super::ping::RoundTrips;
use crate::doctor::evidence::Taken;
use crate::error::Error;
use crate::whole;

/// The form that is written, and the only one that is read.
pub const FORMAT: u32 = 1;
/// The most that a record may have, in bytes.
const MOST: u64 = 16 << 20;

/// Results, and what they are results of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The form of what follows: [`FORMAT`].
    pub format: u32,
    /// On which host, when, by what.
    pub taken: Taken,
    /// What the host is made of.
    pub facts: Facts,
    /// What was asked for.
    pub asked: Asked,
    /// One result after the other.
    pub runs: Vec<Run>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The client's end.
    pub from: String,
    /// The server's address.
    pub to: IpAddr,
    /// The server's end; absent where somebody else's was asked.
    pub sink: Option<String>,
    /// How many seconds were measured each time.
    pub seconds: u16,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was measured.
    pub case: Case,
    /// What came of it.
    pub result: Result,
    /// Which way it went.
    pub path: Path,
}

/// What came of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Result {
    /// Of iperf3.
    Throughput(Measured),
    /// Of ping.
    RoundTrips(RoundTrips),
}

/// A number that says how good something is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Of what: a measurement, and which of its numbers.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
    /// What is told beside it, for people: what was lost or sent again.
    pub beside: String,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bits a second: the more the better.
    BitsPerSecond,
    /// Microseconds: the fewer the better.
    Microseconds,
}

impl Record {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Input`] where it cannot be read, [`Error::Record`] where it is none.
    pub fn read(path: &std::path::Path) -> std::result::Result<Self, Error> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
        match read {
            Err(source) if source.kind() != io::ErrorKind::InvalidData => {
                Err(Error::Input { what: path.display().to_string(), source })
            }
            Err(_) => Err(Error::Record { path: path.to_owned(), why: "it is no text".to_owned() }),
            Ok(_) => Self::parse(&text).map_err(|why| Error::Record { path: path.to_owned(), why }),
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if form.format != FORMAT {
            return Err(format!("it has form {} and this vdpa reads form {FORMAT}", form.format));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Writes it to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &std::path::Path) -> std::result::Result<(), Error> {
        // Our own types, whose keys are texts.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        keep(path, &text)
    }

    /// All its figures.
    pub fn figures(&self) -> impl Iterator<Item = (&Run, Figure)> {
        self.runs.iter().flat_map(|run| run.figures().into_iter().map(move |figure| (run, figure)))
    }
}

/// Writes what people asked to be kept in a file of theirs.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn keep(path: &std::path::Path, text: &str) -> std::result::Result<(), Error> {
    let place = keepable(path)?;
    whole::write(&place, text.as_bytes()).map_err(|source| unwritten(path, source))
}

/// Where that file is to be; not in place of what is none.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn keepable(path: &std::path::Path) -> std::result::Result<PathBuf, Error> {
    let place = std::path::absolute(path).map_err(|source| unwritten(path, source))?;
    match place.symlink_metadata() {
        // Renaming over /dev/stdout would take it away from everybody.
        Ok(found) if !found.is_file() => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "there is something else than a file");
            Err(unwritten(path, source))
        }
        _ => Ok(place),
    }
}

fn unwritten(path: &std::path::Path, source: io::Error) -> Error {
    Error::File { verb: "write", path: path.to_owned(), source }
}

impl Run {
    /// Its figures; they have the same names whenever the same is measured.
    pub fn figures(&self) -> Vec<Figure> {
        match &self.result {
            Result::Throughput(measured) => {
                let ways = [("forward", &measured.forward), ("reverse", &measured.reverse)];
                let both = ways.iter().all(|(_, way)| way.is_some());
                let figure = |(word, way): (&str, &Option<Throughput>)| {
                    let way = way.as_ref()?;
                    let name = if both { format!("{}: {word}", self.case) } else { self.case.to_string() };
                    Some(Figure {
                        name,
                        value: way.bits_per_second,
                        unit: Unit::BitsPerSecond,
                        beside: way.lost_or_sent_again(),
                    })
                };
                ways.into_iter().filter_map(figure).collect()
            }
            Result::RoundTrips(trips) => [("median", trips.median_us), ("99 of 100", trips.p99_us)]
                .map(|(word, value)| Figure {
                    name: format!("{}: {word}", self.case),
                    value,
                    unit: Unit::Microseconds,
                    beside: format!("{} of {} answered", trips.received, trips.sent),
                })
                .to_vec(),
        }
    }
}

impl Unit {
    /// A number of it for people: `9.41 Gbit/s`, `41.2 µs`.
    pub fn show(self, value: f64) -> String {
        let (thousand, names) = match self {
            Self::BitsPerSecond => (1000.0, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"].as_slice()),
            Self::Microseconds => (1000.0, ["µs", "ms", "s"].as_slice()),
        };
        let (mut value, mut names) = (value, names.iter());
        let mut name = names.next().copied().unwrap_or_default();
        for larger in names {
            // What would round to a thousand is one of the next.
            if value < thousand - 0.5 {
                break;
            }
            (value, name) = (value / thousand, larger);
        }
        let digits = if value < 10.0 { 2 } else { usize::from(value < 99.95) };
        format!("{value:.digits$} {name}")
    }

    /// Whether more is better.
    pub fn is_gain(self) -> bool {
        self == Self::BitsPerSecond
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::iperf;
    use super::super::{Direction, Path};
    use super::*;

    const TWO: &str = include_str!("../../tests/captured/iperf3/two.json");
    const BIDIR: &str = include_str!("../../tests/captured/iperf3/bidir.json");

    /// A record of three measurements.
    pub(in super::super) fn record() -> Record {
        let run = |case, result| Run { case, result, path: Path::unseen("nobody looked") };
        let tcp = |direction, text| {
            run(Case::Tcp { direction, streams: 2 }, Result::Throughput(iperf::read(text).unwrap()))
        };
        let trips = RoundTrips {
            sent: 50,
            received: 50,
            min_us: 40.0,
            median_us: 50.0,
            p99_us: 900.0,
            max_us: 1200.0,
        };
        Record {
            format: FORMAT,
            taken: Taken { host: "host <105>".into(), at: 1, by: "vdpa".into(), simulated: false },
            facts: Facts { kernel: Some("6.12".into()), ..Facts::default() },
            asked: Asked { from: "vm0".into(), to: [10, 0, 0, 2].into(), sink: None, seconds: 10 },
            runs: vec![
                tcp(Direction::Forward, TWO),
                tcp(Direction::Both, BIDIR),
                run(Case::RoundTrips, Result::RoundTrips(trips)),
            ],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept.json");
        record().write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record());
        let names: Vec<String> = record().figures().map(|(_, figure)| figure.name).collect();
        assert_eq!(
            names,
            [
                "TCP forward, 2 streams",
                "TCP both ways, 2 streams: forward",
                "TCP both ways, 2 streams: reverse",
                "round trips: median",
                "round trips: 99 of 100",
            ]
        );
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept.json");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            Record::read(&path).unwrap_err().to_string()
        };
        for (text, why) in [
            (&b"{}"[..], "missing field `format`"),
            (b"{\"format\": 2}", "it has form 2 and this vdpa reads form 1"),
            (b"{\"format\": 1}", "missing field"),
            (b"", "EOF"),
            (b"\xff", "it is no text"),
        ] {
            let said = read(text);
            assert!(said.contains("is no record of `vdpa bench`") && said.contains(why), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Record::read(&path), Err(Error::Input { .. })));
    }

    #[test]
    fn only_a_file_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [link.as_path(), directory.path()] {
            let error = record().write(path).unwrap_err();
            assert!(error.flat().contains("something else than a file"), "{}", error.flat());
        }
        assert_eq!(std::fs::read_link(&link).unwrap(), std::path::Path::new("/dev/null"));
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let bits = |value| Unit::BitsPerSecond.show(value);
        let shown = [0.0, 999.0, 999.7, 1500.0, 9_410_000_000.0, 94.1e9, 941e9, 3e15].map(bits);
        assert_eq!(
            shown,
            [
                "0.00 bit/s",
                "999 bit/s",
                "1.00 kbit/s",
                "1.50 kbit/s",
                "9.41 Gbit/s",
                "94.1 Gbit/s",
                "941 Gbit/s",
                "3000 Tbit/s"
            ]
        );
        assert_eq!(Unit::Microseconds.show(41.23), "41.2 µs");
        assert_eq!(Unit::Microseconds.show(1234.0), "1.23 ms");
    }
}
