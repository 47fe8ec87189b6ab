//! The whole Interface table of Open vSwitch 3.1, declared.

use std::collections::{BTreeMap, BTreeSet};

use vdpa_ovs::{database, ovsdb::Uuid, row};

type Texts = BTreeMap<String, String>;

row! {
    /// Every column.
    pub(crate) struct Interface in "Interface" {
        pub(crate) name: String,
        pub(crate) kind: String = "type",
        pub(crate) options: Texts,
        pub(crate) ingress_policing_rate: i64,
        pub(crate) ingress_policing_burst: i64,
        pub(crate) ingress_policing_kpkts_rate: i64,
        pub(crate) ingress_policing_kpkts_burst: i64,
        pub(crate) mac_in_use: Option<String>,
        pub(crate) mac: Option<String>,
        pub(crate) ifindex: Option<i64>,
        pub(crate) external_ids: Texts,
        pub(crate) ofport: Option<i64>,
        pub(crate) ofport_request: Option<i64>,
        pub(crate) bfd: Texts,
        pub(crate) bfd_status: Texts,
        pub(crate) cfm_mpid: Option<i64>,
        pub(crate) cfm_remote_mpids: BTreeSet<i64>,
        pub(crate) cfm_flap_count: Option<i64>,
        pub(crate) cfm_fault: Option<bool>,
        pub(crate) cfm_fault_status: BTreeSet<String>,
        pub(crate) cfm_remote_opstate: Option<String>,
        pub(crate) cfm_health: Option<i64>,
        pub(crate) lacp_current: Option<bool>,
        pub(crate) lldp: Texts,
        pub(crate) other_config: Texts,
        pub(crate) statistics: BTreeMap<String, i64>,
        pub(crate) status: Texts,
        pub(crate) admin_state: Option<String>,
        pub(crate) link_state: Option<String>,
        pub(crate) link_resets: Option<i64>,
        pub(crate) link_speed: Option<i64>,
        pub(crate) duplex: Option<String>,
        pub(crate) mtu: Option<i64>,
        pub(crate) mtu_request: Option<i64>,
        pub(crate) error: Option<String>,
        pub(crate) version: Uuid = "_version",
    }
}

database! {
    /// The interfaces, and nothing else.
    pub(crate) struct Interfaces in "Open_vSwitch" {
        pub(crate) interfaces: Interface,
    }
}
