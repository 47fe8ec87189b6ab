//! The rules of [`Links`].

use std::time::Duration;

use vdpa_netlink::Errno;

use super::{Borrowed, Subject, refused, works};
use crate::error::Error;
use crate::link::{Link, Links, VfAttributes, VfChange};
use crate::nouns::{IfIndex, MacAddress, VfIndex};
use crate::pci::Pci;

/// The PF's network device is found by its address, and is no representor.
pub async fn the_uplink_belongs_to_the_pf(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let uplink = uplink(links, subject).await;
    assert_eq!(uplink.parent, Some(subject.pf));
    assert!(!uplink.is_representor());
    let listed = works(links.links().await, "list the links");
    assert!(listed.contains(&uplink), "{uplink:?} is in {listed:?}");
    assert!(listed.is_sorted_by_key(|link| link.index), "the list is in order");
    let settled = works(links.settled(&[uplink.index], subject.limit).await, "settle");
    assert_eq!(settled, std::slice::from_ref(&uplink));
    assert_eq!(works(links.named(&uplink.name, subject.limit).await, "find it by its name"), uplink);
    let (first, second) = (links.counters(uplink.index).await, links.counters(uplink.index).await);
    let (first, second) = (works(first, "read counters"), works(second, "read them again"));
    assert!(
        second.rx_packets >= first.rx_packets && second.tx_bytes >= first.tx_bytes,
        "counters do not go back"
    );
    let nobody = "nobody0".parse().unwrap_or_else(|_| unreachable!("a name"));
    let late = links.named(&nobody, Duration::from_millis(20)).await;
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    let missing = IfIndex(0x7fff_fff0);
    let results = [
        links.settled(&[missing], subject.limit).await.map(drop),
        links.set_up(missing, true).await,
        links.vf_attributes(missing).await.map(drop),
        links.counters(missing).await.map(drop),
        links.management_uses(missing).await.map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(Error::NoLink(at)) if at == missing), "{result:?}");
    }
    borrowed.give_back().await;
}

/// Up and down, each also where it is so already.
pub async fn the_uplink_goes_up_and_down(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let before = uplink(links, subject).await;
    for up in [true, true, false, false, before.up] {
        works(links.set_up(before.index, up).await, "bring the uplink up or down");
        assert_eq!(uplink(links, subject).await.up, up);
    }
    borrowed.give_back().await;
}

/// The attributes of a VF past the last one cannot be set; there are as many as VFs.
pub async fn a_vf_that_does_not_exist_is_refused(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let uplink = uplink(links, subject).await.index;
    assert!(works(links.vf_attributes(uplink).await, "read VF attributes").is_empty());
    borrowed.make_vfs(false).await;
    let attributes = works(links.vf_attributes(uplink).await, "read VF attributes");
    assert!(attributes.keys().copied().eq(VfIndex::first(subject.vfs)), "{attributes:?}");
    let past = VfIndex::new(subject.vfs);
    let result = links.set_vf_attributes(uplink, past, with_mac(station(0))).await;
    let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains(&format!("VF {past}")), "{text}");
    refused(result, "a VF past the last one");
    borrowed.give_back().await;
}

/// A multicast MAC is no station's.
pub async fn a_multicast_mac_is_refused(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let uplink = uplink(links, subject).await.index;
    borrowed.make_vfs(false).await;
    let before = works(links.vf_attributes(uplink).await, "read VF attributes");
    let multicast = MacAddress::new([1, 0, 0x5e, 0, 0, 1]);
    let result = links.set_vf_attributes(uplink, VfIndex::new(0), with_mac(multicast)).await;
    assert_eq!(refused(result, "a multicast MAC"), Errno::EINVAL);
    assert_eq!(works(links.vf_attributes(uplink).await, "read VF attributes"), before);
    borrowed.give_back().await;
}

