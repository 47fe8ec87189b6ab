//! Throughput and round trips between two ends, and whether the card carried them.
//!
//! | file | its job |
//! |---|---|
//! | `case.rs` | what is measured: streams of TCP or UDP in a direction, round trips |
//! | `end.rs` | where a program runs: here, in a network namespace, on another machine by SSH |
//! | `measure.rs` | two ends: the server that listens meanwhile, and one measurement after the other |
//! | `iperf.rs` | what iperf3 printed, in types |
//! | `ping.rs` | what ping printed, in types |
//! | `path.rs` | which way the packets went: the card, or the host's CPU |
//! | `facts.rs` | what of the host bears upon a result |
//! | `record.rs` | results as a file that is kept |
//! | `compare.rs` | two records |
//! | `plot.rs` | a picture of one record, or of two |
//!
//! The numbers are iperf3's and ping's; the proof is that of `vdpa verify`, over the same seconds. Nothing here changes the
//! host, and nothing that was started is left behind.

mod case;
mod compare;
mod end;
mod facts;
mod iperf;
mod measure;
mod path;
mod ping;
mod plot;
mod record;

use std::time::Duration;

pub use case::{Case, Direction, Rate};
pub use compare::{Compared, Comparison, Difference, compare};
pub use end::{End, Ssh, SshHost};
pub use facts::{Card, Facts};
pub use iperf::{Cpu, Datagrams, Measured, Stream, Throughput, read as read_iperf};
pub use measure::{Bench, Server};
pub use path::{Leg, Path, Through};
pub use ping::{RoundTrips, read as read_ping};
pub use plot::plot;
pub use record::{Asked, FORMAT, Figure, Record, Result, Run, Unit};
pub(crate) use record::{keep, keepable};

/// Why a program that measures has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It says why, in its own words.
    #[error("{program}: {text}")]
    Said {
        /// The program.
        program: &'static str,
        /// Its words.
        text: String,
    },
    /// That is no result.
    #[error("{program} printed no result: {why}")]
    Unreadable {
        /// The program.
        program: &'static str,
        /// Why not.
        why: String,
    },
    /// It did not end.
    #[error("{program} did not answer within {} s", .limit.as_secs())]
    Silent {
        /// The program.
        program: &'static str,
        /// How long was waited.
        limit: Duration,
    },
}
