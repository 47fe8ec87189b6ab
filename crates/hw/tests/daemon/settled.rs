//! What is waited for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vdpa_hw::{Error, IfIndex, Links, RtnlLinks};

use super::{LIMIT, SOON, named, run};

/// A root of file trees in which a udev seems to run.
fn with_udev() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("run/udev/data")).unwrap();
    fs::write(root.path().join("run/udev/control"), "").unwrap();
    root
}

/// Writes udev's record of a device as udev does: whole or not at all.
fn record(root: &Path, link: IfIndex, text: &str) {
    let data = root.join("run/udev/data");
    fs::write(data.join(format!(".#n{link}")), text).unwrap();
    fs::rename(data.join(format!(".#n{link}")), data.join(format!("n{link}"))).unwrap();
}

tests! {
    async fn where_no_udev_runs_names_are_final() {
        run("ip link add d0 type bridge");
        let root = tempfile::tempdir().unwrap();
        let links = RtnlLinks::new(root.path());
        let d0 = named(&links, "d0").await;
        assert_eq!(links.settled(&[d0.index], Duration::ZERO).await.unwrap(), [d0]);
        let error = links.settled(&[IfIndex(9999)], Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, Error::NoLink(IfIndex(9999))), "{error:?}");
    }

    /// Pitfall 11: a representor that udev is about to rename must not become a port yet. udev's record of it says when,
    /// without waiting for every other event of the host, as `udevadm settle` does.
    async fn a_device_is_settled_when_udev_has_renamed_it() {
        run("ip link add eth0 type bridge");
        let root = with_udev();
        let links = RtnlLinks::new(root.path());
        let index = named(&links, "eth0").await.index;
        let wanted = [index];
        let settled = links.settled(&wanted, LIMIT);
        tokio::pin!(settled);
        assert!(tokio::time::timeout(SOON, &mut settled).await.is_err(), "udev has not begun");
        record(root.path(), index, "E:ID_RENAMING=1\n");
        run("ip link set eth0 name enp67s0f0");
        assert!(tokio::time::timeout(SOON, &mut settled).await.is_err(), "the rules are still being applied");
        record(root.path(), index, "I:5\nE:ID_NET_NAME=enp67s0f0\nE:ID_RENAMING=1\n");
        let settled = settled.await.unwrap();
        assert_eq!(settled[0].name.as_str(), "enp67s0f0");
    }

    async fn a_device_that_goes_while_udev_is_awaited_is_missed_at_once() {
        run("ip link add eth0 type bridge");
        let root = with_udev();
        let links = RtnlLinks::new(root.path());
        let index = named(&links, "eth0").await.index;
        let wanted = [index];
        let settled = links.settled(&wanted, LIMIT);
        tokio::pin!(settled);
        assert!(tokio::time::timeout(SOON, &mut settled).await.is_err());
        run("ip link del eth0");
        let error = tokio::time::timeout(LIMIT / 2, settled).await.expect("heard of at once").unwrap_err();
        assert!(matches!(error, Error::NoLink(gone) if gone == index), "{error:?}");
    }

    async fn a_name_that_does_not_come_is_a_timeout_that_says_whose() {
        run("ip link add eth0 type bridge");
        run("ip link add eth1 type bridge");
        let root = with_udev();
        let links = RtnlLinks::new(root.path());
        let wanted = [named(&links, "eth0").await.index, named(&links, "eth1").await.index];
        record(root.path(), wanted[1], "I:1\n");
        let error = links.settled(&wanted, SOON).await.unwrap_err();
        let Error::Timeout { seen, limit, .. } = error else { panic!("{error:?}") };
        assert_eq!((seen.as_str(), limit), ("1 of 2 not yet named: eth0", SOON));
    }

    async fn a_function_without_a_device_is_a_timeout() {
        let links = RtnlLinks::default();
        let error = links.netdev_of("0000:43:00.0".parse().unwrap(), SOON).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the network device of 0000:43:00.0 did not come within 100ms: saw none"
        );
    }
}
