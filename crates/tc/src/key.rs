//! What a flower rule can look at: names, attributes and how each is written.
//!
//! Source: `TCA_FLOWER_KEY_*` in `include/uapi/linux/pkt_cls.h`; the names and the writing are tc-flower(8)'s.

mod text;

use std::fmt;

use serde::{Deserialize, Serialize};
use vdpa_netlink::{Attributes, Malformed};

use self::text::Form;

/// The keys: their names, how their values are written, and the attributes that hold value and mask.
macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident $name:literal $form:ident [$($value:ident = $number:literal
       $(/ $mask:ident = $mask_number:literal)? $($order:ident)?),+],)+) => {
        /// Something of a packet that a flower rule looks at.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Key {
            $($(#[$doc])* $key,)+
        }

        impl Key {
            /// Every key.
            pub const ALL: &[Self] = &[$(Self::$key),+];

            /// Its name in tc-flower(8).
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$key => $name,)+
                }
            }

        /// The attributes' numbers under the kernel's names, for a test to compare with its header.
        pub const NUMBERS: &[(&str, u64)] =
            &[$($((stringify!($value), $number), $((stringify!($mask), $mask_number),)?)+)+];

            fn form(self) -> Form {
                match self {
                    $(Self::$key => Form::$form,)+
                }
            }
        }

        const ROWS: &[Row] = &[$($(Row {
            key: Key::$key,
            value: $number,
            mask: keys!(@mask $($mask_number)?),
            host_order: keys!(@order $($order)?),
        },)+)+];
    };
    (@mask) => { None };
    (@mask $number:literal) => { Some($number) };
    (@order) => { false };
    (@order host) => { true };
}

