//! What a client of iperf3 printed with `--json` (iperf3's `iperf_api.c`, `JSON_start` to `iperf_json_finish`).
//!
//! A run that fails prints a document as well, with `error` and an empty `end`: so that is looked for first. What a
//! stream carried is what its receiver counted; what its sender wrote may still lie in a buffer. Retransmits are the
//! sender's, and absent where its kernel does not tell (`TCP_INFO` is Linux's and FreeBSD's). Of UDP there is one count for
//! both ends of a stream, what was sent, and how much of it was lost; and iperf3 before 3.11 has such a sum only.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::report::count;

/// Its name.
pub(super) const PROGRAM: &str = "iperf3";

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
    /// Segments sent again; absent where the sender's kernel does not tell, and of UDP.
    pub retransmits: Option<u64>,
    /// Of UDP: what became of its datagrams.
    pub datagrams: Option<Datagrams>,
    /// Each stream.
    pub streams: Vec<Stream>,
}

/// Datagrams of UDP.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Datagrams {
    /// How many were sent.
    pub sent: u64,
    /// How many of them did not arrive; below 0 where some arrived twice, or were sent before it was counted.
    pub lost: i64,
    /// How much the time that they took varied (RFC 1889), in milliseconds.
    pub jitter_ms: f64,
}

/// One stream: of TCP a connection.
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

/// Reads what a client printed.
///
/// # Errors
/// [`Refusal::Said`] where iperf3 itself tells of an error, [`Refusal::Unreadable`] where it printed something else
/// than a result.
pub fn read(text: &str) -> Result<Measured, Refusal> {
    let document: Document = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    if let Some(text) = document.error {
        return Err(Refusal::Said { program: PROGRAM, text });
    }
    let nothing = |what: &str| Refusal::Unreadable { program: PROGRAM, why: format!("it has no `{what}`") };
    let began = document.start.test_start.ok_or_else(|| nothing("test_start"))?;
    let end: End = serde_json::from_value(document.end).map_err(|error| unreadable(&error))?;
    let received =
        end.sum_received.or_else(|| end.sum.map(Sum::that_arrived)).ok_or_else(|| nothing("sum_received"))?;
    let client = Throughput::of(end.sum_sent.as_ref(), &received, &end.streams, began.reverse == 0);
    let received = end.sum_received_bidir_reverse.or_else(|| end.sum_bidir_reverse.map(Sum::that_arrived));
    let (forward, reverse) = match received {
        Some(received) => {
            let sent = end.sum_sent_bidir_reverse;
            (Some(client), Some(Throughput::of(sent.as_ref(), &received, &end.streams, false)))
        }
        None if began.reverse == 0 => (Some(client), None),
        None => (None, Some(client)),
    };
    let cpu = Cpu { client: end.cpu.host_total, server: end.cpu.remote_total };
    Ok(Measured { version: document.start.version, forward, reverse, cpu })
}

impl Throughput {
    /// What did not arrive at once, for people.
    pub fn lost_or_sent_again(&self) -> String {
        match (&self.datagrams, self.retransmits) {
            (Some(Datagrams { sent, lost, .. }), _) => format!("{lost} of {sent} datagrams lost"),
            (None, Some(again)) => format!("{} sent again", count(again, "segment")),
            (None, None) => String::new(),
        }
    }

    /// `by_client`: whether the streams to be taken are those that the client sent.
    fn of(sent: Option<&Sum>, received: &Sum, streams: &[Pair], by_client: bool) -> Self {
        let ours = streams.iter().filter(|pair| pair.sender().by_client == by_client);
        Self {
            bits_per_second: received.bits_per_second,
            bytes: received.bytes,
            retransmits: sent.and_then(|sent| sent.retransmits),
            datagrams: received.datagrams(),
            streams: ours.map(Pair::stream).collect(),
        }
    }
}

