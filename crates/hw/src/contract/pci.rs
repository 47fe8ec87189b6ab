//! The rules of [`Pci`].

use vdpa_netlink::Errno;

use super::{Borrowed, Subject, refused, works};
use crate::error::Error;
use crate::nouns::{DriverName, PciAddress, Vf};
use crate::pci::{Pci, Role};

/// VFs are switched on and off, each count by way of 0, and are found by their index.
pub async fn counts_go_through_zero(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let &Subject { pf, vfs: count, limit, .. } = subject;
    let vfs = borrowed.make_vfs(false).await;
    for (index, &address) in (0..).zip(&vfs) {
        let vf = works(pci.function(address).await, "read a VF");
        assert_eq!((vf.address, vf.role), (address, Role::Vf(Vf::new(pf, index))), "VFs are in order");
    }
    let all = works(pci.functions().await, "list the functions");
    let listed = all.iter().filter(|function| matches!(function.role, Role::Vf(vf) if vf.pf == pf));
    assert_eq!(listed.count(), vfs.len(), "the list has every VF");
    assert!(all.is_sorted_by_key(|function| function.address), "the list is in order");

    works(pci.set_vf_count(pf, count, limit).await, "switch as many VFs on as there are");
    let errno = refused(pci.set_vf_count(pf, count - 1, limit).await, "another count that is not 0");
    assert_eq!(errno, Errno::EBUSY);
    assert_eq!(borrowed.sriov().await.vfs, vfs, "a refused count changes nothing");
    borrowed.switch_vfs(0).await;
    assert_eq!((borrowed.sriov().await.num_vfs, borrowed.sriov().await.vfs), (0, vec![]));
    let gone = pci.function(vfs[0]).await;
    assert!(matches!(gone, Err(Error::NoFunction(at)) if at == vfs[0]), "{gone:?}");
    borrowed.switch_vfs(count - 1).await;
    assert_eq!(borrowed.sriov().await.vfs, vfs[..vfs.len() - 1], "VFs come back where they were");
    borrowed.give_back().await;
}

/// More VFs than the card has are refused, and the error says how many it has.
pub async fn too_many_vfs_are_refused(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let total = borrowed.sriov().await.total_vfs;
    let Some(too_many) = total.checked_add(1) else { return borrowed.give_back().await };
    let result = pci.set_vf_count(subject.pf, too_many, subject.limit).await;
    let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains(&too_many.to_string()) && text.contains(&total.to_string()), "{text}");
    assert_eq!(refused(result, "more VFs than there can be"), Errno::ERANGE);
    assert_eq!(borrowed.sriov().await.num_vfs, 0);
    borrowed.give_back().await;
}

/// With autoprobe on, VFs are bound when they are there, or soon after.
pub async fn with_autoprobe_on_vfs_are_bound(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let vfs = borrowed.make_vfs(true).await;
    assert!(borrowed.sriov().await.autoprobe);
    for vf in vfs {
        // A driver may ask for its probes to run apart from the bus (PROBE_PREFER_ASYNCHRONOUS).
        let deadline = tokio::time::Instant::now() + subject.limit;
        while borrowed.driver(vf).await.as_ref() != Some(&subject.driver) {
            assert!(tokio::time::Instant::now() < deadline, "{vf} is not bound to {}", subject.driver);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        borrowed.bind(vf).await; // as it is
    }
    borrowed.give_back().await;
}

/// With autoprobe off, VFs are unbound, bind all the same, and keep no `driver_override` of it.
pub async fn vfs_bind_though_autoprobe_is_off(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let vfs = borrowed.make_vfs(false).await;
    for &vf in &vfs {
        assert_eq!(borrowed.driver(vf).await, None, "{vf} is not bound by itself");
        works(pci.set_driver(vf, None).await, "unbind what is not bound");
    }
    let binds = vfs.iter().map(|&vf| borrowed.bind(vf));
    futures::future::join_all(binds).await;
    works(pci.set_driver(vfs[0], None).await, "unbind the first");
    let drivers = works(pci.drivers(&vfs).await, "list the drivers of the VFs");
    let bound = |at: usize| (at > 0).then(|| subject.driver.clone());
    assert_eq!(
        drivers,
        (0..vfs.len()).map(bound).collect::<Vec<_>>(),
        "drivers are listed in the order asked for"
    );
    borrowed.bind(vfs[0]).await;
    for &vf in &vfs {
        let function = works(pci.function(vf).await, "read a VF");
        assert_eq!(function.driver.as_ref(), Some(&subject.driver), "{vf} is bound");
        assert_eq!(function.driver_override, None, "driver_override of {vf} is as it was");
        assert_eq!(works(pci.holders(vf).await, "look for holders"), []);
        borrowed.bind(vf).await; // as it is
    }
    works(pci.set_driver(vfs[1], None).await, "unbind a VF");
    assert_eq!(borrowed.driver(vfs[1]).await, None);
    assert_eq!(borrowed.driver(vfs[0]).await.as_ref(), Some(&subject.driver), "the other VF is as it was");
    borrowed.bind(vfs[1]).await;
    assert_eq!(borrowed.driver(vfs[1]).await.as_ref(), Some(&subject.driver));
    borrowed.give_back().await;
}

/// A driver that is not loaded is an error of its own, and costs the function nothing.
pub async fn an_unknown_driver_is_named_and_nothing_is_unbound(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let vfs = borrowed.make_vfs(false).await;
    borrowed.bind(vfs[0]).await;
    let unknown: DriverName = works("no-such-driver".parse().map_err(|_| Error::NotPf(subject.pf)), "a name");
    for vf in [vfs[0], vfs[1]] {
        let before = works(pci.function(vf).await, "read a VF");
        let result = pci.set_driver(vf, Some(&unknown)).await;
        assert!(matches!(&result, Err(Error::NoDriver(name)) if *name == unknown), "{result:?}");
        assert_eq!(works(pci.function(vf).await, "read a VF"), before, "{vf} is as it was");
    }
    borrowed.give_back().await;
}

/// A VF is no PF, and where nothing is, is no function.
pub async fn addresses_that_are_no_pf_are_told_apart(pci: &dyn Pci, subject: &Subject) {
    let borrowed = Borrowed::take(pci, subject).await;
    let vf = borrowed.make_vfs(false).await[0];
    let nowhere = works(PciAddress::new(0xfffe, 0xff, 31, 7).ok_or(Error::NotPf(vf)), "an address");
    let limit = subject.limit;
    for result in [pci.set_vf_count(vf, 1, limit).await, pci.set_autoprobe(vf, true).await] {
        assert!(matches!(result, Err(Error::NotPf(at)) if at == vf), "{result:?}");
    }
    let results = [
        pci.function(nowhere).await.map(drop),
        pci.set_vf_count(nowhere, 1, limit).await,
        pci.set_autoprobe(nowhere, true).await,
        pci.set_driver(nowhere, None).await,
        pci.holders(nowhere).await.map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(Error::NoFunction(at)) if at == nowhere), "{result:?}");
    }
    borrowed.give_back().await;
}
