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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::runtime;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::error::{Error, Result};
use crate::nouns::IfIndex;

/// udev's files.
#[derive(Debug)]
pub(super) struct Udev {
    root: PathBuf,
    watch: Mutex<Option<Arc<Watch>>>,
}

/// The watch on udev's records, whose directories are watched while somebody listens.
///
/// The kernel takes 15 ms and more to forget a directory (`fsnotify_wait_marks_destroyed()` in `fs/notify/mark.c`), and keeps who
/// closes the watch, or ends, until then: whoever has listened last begins with it.
#[derive(Debug)]
struct Watch {
    changes: broadcast::Sender<Change>,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    watches: Watches,
    directories: Vec<WatchDescriptor>,
    listeners: usize,
}

/// Someone who hears of changes in udev's records.
#[derive(Debug)]
pub(super) struct Listener {
    changes: broadcast::Receiver<Change>,
    watch: Arc<Watch>,
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
        Self { root, watch: Mutex::new(None) }
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
    pub(super) fn listen(&self, runtime: &runtime::Handle) -> Result<Listener> {
        let mut watch = lock(&self.watch);
        let listener = match &*watch {
            Some(watch) => self.listen_to(watch),
            None => self.watch(runtime).and_then(|new| self.listen_to(watch.insert(new))),
        };
        listener.map_err(|error| Error::io(format!("watch {}", self.data().display()), error))
    }

    fn listen_to(&self, watch: &Arc<Watch>) -> io::Result<Listener> {
        let mut watched = lock(&watch.watched);
        if watched.listeners == 0 {
            // udev makes the directory of its records with the first. Watch the one above first, then try.
            watched.add(&self.below("run/udev"), WatchMask::CREATE | WatchMask::MOVED_TO)?;
            match watched.add(&self.data(), RECORDS) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        watched.listeners += 1;
        Ok(Listener { changes: watch.changes.subscribe(), watch: Arc::clone(watch) })
    }

    fn watch(&self, runtime: &runtime::Handle) -> io::Result<Arc<Watch>> {
        let _entered = runtime.enter();
        let inotify = Inotify::init()?;
        let watched = Watched { watches: inotify.watches(), directories: Vec::new(), listeners: 0 };
        let mut events = inotify.into_event_stream(vec![0; 16 << 10])?;
        let (changes, _) = broadcast::channel(Self::CHANGES);
        let watch = Arc::new(Watch { changes, watched: Mutex::new(watched) });
        let (ours, data) = (Arc::clone(&watch), self.data());
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                let name = event.ok().and_then(|event| event.name);
                let change = match name.as_ref().and_then(|name| name.to_str()) {
                    Some("data") => {
                        // An error is that of a directory that has gone again.
                        let _ = lock(&ours.watched).add(&data, RECORDS);
                        Change::Some
                    }
                    Some(name) => match name.strip_prefix('n').and_then(|index| index.parse().ok()) {
                        Some(index) => Change::Of(IfIndex(index)),
                        None => continue, // another subsystem's record
                    },
                    None => Change::Some, // the queue ran over
                };
                // An error says that nobody listens now.
                let _ = ours.changes.send(change);
            }
        });
        Ok(watch)
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

impl Listener {
    /// The next change.
    pub(super) async fn next(&mut self) -> std::result::Result<Change, RecvError> {
        self.changes.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut watched = lock(&self.watch.watched);
        watched.listeners -= 1;
        if watched.listeners == 0 {
            watched.forget();
        }
    }
}

impl Watched {
    fn add(&mut self, directory: &Path, what: WatchMask) -> io::Result<()> {
        let directory = self.watches.add(directory, what)?;
        self.directories.push(directory);
        Ok(())
    }

    fn forget(&mut self) {
        for directory in std::mem::take(&mut self.directories) {
            // An error is that of a directory that has gone.
            let _ = self.watches.remove(directory);
        }
    }
}

/// What happens where udev writes a record.
const RECORDS: WatchMask = WatchMask::MOVED_TO.union(WatchMask::CLOSE_WRITE);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut changes = udev.listen(&runtime::Handle::current()).unwrap();
        fs::create_dir(&data).unwrap();
        assert!(matches!(changes.next().await.unwrap(), Change::Some));
        fs::write(data.join(".n7.tmp"), "I:1\n").unwrap();
        fs::rename(data.join(".n7.tmp"), data.join("n7")).unwrap();
        assert!(matches!(changes.next().await.unwrap(), Change::Of(IfIndex(7))));
        assert!(udev.has_done_with(IfIndex(7)));
    }

    #[tokio::test]
    async fn directories_are_watched_while_somebody_listens() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("run/udev/data");
        fs::create_dir_all(&data).unwrap();
        let udev = Udev::new(root.path().to_owned());
        let listen = || udev.listen(&runtime::Handle::current()).unwrap();
        let watched = |listener: &Listener| lock(&listener.watch.watched).directories.len();
        let (first, second) = (listen(), listen());
        drop(first);
        assert_eq!(watched(&second), 2);
        let watch = Arc::clone(&second.watch);
        drop(second);
        assert_eq!(lock(&watch.watched).directories.len(), 0, "forgotten with the last");
        fs::write(data.join("n6"), "I:1\n").unwrap();
        let mut again = listen();
        fs::write(data.join("n7"), "I:1\n").unwrap();
        loop {
            match again.next().await.unwrap() {
                Change::Of(index) => break assert_eq!(index, IfIndex(7)),
                Change::Some => {} // the directories that were forgotten
            }
        }
    }
}
