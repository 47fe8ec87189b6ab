//! What is read and written.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use vdpa_hw::{Error, IfIndex, Links, MacAddress, ManagementUse, RtnlLinks, VfChange, VfIndex};

use super::{LIMIT, alone, named, run};

fn member(name: &str) -> ManagementUse {
    ManagementUse::MemberOf(name.parse().unwrap())
}

fn carried(name: &str) -> ManagementUse {
    ManagementUse::CarriedBy(name.parse().unwrap())
}

tests! {
    async fn devices_are_listed_as_they_are() {
        run("ip link add d0 address 02:00:00:00:00:07 type veth peer name d0x");
        run("ip link add br0 type bridge");
        run("ip link set d0 master br0");
        let links = RtnlLinks::default();
        let (d0, bridge) = (named(&links, "d0").await, named(&links, "br0").await);
        assert_eq!(d0.mac, "02:00:00:00:00:07".parse::<MacAddress>().unwrap());
        assert_eq!((d0.up, d0.master, d0.parent), (false, Some(bridge.index), None));
        assert!(!d0.is_representor());
        let all: Vec<_> = links.links().await.unwrap().into_iter().map(|link| link.index).collect();
        assert!(all.is_sorted() && all.contains(&IfIndex(1)), "{all:?}");
    }

    async fn a_device_goes_up_and_down() {
        run("ip link add d0 type bridge");
        let links = RtnlLinks::default();
        let d0 = named(&links, "d0").await;
        for up in [true, true, false, false] {
            links.set_up(d0.index, up).await.unwrap();
            assert_eq!(named(&links, "d0").await.up, up);
        }
        run("ip link del d0");
        let error = links.set_up(d0.index, true).await.unwrap_err();
        assert!(matches!(error, Error::NoLink(index) if index == d0.index), "{error:?}");
    }

    async fn what_one_end_sends_the_other_receives() {
        run("ip link add d0 type veth peer name d1");
        run("ip addr add 10.9.0.1/24 dev d0");
        let links = RtnlLinks::default();
        let (d0, d1) = (named(&links, "d0").await.index, named(&links, "d1").await.index);
        assert_eq!(links.counters(d0).await.unwrap(), vdpa_hw::LinkCounters::default());
        run("ip link set d1 up");
        run("ip link set d0 up");
        // Announcing itself to its neighbours is enough of a packet.
        let deadline = std::time::Instant::now() + LIMIT;
        let sent = loop {
            let sent = links.counters(d0).await.unwrap();
            if sent.tx_packets > 0 {
                break sent;
            }
            assert!(std::time::Instant::now() < deadline, "no packet was sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let received = links.counters(d1).await.unwrap();
        assert!(received.rx_packets >= sent.tx_packets && received.rx_bytes >= sent.tx_bytes);
        run("ip link del d0");
        let error = links.counters(d0).await.unwrap_err();
        assert!(matches!(error, Error::NoLink(index) if index == d0), "{error:?}");
    }

    async fn addresses_and_default_routes_are_uses() {
        run("ip link add d0 type veth peer name d1");
        run("ip link set d0 up");
        run("ip link set d1 up");
        let links = RtnlLinks::default();
        let (d0, d1) = (named(&links, "d0").await.index, named(&links, "d1").await.index);
        // It is up, so the kernel has given it fe80::…, which is no use.
        assert_eq!(links.management_uses(d0).await.unwrap(), []);
        run("ip addr add 10.9.0.1/24 dev d0");
        run("ip addr add 2001:db8::1/64 dev d0 nodad");
        let addresses = ["10.9.0.1", "2001:db8::1"].map(|ip| ManagementUse::Address(ip.parse().unwrap()));
        assert_eq!(links.management_uses(d0).await.unwrap(), addresses);
        assert_eq!(links.management_uses(d1).await.unwrap(), []);

        run("ip addr add 10.9.1.1/24 dev d1");
        let address = ManagementUse::Address("10.9.1.1".parse().unwrap());
        run("ip route add default via 10.9.1.2");
        assert_eq!(links.management_uses(d1).await.unwrap(), [address.clone(), ManagementUse::DefaultRoute]);
        assert_eq!(links.management_uses(d0).await.unwrap(), addresses);
        run("ip route replace default nexthop via 10.9.0.2 nexthop via 10.9.1.2");
        assert_eq!(links.management_uses(d1).await.unwrap(), [address.clone(), ManagementUse::DefaultRoute]);
        assert!(links.management_uses(d0).await.unwrap().contains(&ManagementUse::DefaultRoute));
        run("ip route del default");
        run("ip route add unreachable default metric 5");
        run("ip -6 route add default via 2001:db8::2");
        assert!(links.management_uses(d0).await.unwrap().contains(&ManagementUse::DefaultRoute));
        assert_eq!(links.management_uses(d1).await.unwrap(), [address]);
    }

    async fn what_stands_above_is_a_use_and_the_other_end_of_a_pair_is_not() {
        run("ip link add d0 type veth peer name d1");
        run("ip link add br0 type bridge");
        run("ip link set d0 master br0");
        run("ip link add v0 type veth peer name v1");
        run("ip link add link v0 name mv0 type macvlan");
        let links = RtnlLinks::default();
        assert_eq!(links.management_uses(named(&links, "d0").await.index).await.unwrap(), [member("br0")]);
        assert_eq!(links.management_uses(named(&links, "br0").await.index).await.unwrap(), []);
        let uses = links.management_uses(named(&links, "v0").await.index).await.unwrap();
        assert_eq!(uses, [carried("mv0")]);
        assert_eq!(links.management_uses(named(&links, "v1").await.index).await.unwrap(), []);
        let error = links.management_uses(IfIndex(9999)).await.unwrap_err();
        assert!(matches!(error, Error::NoLink(IfIndex(9999))), "{error:?}");
    }

    async fn devices_with_an_ingress_or_clsact_qdisc_are_found() {
        for name in ["d0", "d1", "d2"] {
            run(&format!("ip link add {name} type veth peer name {name}x"));
        }
        let links = RtnlLinks::default();
        assert_eq!(links.with_ingress_qdisc().await.unwrap(), BTreeSet::new());
        run("tc qdisc add dev d0 ingress");
        run("tc qdisc add dev d1 clsact");
        run("tc qdisc add dev d2 root pfifo");
        let wanted = [named(&links, "d0").await.index, named(&links, "d1").await.index];
        assert_eq!(links.with_ingress_qdisc().await.unwrap(), BTreeSet::from(wanted));
        for (index, left) in [(wanted[0], BTreeSet::from([wanted[1]])), (wanted[1], BTreeSet::new())] {
            links.remove_ingress_qdisc(index).await.unwrap();
            assert_eq!(links.with_ingress_qdisc().await.unwrap(), left);
        }
        let error = links.remove_ingress_qdisc(wanted[0]).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "there is none left: {error:?}");
    }

    async fn a_device_without_vfs_keeps_none_and_refuses_to() {
        run("ip link add d0 type bridge");
        let links = RtnlLinks::default();
        let d0 = named(&links, "d0").await.index;
        assert!(links.vf_attributes(d0).await.unwrap().is_empty());
        links.set_vf_attributes(d0, VfIndex::new(0), VfChange::default()).await.unwrap();
        let change = VfChange { trust: Some(true), ..VfChange::default() };
        let error = links.set_vf_attributes(d0, VfIndex::new(3), change).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot set VF 3 of d0: trust to true");
        let Error::Refused { refusal, .. } = error else { panic!("{error:?}") };
        assert_eq!(refusal.errno, vdpa_netlink::Errno::EOPNOTSUPP);
        let error = links.vf_attributes(IfIndex(9999)).await.unwrap_err();
        assert!(matches!(error, Error::NoLink(IfIndex(9999))), "{error:?}");
    }

    /// A VXLAN device binds its UDP port when it goes up (`vxlan_open` in `drivers/net/vxlan`).
    async fn a_refusal_names_the_device_and_the_errno() {
        run("ip link add vx0 type vxlan id 5 dstport 4789");
        let _taken = std::net::UdpSocket::bind("0.0.0.0:4789").unwrap();
        let links = RtnlLinks::default();
        let error = links.set_up(named(&links, "vx0").await.index, true).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot bring vx0 up");
        let Error::Refused { refusal, .. } = error else { panic!("{error:?}") };
        assert_eq!(refusal.errno, vdpa_netlink::Errno::EADDRINUSE);
    }

    async fn a_listing_that_was_given_up_on_is_not_in_the_way_of_the_next() {
        for n in 0..40 {
            run(&format!("ip link add d{n} type bridge"));
        }
        let links = RtnlLinks::default();
        for patience in 0..200 {
            let _ = tokio::time::timeout(Duration::from_micros(patience), links.links()).await;
            assert_eq!(links.links().await.unwrap().len(), 41);
        }
    }

    async fn many_tasks_share_two_sockets() {
        for n in 0..64 {
            run(&format!("ip link add d{n} type bridge"));
        }
        let links = RtnlLinks::default();
        let bridges: Vec<_> = links.links().await.unwrap().into_iter().filter(|link| link.index.0 != 1).collect();
        assert_eq!(bridges.len(), 64);
        try_join_all(bridges.iter().map(|link| links.set_up(link.index, true))).await.unwrap();
        for listing in join_all((0..64).map(|_| links.links())).await {
            assert!(listing.unwrap().iter().filter(|link| link.index.0 != 1).all(|link| link.up));
        }
        let indexes: Vec<_> = bridges.iter().map(|link| link.index).collect();
        assert_eq!(links.settled(&indexes, LIMIT).await.unwrap().len(), 64);
        let table = fs::read_to_string("/proc/self/net/netlink").unwrap();
        // Columns: sk, protocol, port id; the kernel's own ends have port id 0.
        let ours = table.lines().skip(1).filter(|line| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next() == Some("0") && columns.next() != Some("0")
        });
        assert!(ours.count() <= 2, "{table}");
    }

    async fn a_listing_is_whole_though_devices_come_and_go() {
        for n in 0..40 {
            run(&format!("ip link add s{n} type bridge"));
        }
        let churn = std::thread::spawn(|| {
            for _ in 0..100 {
                run("ip link add x0 type bridge");
                run("ip link del x0");
            }
        });
        let links = RtnlLinks::default();
        let mut listings = 0;
        while !churn.is_finished() {
            let all = links.links().await.unwrap();
            let stayed = all.iter().filter(|link| link.name.as_str().starts_with('s')).count();
            assert_eq!(stayed, 40);
            listings += 1;
        }
        assert!(listings > 10, "{listings}");
        churn.join().unwrap();
    }
}

/// Without a mapping to root the process has no capability once it is executed (capabilities(7)).
#[test]
fn without_privilege_reads_work_and_writes_are_refused_as_such() {
    alone(
        "daemon::links::without_privilege_reads_work_and_writes_are_refused_as_such",
        &["--user", "--net"],
        async {
            let links = RtnlLinks::default();
            let lo = named(&links, "lo").await;
            let error = links.set_up(lo.index, true).await.unwrap_err();
            assert!(matches!(&error, Error::Permission { intent } if intent == "bring lo up"), "{error:?}");
        },
    );
}