keys! {
    /// Destination MAC address.
    DstMac "dst_mac" Mac [TCA_FLOWER_KEY_ETH_DST = 4 / TCA_FLOWER_KEY_ETH_DST_MASK = 5],
    /// Source MAC address.
    SrcMac "src_mac" Mac [TCA_FLOWER_KEY_ETH_SRC = 6 / TCA_FLOWER_KEY_ETH_SRC_MASK = 7],
    /// Ethernet type.
    EthType "eth_type" EthType [TCA_FLOWER_KEY_ETH_TYPE = 8],
    /// IP protocol.
    IpProto "ip_proto" IpProto [TCA_FLOWER_KEY_IP_PROTO = 9],
    /// Source IP address.
    SrcIp "src_ip" Ip [TCA_FLOWER_KEY_IPV4_SRC = 10 / TCA_FLOWER_KEY_IPV4_SRC_MASK = 11,
                       TCA_FLOWER_KEY_IPV6_SRC = 14 / TCA_FLOWER_KEY_IPV6_SRC_MASK = 15],
    /// Destination IP address.
    DstIp "dst_ip" Ip [TCA_FLOWER_KEY_IPV4_DST = 12 / TCA_FLOWER_KEY_IPV4_DST_MASK = 13,
                       TCA_FLOWER_KEY_IPV6_DST = 16 / TCA_FLOWER_KEY_IPV6_DST_MASK = 17],
    /// Source port.
    SrcPort "src_port" Number [TCA_FLOWER_KEY_TCP_SRC = 18 / TCA_FLOWER_KEY_TCP_SRC_MASK = 35,
                               TCA_FLOWER_KEY_UDP_SRC = 20 / TCA_FLOWER_KEY_UDP_SRC_MASK = 37,
                               TCA_FLOWER_KEY_SCTP_SRC = 41 / TCA_FLOWER_KEY_SCTP_SRC_MASK = 39],
    /// Destination port.
    DstPort "dst_port" Number [TCA_FLOWER_KEY_TCP_DST = 19 / TCA_FLOWER_KEY_TCP_DST_MASK = 36,
                               TCA_FLOWER_KEY_UDP_DST = 21 / TCA_FLOWER_KEY_UDP_DST_MASK = 38,
                               TCA_FLOWER_KEY_SCTP_DST = 42 / TCA_FLOWER_KEY_SCTP_DST_MASK = 40],
    /// VLAN.
    VlanId "vlan_id" Number [TCA_FLOWER_KEY_VLAN_ID = 23 host],
    /// Its priority.
    VlanPrio "vlan_prio" Number [TCA_FLOWER_KEY_VLAN_PRIO = 24],
    /// The Ethernet type behind it.
    VlanEthType "vlan_ethtype" EthType [TCA_FLOWER_KEY_VLAN_ETH_TYPE = 25],
    /// The inner VLAN of two.
    CvlanId "cvlan_id" Number [TCA_FLOWER_KEY_CVLAN_ID = 77 host],
    /// Its priority.
    CvlanPrio "cvlan_prio" Number [TCA_FLOWER_KEY_CVLAN_PRIO = 78],
    /// The Ethernet type behind it.
    CvlanEthType "cvlan_ethtype" EthType [TCA_FLOWER_KEY_CVLAN_ETH_TYPE = 79],
    /// How many VLAN tags there are.
    NumOfVlans "num_of_vlans" Number [TCA_FLOWER_KEY_NUM_OF_VLANS = 102],
    /// Fragments.
    IpFlags "ip_flags" IpFlags [TCA_FLOWER_KEY_FLAGS = 47 / TCA_FLOWER_KEY_FLAGS_MASK = 48],
    /// Type of service.
    IpTos "ip_tos" Hex [TCA_FLOWER_KEY_IP_TOS = 73 / TCA_FLOWER_KEY_IP_TOS_MASK = 74],
    /// Time to live.
    IpTtl "ip_ttl" Hex [TCA_FLOWER_KEY_IP_TTL = 75 / TCA_FLOWER_KEY_IP_TTL_MASK = 76],
    /// TCP flags.
    TcpFlags "tcp_flags" Hex [TCA_FLOWER_KEY_TCP_FLAGS = 71 / TCA_FLOWER_KEY_TCP_FLAGS_MASK = 72],
    /// ICMP type.
    IcmpType "icmp_type" Number [TCA_FLOWER_KEY_ICMPV4_TYPE = 51 / TCA_FLOWER_KEY_ICMPV4_TYPE_MASK = 52,
                                 TCA_FLOWER_KEY_ICMPV6_TYPE = 55 / TCA_FLOWER_KEY_ICMPV6_TYPE_MASK = 56],
    /// ICMP code.
    IcmpCode "icmp_code" Number [TCA_FLOWER_KEY_ICMPV4_CODE = 49 / TCA_FLOWER_KEY_ICMPV4_CODE_MASK = 50,
                                 TCA_FLOWER_KEY_ICMPV6_CODE = 53 / TCA_FLOWER_KEY_ICMPV6_CODE_MASK = 54],
    /// Sender's IP address in ARP.
    ArpSip "arp_sip" Ip [TCA_FLOWER_KEY_ARP_SIP = 57 / TCA_FLOWER_KEY_ARP_SIP_MASK = 58],
    /// Target's IP address in ARP.
    ArpTip "arp_tip" Ip [TCA_FLOWER_KEY_ARP_TIP = 59 / TCA_FLOWER_KEY_ARP_TIP_MASK = 60],
    /// ARP's operation: 1 asks, 2 answers.
    ArpOp "arp_op" Number [TCA_FLOWER_KEY_ARP_OP = 61 / TCA_FLOWER_KEY_ARP_OP_MASK = 62],
    /// Sender's MAC address in ARP.
    ArpSha "arp_sha" Mac [TCA_FLOWER_KEY_ARP_SHA = 63 / TCA_FLOWER_KEY_ARP_SHA_MASK = 64],
    /// Target's MAC address in ARP.
    ArpTha "arp_tha" Mac [TCA_FLOWER_KEY_ARP_THA = 65 / TCA_FLOWER_KEY_ARP_THA_MASK = 66],
    /// MPLS: time to live.
    MplsTtl "mpls_ttl" Number [TCA_FLOWER_KEY_MPLS_TTL = 67],
    /// MPLS: bottom of stack.
    MplsBos "mpls_bos" Number [TCA_FLOWER_KEY_MPLS_BOS = 68],
    /// MPLS: traffic class.
    MplsTc "mpls_tc" Number [TCA_FLOWER_KEY_MPLS_TC = 69],
    /// MPLS: label.
    MplsLabel "mpls_label" Number [TCA_FLOWER_KEY_MPLS_LABEL = 70 host],
    /// Tunnel: key (VXLAN's VNI).
    EncKeyId "enc_key_id" Number [TCA_FLOWER_KEY_ENC_KEY_ID = 26],
    /// Tunnel: source IP address.
    EncSrcIp "enc_src_ip" Ip [TCA_FLOWER_KEY_ENC_IPV4_SRC = 27 / TCA_FLOWER_KEY_ENC_IPV4_SRC_MASK = 28,
                              TCA_FLOWER_KEY_ENC_IPV6_SRC = 31 / TCA_FLOWER_KEY_ENC_IPV6_SRC_MASK = 32],
    /// Tunnel: destination IP address.
    EncDstIp "enc_dst_ip" Ip [TCA_FLOWER_KEY_ENC_IPV4_DST = 29 / TCA_FLOWER_KEY_ENC_IPV4_DST_MASK = 30,
                              TCA_FLOWER_KEY_ENC_IPV6_DST = 33 / TCA_FLOWER_KEY_ENC_IPV6_DST_MASK = 34],
    /// Tunnel: source port.
    EncSrcPort "enc_src_port" Number [TCA_FLOWER_KEY_ENC_UDP_SRC_PORT = 43
                                      / TCA_FLOWER_KEY_ENC_UDP_SRC_PORT_MASK = 44],
    /// Tunnel: destination port.
    EncDstPort "enc_dst_port" Number [TCA_FLOWER_KEY_ENC_UDP_DST_PORT = 45
                                      / TCA_FLOWER_KEY_ENC_UDP_DST_PORT_MASK = 46],
    /// Tunnel: type of service.
    EncTos "enc_tos" Hex [TCA_FLOWER_KEY_ENC_IP_TOS = 80 / TCA_FLOWER_KEY_ENC_IP_TOS_MASK = 81],
    /// Tunnel: time to live.
    EncTtl "enc_ttl" Hex [TCA_FLOWER_KEY_ENC_IP_TTL = 82 / TCA_FLOWER_KEY_ENC_IP_TTL_MASK = 83],
    /// What conntrack says of the packet's connection.
    CtState "ct_state" CtState [TCA_FLOWER_KEY_CT_STATE = 91 / TCA_FLOWER_KEY_CT_STATE_MASK = 92 host],
    /// Conntrack's zone.
    CtZone "ct_zone" Number [TCA_FLOWER_KEY_CT_ZONE = 93 / TCA_FLOWER_KEY_CT_ZONE_MASK = 94 host],
    /// The connection's mark.
    CtMark "ct_mark" Number [TCA_FLOWER_KEY_CT_MARK = 95 / TCA_FLOWER_KEY_CT_MARK_MASK = 96 host],
    /// The connection's labels.
    CtLabel "ct_label" Digits [TCA_FLOWER_KEY_CT_LABELS = 97 / TCA_FLOWER_KEY_CT_LABELS_MASK = 98],
}

