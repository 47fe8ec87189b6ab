//! What ping printed (iputils' `ping.c`, `gather_statistics`; busybox's `networking/ping.c`), in types.
//!
//! ```text
//! 64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.045 ms      iputils: from 1 on
//! 64 bytes from 10.0.0.2: seq=0 ttl=64 time=0.089 ms           busybox: from 0 on
//! 60 packets transmitted, 60 received, 0% packet loss, time 12ms
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refusal;

/// Its name.
pub(super) const PROGRAM: &str = "ping";

/// Round trips, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// Echo requests sent.
    pub sent: u64,
    /// How many were answered.
    pub received: u64,
    /// The shortest.
    pub min_us: f64,
    /// Half took no longer.
    pub median_us: f64,
    /// 99 of a hundred took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Reads what it printed, but for the first `skip` requests.
///
/// # Errors
/// [`Refusal::Unreadable`] where that is no output of ping's, [`Refusal::Said`] where nothing was answered.
pub fn read(text: &str, skip: u64) -> Result<RoundTrips, Refusal> {
    let sent = text.lines().find_map(transmitted).ok_or_else(|| Refusal::Unreadable {
        program: PROGRAM,
        why: "it does not say how many packets it transmitted".to_owned(),
    })?;
    let first = u64::from(text.contains("icmp_seq=")) + skip;
    // An answer that came twice has the same number.
    let answers: BTreeMap<u64, f64> =
        text.lines().filter_map(answer).filter(|(number, _)| *number >= first).collect();
    let mut times: Vec<f64> = answers.into_values().collect();
    times.sort_by(f64::total_cmp);
    let (Some(min_us), Some(max_us)) = (times.first().copied(), times.last().copied()) else {
        let text = format!("none of {sent} requests was answered");
        return Err(Refusal::Said { program: PROGRAM, text });
    };
    let (sent, received) = (sent.saturating_sub(skip), u64::try_from(times.len()).unwrap_or(u64::MAX));
    let part = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Ok(RoundTrips { sent, received, min_us, median_us: part(50), p99_us: part(99), max_us })
}

/// The number of an answer, and how long it took in microseconds.
fn answer(line: &str) -> Option<(u64, f64)> {
    let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
    let number = word("icmp_seq=").or_else(|| word("seq="))?.parse().ok()?;
    let milliseconds: f64 = word("time=")?.trim_end_matches("ms").parse().ok()?;
    (milliseconds.is_finite() && milliseconds >= 0.0).then_some((number, milliseconds * 1000.0))
}

fn transmitted(line: &str) -> Option<u64> {
    line.split_once(" packets transmitted")?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// iputils 20221126 of Debian 12, between two network namespaces.
    const IPUTILS: &str = "\
PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.
64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=1.05 ms
64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.040 ms
64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=0.060 ms
64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=0.090 ms (DUP!)
64 bytes from 10.0.0.2: icmp_seq=5 ttl=64 time=0.050 ms

--- 10.0.0.2 ping statistics ---
5 packets transmitted, 4 received, +1 duplicates, 20% packet loss, time 816ms
rtt min/avg/max/mdev = 0.040/0.300/1.050/0.433 ms
";

    /// busybox 1.36.
    const BUSYBOX: &str = "\
PING 10.0.0.2 (10.0.0.2): 56 data bytes
64 bytes from 10.0.0.2: seq=0 ttl=64 time=0.900 ms
64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.100 ms

--- 10.0.0.2 ping statistics ---
2 packets transmitted, 2 packets received, 0% packet loss
round-trip min/avg/max = 0.100/0.500/0.900 ms
";

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 0.001
    }

    #[test]
    fn the_first_ones_do_not_count() {
        let all = read(IPUTILS, 0).unwrap();
        assert_eq!((all.sent, all.received), (5, 4));
        assert!(near(all.min_us, 40.0) && near(all.max_us, 1050.0) && near(all.median_us, 50.0), "{all:?}");
        let later = read(IPUTILS, 1).unwrap();
        assert_eq!((later.sent, later.received), (4, 3));
        assert!(near(later.max_us, 90.0) && near(later.p99_us, 90.0), "{later:?}");
        let other = read(BUSYBOX, 1).unwrap();
        assert_eq!((other.sent, other.received), (1, 1));
        assert!(near(other.max_us, 100.0), "{other:?}");
    }

    #[test]
    fn silence_and_other_texts_are_no_round_trips() {
        let silence = "PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.\n\n3 packets transmitted, 0 received, 100% packet loss";
        let error = read(silence, 0).unwrap_err();
        assert_eq!(error.to_string(), "ping: none of 3 requests was answered");
        assert!(read(IPUTILS, 5).is_err());
        for text in ["", "ping: usage error", "x packets transmitted"] {
            assert!(matches!(read(text, 0), Err(Refusal::Unreadable { .. })), "{text}");
        }
        let odd = "64 bytes: icmp_seq=1 time=NaN ms\n64 bytes: icmp_seq=2 time=-1 ms\n2 packets transmitted, 2 received";
        assert!(read(odd, 0).is_err());
    }
}
