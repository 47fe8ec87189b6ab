//! What a client of iperf3 printed with `--json` (iperf3's `iperf_api.c`, `JSON_start` to `iperf_json_finish`).
//!
//! A run that fails prints a document as well, with `error` and an empty `end`: so that is looked for first. What a
//! stream carried is what its receiver counted; what its sender wrote may still lie in a buffer. Retransmits are the
//! sender's, and absent where its kernel does not tell (`TCP_INFO` is Linux's and FreeBSD's).

use serde::{Deserialize, Serialize};

/// What one run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The program and its version, as it names itself.
    pub version: String,
    /// From the client to the server; absent where only the other direction was asked for.
    pub forward: Option<Throughput>,
    /// From the server to the client; absent unless it was asked for.
    pub reverse: Option<Throughput>,
    /// Time of CPUs that the two processes took.
    pub cpu: Cpu,
}

/// One direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// What arrived, in bits a second, all streams together.
    pub bits_per_second: f64,
    /// What arrived, in bytes.
    pub bytes: u64,
    /// Segments sent again; absent where the sender's kernel does not tell.
    pub retransmits: Option<u64>,
    /// Each stream.
    pub streams: Vec<Stream>,
}

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// What arrived, in bits a second.
    pub bits_per_second: f64,
    /// Segments sent again.
    pub retransmits: Option<u64>,
}

/// CPU time of iperf3's own processes while the run lasted, in percent of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// The client's.
    pub client: f64,
    /// The server's.
    pub server: f64,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// iperf3 says why, in its own words.
    #[error("iperf3: {0}")]
    Said(String),
    /// That is no result of iperf3's.
    #[error("iperf3 printed no result: {0}")]
    Unreadable(String),
}

/// Reads what a client printed.
///
/// # Errors
/// [`Refusal::Said`] where iperf3 itself tells of an error, [`Refusal::Unreadable`] where it printed something else
/// than a result.
pub fn read(text: &str) -> Result<Measured, Refusal> {
    let document: Document = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    if let Some(said) = document.error {
        return Err(Refusal::Said(said));
    }
    let began =
        document.start.test_start.ok_or_else(|| Refusal::Unreadable("it has no `test_start`".into()))?;
    let end: End = serde_json::from_value(document.end).map_err(|error| unreadable(&error))?;
    let client = Throughput::of(&end.sum_sent, &end.sum_received, &end.streams, began.reverse == 0);
    let (forward, reverse) = match (end.sum_sent_bidir_reverse, end.sum_received_bidir_reverse) {
        (Some(sent), Some(received)) => {
            (Some(client), Some(Throughput::of(&sent, &received, &end.streams, false)))
        }
        _ if began.reverse == 0 => (Some(client), None),
        _ => (None, Some(client)),
    };
    let cpu = Cpu { client: end.cpu.host_total, server: end.cpu.remote_total };
    Ok(Measured { version: document.start.version, forward, reverse, cpu })
}

impl Throughput {
    /// `by_client`: whether the streams to be taken are those that the client sent.
    fn of(sent: &Sum, received: &Sum, streams: &[Pair], by_client: bool) -> Self {
        let ours = streams.iter().filter(|pair| pair.sender.by_client == by_client);
        Self {
            bits_per_second: received.bits_per_second,
            bytes: received.bytes,
            retransmits: sent.retransmits,
            streams: ours
                .map(|pair| Stream {
                    bits_per_second: pair.receiver.bits_per_second,
                    retransmits: pair.sender.retransmits,
                })
                .collect(),
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Refusal {
    Refusal::Unreadable(error.to_string())
}

#[derive(Deserialize)]
struct Document {
    start: Start,
    end: serde_json::Value,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Start {
    version: String,
    test_start: Option<Test>,
}

#[derive(Deserialize)]
struct Test {
    reverse: u8,
}

#[derive(Deserialize)]
struct End {
    streams: Vec<Pair>,
    sum_sent: Sum,
    sum_received: Sum,
    sum_sent_bidir_reverse: Option<Sum>,
    sum_received_bidir_reverse: Option<Sum>,
    #[serde(rename = "cpu_utilization_percent")]
    cpu: Utilization,
}

#[derive(Deserialize)]
struct Pair {
    sender: Sum,
    receiver: Sum,
}

#[derive(Deserialize)]
struct Sum {
    bytes: u64,
    bits_per_second: f64,
    retransmits: Option<u64>,
    /// Whether the client is who sent; not whose line it is.
    #[serde(rename = "sender")]
    by_client: bool,
}

#[derive(Deserialize)]
struct Utilization {
    host_total: f64,
    remote_total: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = include_str!("../../tests/captured/iperf3/two.json");
    const BIDIR: &str = include_str!("../../tests/captured/iperf3/bidir.json");
    const REVERSE: &str = include_str!("../../tests/captured/iperf3/reverse.json");
    const REFUSED: &str = include_str!("../../tests/captured/iperf3/refused.json");
    const BUSY: &str = include_str!("../../tests/captured/iperf3/busy.json");

    /// That the streams add up to the whole, but for the time that each was stopped at.
    fn adds_up(direction: &Throughput) {
        let streams: f64 = direction.streams.iter().map(|stream| stream.bits_per_second).sum();
        let apart = (streams / direction.bits_per_second - 1.0).abs();
        assert!(apart < 0.01, "{streams} of {}", direction.bits_per_second);
    }

    #[test]
    fn streams_are_of_one_direction() {
        let measured = read(TWO).unwrap();
        assert_eq!((measured.version.as_str(), measured.reverse), ("iperf 3.12", None));
        let forward = measured.forward.unwrap();
        assert_eq!((forward.streams.len(), forward.bytes, forward.retransmits), (2, 9_310_699_520, Some(0)));
        adds_up(&forward);
        assert!(measured.cpu.client > 47.0 && measured.cpu.server < 45.0, "{:?}", measured.cpu);
    }

    #[test]
    fn both_directions_at_once_are_told_apart() {
        let measured = read(BIDIR).unwrap();
        let (forward, reverse) = (measured.forward.unwrap(), measured.reverse.unwrap());
        assert_eq!((forward.bytes, forward.retransmits), (2_067_136_512, Some(0)));
        assert_eq!((reverse.bytes, reverse.retransmits), (1_971_322_880, Some(2)));
        for direction in [&forward, &reverse] {
            assert_eq!(direction.streams.len(), 1);
            adds_up(direction);
        }
    }

    #[test]
    fn a_reverse_run_has_no_forward_direction() {
        let measured = read(REVERSE).unwrap();
        assert_eq!(measured.forward, None);
        let reverse = measured.reverse.unwrap();
        assert_eq!(reverse.streams.len(), 1);
        assert!(reverse.retransmits.is_some());
        adds_up(&reverse);
    }

    #[test]
    fn what_iperf3_says_is_quoted() {
        let said = |text| read(text).unwrap_err().to_string();
        assert_eq!(said(REFUSED), "iperf3: unable to connect to server: Connection refused");
        assert_eq!(said(BUSY), "iperf3: the server is busy running a test. try again later");
    }

    #[test]
    fn what_is_no_result_is_none() {
        let cut = &TWO[..TWO.len() / 2];
        let other = r#"{"start": {"version": "iperf 3.12"}, "end": {}}"#;
        let unfinished = r#"{"start": {"version": "iperf 3.12", "test_start": {"reverse": 0}}, "end": {}}"#;
        for text in ["", "iperf3: error", "{}", cut, other, unfinished] {
            assert!(matches!(read(text), Err(Refusal::Unreadable(_))), "{text}");
        }
    }
}
