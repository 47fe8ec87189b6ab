//! What udev has done with a network device.
//!
//! udev keeps a record of every device that it has processed: `/run/udev/data/nINDEX` for network
//! devices, written to a temporary file and renamed. That there is one says nothing: from version 249 on
//! one is written *before* the rename too, which has only `E:ID_RENAMING=1` (`rename_netif` in systemd's
//! `src/udev/udev-event.c`). The time of the first processing (`I:`) comes when all rules have been applied, and
//! then the name is final. The record goes on saying `ID_RENAMING` until the uevent of the rename has
//! been processed as well, which stands in the queue behind the devices that came meanwhile: waiting for that
//! would make the first of 64 VFs wait for the last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use inotify::{Inotify, WatchMask};
use tokio::runtime;
use tokio::sync::{OnceCell, broadcast};

use crate::error::{Error, Result};
use crate::nouns::IfIndex;

/// udev's files.
#[derive(Debug)]
pub(super) struct Udev {
    root: PathBuf,
    changes: OnceCell<broadcast::Sender<Change>>,
}

/// A change in udev's records.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// This device's record was written.
    Of(IfIndex),
    /// It is not known whose.
    Some,
}

impl Udev {
    /// Changes that are kept for a listener who is slow; a VF makes about five.
    const CHANGES: usize = 4096;

    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, changes: OnceCell::new() }
    }

    /// Whether a udev runs that sees the devices of this network namespace.
    pub(super) fn is_in_charge(&self) -> bool {
        // The socket exists from boot on, though the daemon may only start with the first event.
        self.below("run/udev/control").exists() && !self.is_namespace_apart()
    }

    /// Whether udev has done with a device: its name is final.
    pub(super) fn has_done_with(&self, link: IfIndex) -> bool {
        fs::read_to_string(self.data().join(format!("n{link}"))).is_ok_and(|record| is_done(&record))
    }

    /// Changes of udev's records from now on.
    pub(super) async fn listen(&self, runtime: &runtime::Handle) -> Result<broadcast::Receiver<Change>> {
        let start = || async { self.watch(runtime) };
        match self.changes.get_or_try_init(start).await {
            Ok(changes) => Ok(changes.subscribe()),
            Err(error) => Err(Error::io(format!("watch {}", self.data().display()), error)),
        }
    }

    fn watch(&self, runtime: &runtime::Handle) -> io::Result<broadcast::Sender<Change>> {
        let _entered = runtime.enter();
        let inotify = Inotify::init()?;
        let mut watches = inotify.watches();
        let records = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE;
        let data = self.data();
        // udev makes the directory with its first record. Watch the one above first, then try.
        watches.add(self.below("run/udev"), WatchMask::CREATE | WatchMask::MOVED_TO)?;
        match watches.add(&data, records) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut events = inotify.into_event_stream(vec![0; 16 << 10])?;
        let (changes, _) = broadcast::channel(Self::CHANGES);
        let sender = changes.clone();
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                let name = event.ok().and_then(|event| event.name);
                let change = match name.as_ref().and_then(|name| name.to_str()) {
                    Some("data") => {
                        // An error is that of a directory that has gone again.
                        let _ = events.watches().add(&data, records);
                        Change::Some
                    }
                    Some(name) => match name.strip_prefix('n').and_then(|index| index.parse().ok()) {
                        Some(index) => Change::Of(IfIndex(index)),
                        None => continue, // another subsystem's record
                    },
                    None => Change::Some, // the queue ran over
                };
                // An error says that nobody listens now.
                let _ = sender.send(change);
            }
        });
        Ok(changes)
    }

    /// udev hears of the devices of the namespace that it was started in, which is that of process 1.
    fn is_namespace_apart(&self) -> bool {
        let namespace = |process: &str| fs::read_link(self.below("proc").join(process).join("ns/net")).ok();
        match (namespace("self"), namespace("1")) {
            (Some(ours), Some(first)) => ours != first,
            _ => false,
        }
    }

    fn data(&self) -> PathBuf {
        self.below("run/udev/data")
    }

    fn below(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

fn is_done(record: &str) -> bool {
    record.lines().any(|line| line.starts_with("I:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_final_when_the_rules_have_been_applied() {
        assert!(!is_done(""));
        assert!(!is_done("E:ID_RENAMING=1\n"), "written before the rename");
        let renamed = "I:1234567\nE:ID_NET_DRIVER=mlx5_core\nE:ID_NET_NAME_PATH=enp67s0f0\nE:ID_RENAMING=1\n";
        assert!(is_done(renamed));
    }

    #[test]
    fn without_its_socket_udev_is_not_in_charge() {
        let root = tempfile::tempdir().unwrap();
        let udev = Udev::new(root.path().to_owned());
        assert!(!udev.is_in_charge());
        fs::create_dir_all(root.path().join("run/udev")).unwrap();
        fs::write(root.path().join("run/udev/control"), "").unwrap();
        assert!(udev.is_in_charge());
    }

    #[test]
    fn in_a_network_namespace_apart_udev_is_not_in_charge() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/udev")).unwrap();
        fs::write(root.path().join("run/udev/control"), "").unwrap();
        for (process, namespace) in [("self", "net:[4026532000]"), ("1", "net:[4026531840]")] {
            let directory = root.path().join("proc").join(process).join("ns");
            fs::create_dir_all(&directory).unwrap();
            std::os::unix::fs::symlink(namespace, directory.join("net")).unwrap();
        }
        assert!(!Udev::new(root.path().to_owned()).is_in_charge());
    }

    #[tokio::test]
    async fn records_are_heard_of_even_if_their_directory_comes_later() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("run/udev/data");
        fs::create_dir_all(root.path().join("run/udev")).unwrap();
        let udev = Udev::new(root.path().to_owned());
        let mut changes = udev.listen(&runtime::Handle::current()).await.unwrap();
        fs::create_dir(&data).unwrap();
        assert!(matches!(changes.recv().await.unwrap(), Change::Some));
        fs::write(data.join(".n7.tmp"), "I:1\n").unwrap();
        fs::rename(data.join(".n7.tmp"), data.join("n7")).unwrap();
        assert!(matches!(changes.recv().await.unwrap(), Change::Of(IfIndex(7))));
        assert!(udev.has_done_with(IfIndex(7)));
    }
}
