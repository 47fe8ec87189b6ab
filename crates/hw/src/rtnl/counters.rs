//! The counters of a network device: `RTM_GETSTATS`, which asks for them alone.

use vdpa_netlink::Malformed;

use super::wire::Message;
use crate::counters::LinkCounters;
use crate::nouns::IfIndex;

const RTM_GETSTATS: u16 = 94;
const IFLA_STATS_LINK_64: u16 = 1;

/// The length of `struct if_stats_msg`.
const HEADER: usize = 12;

/// The question for those of `link`: family, padding, the device, and which statistics are wanted.
pub(super) fn get(link: IfIndex) -> Message {
    let wanted = 1u32 << (IFLA_STATS_LINK_64 - 1);
    Message { kind: RTM_GETSTATS, body: [[0; 4], link.0.to_ne_bytes(), wanted.to_ne_bytes()].concat() }
}

/// The first eight numbers of a `struct rtnl_link_stats64`, which has grown at its end and may again.
pub(super) fn read(message: &Message) -> Result<LinkCounters, Malformed> {
    let attribute = message.attributes(HEADER).require(IFLA_STATS_LINK_64, "IFLA_STATS_LINK_64")?;
    let bytes = attribute.payload();
    let short = Malformed::Size {
        kind: IFLA_STATS_LINK_64,
        length: bytes.len(),
        wanted: "a struct rtnl_link_stats64",
        size: 64,
    };
    let (words, _) = bytes.as_chunks::<8>();
    let &[rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped, ..] =
        words
    else {
        return Err(short);
    };
    let number = u64::from_ne_bytes;
    Ok(LinkCounters {
        rx_packets: number(rx_packets),
        tx_packets: number(tx_packets),
        rx_bytes: number(rx_bytes),
        tx_bytes: number(tx_bytes),
        rx_errors: number(rx_errors),
        tx_errors: number(tx_errors),
        rx_dropped: number(rx_dropped),
        tx_dropped: number(tx_dropped),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_netlink::Tlvs;

    fn answer(numbers: u64) -> Message {
        let words: Vec<u8> = (1..=numbers).flat_map(u64::to_ne_bytes).collect();
        let attributes = Tlvs::new().bytes(IFLA_STATS_LINK_64, &words);
        Message { kind: 92, body: [&[0; HEADER], attributes.as_bytes()].concat() }
    }

    /// `struct if_stats_msg` of `include/uapi/linux/if_link.h`.
    #[test]
    #[cfg(target_endian = "little")]
    fn only_the_wanted_statistics_are_asked_for() {
        assert_eq!(get(IfIndex(7)).body, [0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn counters_are_in_the_kernels_order() {
        // 25 numbers, as in Linux 6.12.
        let counters = read(&answer(25)).unwrap();
        assert_eq!(counters.named().map(|(_, value)| value), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((counters.rx_packets, counters.tx_bytes, counters.tx_dropped), (1, 4, 8));
        assert!(read(&answer(7)).is_err());
    }
}