/// An attribute that holds a key's value, and the one that holds its mask.
struct Row {
    key: Key,
    value: u16,
    mask: Option<u16>,
    /// Most are in network byte order.
    host_order: bool,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A key, the value that a packet has to have, and which bits of it count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The key.
    pub key: Key,
    /// The value, in network byte order.
    pub value: Vec<u8>,
    /// The bits that count, as many as the value has; all where it is absent.
    pub mask: Option<Vec<u8>>,
}

impl Match {
    /// All bits of `value`.
    pub fn exactly(key: Key, value: impl Into<Vec<u8>>) -> Self {
        Self { key, value: value.into(), mask: None }
    }

    /// From a value as tc writes it: `e4:11:22:33:55:60`, `10.0.0.0/8`, `ipv4`, `+trk+est`. `None` where it is no
    /// such value.
    pub fn parse(key: Key, text: &str) -> Option<Self> {
        text::parse(key.form(), text).map(|(value, mask)| Self { key, value, mask })
    }

    /// Whether a packet with this value has what is wanted.
    pub fn admits(&self, value: &[u8]) -> bool {
        let counts = |at: usize| self.mask.as_ref().map_or(0xff, |mask| mask.get(at).copied().unwrap_or(0));
        value.len() == self.value.len()
            && value.iter().zip(&self.value).enumerate().all(|(at, (a, b))| (a ^ b) & counts(at) == 0)
    }

