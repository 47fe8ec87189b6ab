//! A guest with a kernel that pings: what `lab/pinger` makes of a kernel, and what it says on its console.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where Debian's package of its installer has a kernel, and an initramfs with its modules.
const INSTALLER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";

/// The longest that a guest may take for what it does in seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(3);

/// A guest that pings, its initramfs and its console below one directory.
pub(crate) struct Pinger {
    initramfs: PathBuf,
    console: PathBuf,
}

impl Pinger {
    /// Makes its initramfs.
    pub(crate) fn new(directory: &Path) -> Self {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/pinger");
        let unpacked = directory.join("installer");
        let initramfs = directory.join("initramfs");
        fs::create_dir(&unpacked).unwrap();
        let script = "gzip -dc \"$1/initrd.gz\" | (cd \"$2\" && cpio --quiet -id 'lib/modules/*')
                      \"$3/initramfs.sh\" \"$2\"/lib/modules/*/kernel /bin/busybox \"$4\"";
        let made = Command::new("sh")
            .args(["-ec", script, "sh", INSTALLER])
            .args([&unpacked, Path::new(sources), &initramfs])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { initramfs, console: directory.join("console") }
    }

    /// Has the domain of a template boot it: it gives the device with this MAC an address, and pings from there.
    pub(crate) fn in_domain(&self, template: &str, mac: &str, address: &str, peer: &str) -> String {
        // No MSI-X: where a vhost-user device has it, QEMU 7.2 without KVM dies of the guest's unmasking
        // (`kvm_virtio_pci_irqfd_use` takes what only KVM has).
        let os = format!(
            "<kernel>{INSTALLER}/linux</kernel><initrd>{}</initrd>\
             <cmdline>console=ttyS0 pci=nomsi panic=-1 mitigations=off nic={mac},{address},{peer}</cmdline></os>",
            self.initramfs.display()
        );
        let console =
            format!("<serial type='file'><source path='{}'/></serial></devices>", self.console.display());
        template
            .replace("<memory unit='MiB'>64<", "<memory unit='MiB'>128<")
            .replace("</os>", &os)
            .replace("</devices>", &console)
    }

    /// What it has said so far.
    pub(crate) fn console(&self) -> String {
        // A guest that has just begun has no console.
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// How many of its pings were answered so far.
    pub(crate) fn answers(&self) -> usize {
        self.console().lines().filter(|line| line.contains(" answers ")).count()
    }

    /// Waits until so many of its pings were answered.
    pub(crate) async fn has_answers(&self, count: usize, when: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.answers() < count {
            assert!(Instant::now() < deadline, "no answers {when}: {}", self.console());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