/// Trust and spoof checking of one VF read back as they were set, or the driver has no such thing.
pub async fn settings_read_back_or_are_refused(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let uplink = uplink(links, subject).await.index;
    borrowed.make_vfs(false).await;
    let vf = VfIndex::new(1);
    for on in [true, false] {
        let trust = VfChange { trust: Some(on), ..VfChange::default() };
        let spoofchk = VfChange { spoofchk: Some(on), ..VfChange::default() };
        let reads: [(VfChange, Setting); 2] = [(trust, |vf| vf.trust), (spoofchk, |vf| vf.spoofchk)];
        for (change, setting) in reads {
            let before = works(links.vf_attributes(uplink).await, "read VF attributes");
            let result = links.set_vf_attributes(uplink, vf, change).await;
            let after = works(links.vf_attributes(uplink).await, "read VF attributes");
            match result {
                Ok(()) => assert_eq!(setting(&after[&vf]), Some(on), "{change:?}"),
                refusal => {
                    assert_eq!(refused(refusal, "a setting that the driver lacks"), Errno::EOPNOTSUPP);
                    assert_eq!(after, before);
                }
            }
            assert_eq!(after[&VfIndex::new(0)], before[&VfIndex::new(0)], "the other VF is as it was");
        }
    }
    borrowed.give_back().await;
}

type Setting = fn(&VfAttributes) -> Option<bool>;

/// A VF that no driver is bound to has no network device, and waiting for one ends in time.
pub async fn an_unbound_vf_has_no_netdev(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let vf = borrowed.make_vfs(false).await[0];
    let limit = Duration::from_millis(200);
    let result = links.netdev_of(vf, limit).await;
    assert!(matches!(&result, Err(Error::Timeout { limit: at, .. }) if *at == limit), "{result:?}");
    borrowed.give_back().await;
}

/// A VF takes the MAC that was set for it when a driver binds to it, and not before (`sriov-cni` #232).
pub async fn a_vf_takes_its_mac_at_the_next_bind(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let uplink = uplink(links, subject).await;
    // igb gives a VF no MAC while it is down.
    works(links.set_up(uplink.index, true).await, "bring the uplink up");
    let vfs = borrowed.make_vfs(false).await;
    for round in 0..2 {
        let macs: Vec<_> =
            VfIndex::first(subject.vfs).map(|vf| (vf, station(vf.get() + 64 * round))).collect();
        let set = macs.iter().map(|&(vf, mac)| links.set_vf_attributes(uplink.index, vf, with_mac(mac)));
        works(futures::future::try_join_all(set).await, "set MACs side by side");
        let kept = works(links.vf_attributes(uplink.index).await, "read VF attributes");
        for (&address, &(vf, mac)) in vfs.iter().zip(&macs) {
            assert_eq!(kept[&vf].mac, mac);
            works(pci.set_driver(address, None).await, "unbind a VF");
        }
        futures::future::join_all(vfs.iter().map(|&vf| borrowed.bind(vf))).await;
        let netdevs = vfs.iter().map(|&vf| links.netdev_of(vf, subject.limit));
        let netdevs = works(futures::future::try_join_all(netdevs).await, "find the VFs' network devices");
        for ((netdev, &address), &(vf, mac)) in netdevs.iter().zip(&vfs).zip(&macs) {
            assert_eq!((netdev.parent, netdev.mac), (Some(address), mac), "VF {vf}: {netdev:?}");
        }
    }
    works(links.set_up(uplink.index, uplink.up).await, "bring the uplink back");
    borrowed.give_back().await;
    assert!(works(links.vf_attributes(uplink.index).await, "read VF attributes").is_empty());
}

async fn uplink(links: &dyn Links, subject: &Subject) -> Link {
    works(links.netdev_of(subject.pf, subject.limit).await, "find the uplink")
}

/// A locally administered address.
fn station(n: u16) -> MacAddress {
    let [high, low] = n.to_be_bytes();
    MacAddress::new([0x02, 0x77, 0x64, 0x70, high, low])
}

fn with_mac(mac: MacAddress) -> VfChange {
    VfChange { mac: Some(mac), ..VfChange::default() }
}