    /// The matches among a rule's attributes, and the types of those that are no key's.
    pub(crate) fn read(
        options: Attributes<'_>,
        not_ours: &[u16],
    ) -> Result<(Vec<Self>, Vec<u16>), Malformed> {
        let (mut found, mut masks, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for attribute in options {
            let attribute = attribute?;
            let kind = attribute.kind();
            let is = |row: &&Row| row.value == kind || row.mask == Some(kind);
            let Some(row) = ROWS.iter().find(is) else {
                if !not_ours.contains(&kind) {
                    unread.push(kind);
                }
                continue;
            };
            let mut bytes = attribute.payload().to_vec();
            if row.host_order && cfg!(target_endian = "little") {
                bytes.reverse();
            }
            if row.value == kind { found.push((row, bytes)) } else { masks.push((kind, bytes)) }
        }
        let matches = found.into_iter().filter_map(|(row, value)| {
            let mask = masks.iter().find(|(kind, _)| Some(*kind) == row.mask).map(|(_, mask)| mask.clone());
            // The kernel shows a key of which no bit counts only beside another of its kind.
            let nothing = mask.as_ref().is_some_and(|mask| mask.iter().all(|byte| *byte == 0));
            let all = mask.as_ref().is_some_and(|mask| mask.iter().all(|byte| *byte == 0xff));
            (!nothing).then_some(Self { key: row.key, value, mask: mask.filter(|_| !all) })
        });
        Ok((matches.collect(), unread))
    }
}

/// As tc writes it: `dst_ip 10.0.0.0/8`.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.key)?;
        text::write(f, self.key.form(), &self.value, self.mask.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_netlink::Tlvs;

    #[test]
    fn keys_are_read_with_their_masks_and_the_unknown_is_kept_by_number() {
        let options = Tlvs::new()
            .bytes(4, &[0xe4, 0x11, 0xc6, 0xd3, 0x45, 0xf2])
            .bytes(5, &[0xff; 6])
            .bytes(8, &[0x08, 0x00])
            .bytes(12, &[10, 0, 0, 0])
            .bytes(13, &[255, 0, 0, 0])
            .u16(91, 10)
            .u16(92, 10)
            .bytes(84, &[1, 2, 3]);
        let (matches, unread) = Match::read(Attributes::new(options.as_bytes()), &[]).unwrap();
        let text: Vec<String> = matches.iter().map(Match::to_string).collect();
        assert_eq!(
            text,
            ["dst_mac e4:11:c6:d3:45:f2", "eth_type ipv4", "dst_ip 10.0.0.0/8", "ct_state +trk+est"]
        );
        assert_eq!(unread, [84]);
    }

    #[test]
    fn what_is_written_is_read() {
        for (key, text) in [
            (Key::DstMac, "e4:11:c6:d3:45:f2"),
            (Key::DstMac, "01:00:00:00:00:00/01:00:00:00:00:00"),
            (Key::EthType, "ipv6"),
            (Key::EthType, "88cc"),
            (Key::IpProto, "icmp"),
            (Key::SrcIp, "10.0.0.0/8"),
            (Key::DstIp, "fe80::1"),
            (Key::IpFlags, "nofrag"),
            (Key::IpFlags, "frag/nofirstfrag"),
            (Key::CtState, "+trk-new+est"),
            (Key::CtLabel, "00000000000000000000000000000001/0000000000000000000000000000000f"),
        ] {
            let parsed = Match::parse(key, text).unwrap_or_else(|| panic!("{key} {text}"));
            assert_eq!(parsed.to_string(), format!("{key} {text}"));
        }
        for (key, text) in [(Key::DstMac, "e4:11"), (Key::SrcIp, "10.0.0.0/33"), (Key::CtState, "+bogus")] {
            assert_eq!(Match::parse(key, text), None, "{key} {text}");
        }
    }

    #[test]
    fn a_mask_says_which_bits_count() {
        let group = Match::parse(Key::DstMac, "01:00:00:00:00:00/01:00:00:00:00:00").unwrap();
        assert!(group.admits(&[0xff; 6]) && !group.admits(&[0xe4, 0x11, 0, 0, 0, 1]));
        let exact = Match::parse(Key::EthType, "ipv4").unwrap();
        assert!(exact.admits(&[8, 0]) && !exact.admits(&[8, 6]) && !exact.admits(&[8]));
    }
}
