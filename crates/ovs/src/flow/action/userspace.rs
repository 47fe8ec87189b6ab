//! The `userspace` action: ovs-vswitchd gets the packet, with a note of what for.

use crate::flow::Port;
use crate::flow::fields::{Always, Nested, Word, fields};
use crate::flow::notation::{Decimal, Hex, Plain};

fields! {
    /// ovs-vswitchd gets the packet: `userspace(pid=0,slow_path(action))`.
    pub struct Userspace {
        /// The netlink port that it goes to; 4294967295 where the kernel chooses by CPU.
        "pid=" pid: u32 = Always<Decimal>,
        /// For sFlow.
        "sFlow(" sflow: Option<Sflow> = Nested,
        /// Because the datapath cannot do what is asked for: the reasons, between commas.
        "slow_path(" slow_path: Option<String> = Plain,
        /// For a sample.
        "flow_sample(" flow_sample: Option<FlowSample> = Nested,
        /// For IPFIX.
        "ipfix(" ipfix: Option<Ipfix> = Nested,
        /// For an `OpenFlow` controller.
        "controller(" controller: Option<Controller> = Nested,
        /// A note in hexadecimal.
        "userdata(" userdata: Option<String> = Plain,
        /// It gets the actions as well.
        "actions" actions: bool = Word,
        /// The tunnel by which the packet leaves.
        "tunnel_out_port=" tunnel_out_port: Option<Port> = Plain,
    }
}

fields! {
    /// A note for sFlow.
    pub struct Sflow {
        /// The VLAN.
        "vid=" vid: u16 = Always<Decimal>,
        /// Its priority.
        "pcp=" pcp: u8 = Always<Decimal>,
        /// Where the packet goes, in sFlow's numbers.
        "output=" output: u32 = Always<Decimal>,
    }
}

fields! {
    /// A note for IPFIX.
    pub struct Ipfix {
        /// The port by which the packet leaves.
        "output_port=" output_port: Port = Always<Plain>,
    }
}

fields! {
    /// A note for a sample.
    pub struct FlowSample {
        /// Of 65535 packets so many.
        "probability=" probability: u16 = Always<Decimal>,
        /// Who collects.
        "collector_set_id=" collector_set: u32 = Always<Decimal>,
        /// The observation domain.
        "obs_domain_id=" domain: u32 = Always<Decimal>,
        /// The observation point.
        "obs_point_id=" point: u32 = Always<Decimal>,
        /// The port by which the packet leaves.
        "output_port=" output_port: Port = Always<Plain>,
        /// On its way in.
        "ingress" ingress: bool = Word,
        /// On its way out.
        "egress" egress: bool = Word,
    }
}

fields! {
    /// A note for an `OpenFlow` controller.
    pub struct Controller {
        /// Why it gets the packet.
        "reason=" reason: u16 = Always<Decimal>,
        /// 1 where it does not get it after all.
        "dont_send=" dont_send: u8 = Always<Decimal>,
        /// 1 where the pipeline goes on after it.
        "continuation=" continuation: u8 = Always<Decimal>,
        /// Where.
        "recirc_id=" recirc_id: u32 = Always<Decimal>,
        /// The rule that says so.
        "rule_cookie=" rule_cookie: u64 = Always<Hex>,
        /// Which controller.
        "controller_id=" controller_id: u16 = Always<Decimal>,
        /// How much of the packet.
        "max_len=" max_len: u16 = Always<Decimal>,
    }
}