impl Sum {
    /// Of datagrams that were sent, those that arrived.
    fn that_arrived(mut self) -> Self {
        let (packets, lost) = (self.packets.unwrap_or(0), self.lost_packets.unwrap_or(0));
        let gone = u64::try_from(lost).unwrap_or(0).min(packets);
        self.bytes = self.bytes.checked_div(packets).map_or(self.bytes, |each| each * (packets - gone));
        self.bits_per_second *= (1.0 - self.lost_percent.unwrap_or(0.0) / 100.0).clamp(0.0, 1.0);
        self
    }

    fn datagrams(&self) -> Option<Datagrams> {
        Some(Datagrams { sent: self.packets?, lost: self.lost_packets?, jitter_ms: self.jitter_ms? })
    }
}

impl Pair {
    fn sender(&self) -> &Sum {
        match self {
            Self::Tcp { sender, .. } => sender,
            Self::Udp { udp } => udp,
        }
    }

    fn stream(&self) -> Stream {
        match self {
            Self::Tcp { sender, receiver } => {
                Stream { bits_per_second: receiver.bits_per_second, retransmits: sender.retransmits }
            }
            Self::Udp { udp } => {
                let arrived = udp.clone().that_arrived();
                Stream { bits_per_second: arrived.bits_per_second, retransmits: None }
            }
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Refusal {
    Refusal::Unreadable { program: PROGRAM, why: error.to_string() }
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
    sum: Option<Sum>,
    sum_sent: Option<Sum>,
    sum_received: Option<Sum>,
    sum_bidir_reverse: Option<Sum>,
    sum_sent_bidir_reverse: Option<Sum>,
    sum_received_bidir_reverse: Option<Sum>,
    #[serde(rename = "cpu_utilization_percent")]
    cpu: Utilization,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pair {
    Tcp { sender: Sum, receiver: Sum },
    Udp { udp: Sum },
}

#[derive(Clone, Deserialize)]
struct Sum {
    bytes: u64,
    bits_per_second: f64,
    retransmits: Option<u64>,
    packets: Option<u64>,
    lost_packets: Option<i64>,
    lost_percent: Option<f64>,
    jitter_ms: Option<f64>,
    /// Of a stream, whether the client is who sent it; not whose line it is.
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
    const UDP: &str = include_str!("../../tests/captured/iperf3/udp-two.json");
    const UDP_BIDIR: &str = include_str!("../../tests/captured/iperf3/udp-bidir.json");
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
    fn of_udp_it_is_told_what_arrived() {
        let forward = read(UDP).unwrap().forward.unwrap();
        assert_eq!((forward.streams.len(), forward.bytes, forward.retransmits), (2, 100_007_936, None));
        let datagrams = forward.datagrams.unwrap();
        assert_eq!((datagrams.sent, datagrams.lost), (3052, 0));
        adds_up(&forward);
        let both = read(UDP_BIDIR).unwrap();
        for direction in [both.forward.unwrap(), both.reverse.unwrap()] {
            assert_eq!((direction.streams.len(), direction.datagrams.map(|d| d.sent)), (1, Some(763)));
        }
    }

    /// Before 3.11 there is one sum, of what was sent.
    #[test]
    fn what_was_lost_is_taken_off_where_iperf3_does_not() {
        let mut document: serde_json::Value = serde_json::from_str(UDP).unwrap();
        let end = document["end"].as_object_mut().unwrap();
        end.remove("sum_sent");
        end.remove("sum_received");
        let sum = end["sum"].as_object_mut().unwrap();
        sum.insert("lost_packets".into(), 763.into());
        sum.insert("lost_percent".into(), 25.into());
        let forward = read(&document.to_string()).unwrap().forward.unwrap();
        assert_eq!(forward.bytes, 75_005_952);
        assert!((forward.bits_per_second / 300e6 - 1.0).abs() < 0.01, "{}", forward.bits_per_second);
        assert_eq!(forward.datagrams.map(|datagrams| datagrams.lost), Some(763));
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
            assert!(matches!(read(text), Err(Refusal::Unreadable { .. })), "{text}");
        }
    }
}
