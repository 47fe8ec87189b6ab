//! Against the running kernel, which may have no tc at all, and its header.

use std::collections::BTreeMap;

use vdpa_hw::IfIndex;
use vdpa_tc::{Direction, Kernel, Key, Tc};

/// What `enum { TCA_FLOWER_UNSPEC, … }` of linux-libc-dev counts.
fn flower_attributes() -> BTreeMap<String, u64> {
    const HEADER: &str = "/usr/include/linux/pkt_cls.h";
    let text = std::fs::read_to_string(HEADER).unwrap_or_else(|error| panic!("{HEADER}: {error}"));
    let names = text
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("TCA_FLOWER_UNSPEC"))
        .take_while(|line| !line.starts_with('}'))
        .filter_map(|line| line.split_once(',').map(|(name, _)| name.to_owned()));
    names.zip(0..).collect()
}

#[test]
fn the_keys_have_the_kernels_numbers() {
    let theirs = flower_attributes();
    assert!(theirs.len() > 100, "{theirs:?}");
    let wrong: Vec<_> =
        Key::NUMBERS.iter().filter(|(name, number)| theirs.get(*name) != Some(number)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn a_device_without_a_qdisc_has_no_filters() {
    let loopback = IfIndex(1);
    assert!(Kernel.hooks().await.unwrap().iter().all(|hook| hook.link != loopback));
    for direction in [Direction::Ingress, Direction::Egress] {
        assert_eq!(Kernel.filters(loopback, direction).await.unwrap(), []);
        assert_eq!(Kernel.chains(loopback, direction).await.unwrap(), []);
    }
    assert_eq!(Kernel.slow_path(loopback).await.unwrap(), None);
}
