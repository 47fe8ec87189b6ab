//! Nothing of ours grows faster than the number of VFs: each VF costs the same operations, and what lists everything
//! there is (network devices and their features, ports, rates, VFs) is asked for as often for 128 VFs as for 8.

mod common;

use std::collections::BTreeMap;

use common::{Bench, pf};
use vdpa_hw::mock::hosts;

/// What a command cost.
#[derive(Debug, PartialEq)]
struct Cost {
    operations: u64,
    listings: BTreeMap<&'static str, u64>,
}

fn spent(bench: &Bench) -> Cost {
    let machine = &bench.host.machine;
    Cost { operations: machine.operations(), listings: machine.listings() }
}

fn between(before: &Cost, after: &Cost) -> Cost {
    let listings = after.listings.iter();
    let listings = listings.map(|(kind, n)| (*kind, n - before.listings.get(kind).copied().unwrap_or(0)));
    Cost { operations: after.operations - before.operations, listings: listings.collect() }
}

/// The costs of `setup`, of a second `setup` and of `teardown` with so many VFs, each with a rate of its own.
async fn costs(vfs: u16) -> [Cost; 3] {
    let bench = Bench::with_machine(hosts::one_card(pf(), "enp67s0f0".parse().unwrap(), 128));
    let rates = (0..vfs).map(|vf| format!("[[nic.vf]]\nindex = {vf}\nmax_rate_mbps = {}\n", 100 + vf));
    let text = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = {vfs}\n{}", rates.collect::<String>());
    let start = spent(&bench);
    bench.setup(&text).await.unwrap_or_else(|failure| panic!("{vfs}: {}", failure.error.flat()));
    let set_up = spent(&bench);
    assert!(!bench.setup(&text).await.unwrap().changed, "{vfs}");
    let again = spent(&bench);
    bench.teardown().await.unwrap_or_else(|failure| panic!("{vfs}: {}", failure.error.flat()));
    let torn_down = spent(&bench);
    [between(&start, &set_up), between(&set_up, &again), between(&again, &torn_down)]
}

/// Pitfall 14: a count that is derived from the number of VFs must not be 0, or grow with its square, for any of them.
#[tokio::test]
async fn operations_grow_with_the_vfs_and_listings_do_not_grow() {
    let few = costs(8).await;
    let some = costs(64).await;
    let many = costs(128).await;
    for (command, ((few, some), many)) in
        ["setup", "setup again", "teardown"].iter().zip(few.iter().zip(&some).zip(&many))
    {
        println!("{command}: 8 VFs {few:?}, 64 VFs {some:?}, 128 VFs {many:?}");
        assert_eq!(few.listings, some.listings, "{command}");
        assert_eq!(some.listings, many.listings, "{command}");
        let (first, second) = (some.operations - few.operations, many.operations - some.operations);
        assert_eq!(first * 64, second * 56, "{command}: not the same for each VF");
    }
    assert_eq!(many[1].operations, 0, "a second setup does nothing");
}

/// VFs that have a datapath each: what there is of devices is listed, and none is asked for by itself.
#[tokio::test]
async fn a_look_at_128_vfs_with_a_datapath_asks_as_often_as_one_at_8() {
    let mut looks = Vec::new();
    for vfs in [8, 128] {
        let bench = Bench::with_machine(hosts::one_card(pf(), "enp67s0f0".parse().unwrap(), 128));
        let datapaths = (0..vfs).map(|vf| format!("[[nic.vf]]\nindex = {vf}\ndatapath = \"kernel\"\n"));
        let text = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = {vfs}\n{}", datapaths.collect::<String>());
        bench.setup(&text).await.unwrap_or_else(|failure| panic!("{vfs}: {}", failure.error.flat()));
        let set_up = spent(&bench);
        assert!(!bench.setup(&text).await.unwrap().changed, "{vfs}");
        looks.push(between(&set_up, &spent(&bench)));
    }
    assert_eq!(looks[0], looks[1]);
    assert_eq!(looks[1].listings.get("vdpa_configs"), Some(&1), "{looks:?}");
    assert_eq!(looks[1].listings.get("vdpa_device"), Some(&0), "{looks:?}");
}
