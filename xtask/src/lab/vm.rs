//! The virtual machine: QEMU's arguments, booting it, and what is plugged into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::Stalls;
use super::build::Lab;
use super::job::{Job, Share};
use crate::progress::Part;
use crate::{process, workspace};

/// A boot takes 20 s alone on two cores, and longer beside a compiler.
const BOOT_LIMIT: Duration = Duration::from_mins(4);

/// What the agent puts into the shared folder when it begins to take jobs.
const READY: &str = "ready";

/// A pretend card in every VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Card {
    /// The environment variable that tells a test the address.
    pub(crate) variable: &'static str,
    /// The PF's address.
    pub(crate) pci: &'static str,
    /// The netdev at the far end of its cable.
    pub(crate) wire: &'static str,
    /// How many VFs it can have.
    pub(crate) vfs: u16,
}

/// The cards, in the order of their addresses: on QEMU's `igb`, and on its `nvme`.
pub(crate) const CARDS: [Card; 2] = [
    Card { variable: "LAB_CARD_8", pci: "0000:01:00.0", wire: "wire1", vfs: 8 },
    Card { variable: "LAB_CARD_64", pci: "0000:02:00.0", wire: "wire2", vfs: 64 },
];

/// How long a VM is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as this program at most.
    Ours,
    /// Until someone ends it.
    ItsOwn,
}

/// What makes time pass in a VM while its CPU is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Clock {
    /// The host's clock: whatever else the host does goes into what the guest measures
    Host,
    /// The guest's instructions, one a nanosecond: what it measures of its own work is the same each time. While its CPU
    /// has nothing to do, time passes as on the host. It takes twice as long
    Instructions,
}

/// A VM that has booted. Dropping one with `Life::Ours` ends it.
#[derive(Debug)]
pub(crate) struct Vm {
    /// Where jobs go.
    pub(crate) share: Share,
    child: Option<Child>,
}

impl Vm {
    /// Boots a VM whose shared folder, console and temporary files are in a directory.
    pub(crate) async fn boot(lab: &Lab, directory: &Path, life: Life, clock: Clock) -> Result<Self> {
        let directory = &directory.canonicalize().with_context(|| format!("no {}", directory.display()))?;
        let share = directory.join("share");
        fs::create_dir_all(share.join("jobs"))
            .with_context(|| format!("cannot create {}", share.display()))?;
        fs::create_dir_all(workspace::target())?;

        let part = Part::begin("booting a VM");
        let mut qemu = qemu(lab, directory, life, clock);
        let log = fs::File::create(directory.join("qemu.log"))?;
        qemu.stdout(log.try_clone()?).stderr(log);
        let mut child = qemu.spawn().context("cannot start qemu")?;
        let pid = child.id().context("qemu ended at once")?;
        let mut booting = KillOnDrop(Pid::from_raw(pid.cast_signed()));

        ready(&mut child, directory, &part).await?;
        part.end();
        booting.0 = None;
        let child = (life == Life::Ours).then_some(child);
        Ok(Self { share: Share::new(share, pid), child })
    }

    /// Reboots it, with whatever was written to its disk. Gives how long that took, from the request to the agent's word.
    pub(crate) async fn reboot(&mut self) -> Result<Duration> {
        let child = self.child.as_mut().context("a VM that is not ours is not rebooted")?;
        let directory = self.share.directory().parent().context("a VM without a directory")?.to_owned();
        let since = Instant::now();
        let part = Part::begin("rebooting the VM");
        fs::remove_file(self.share.directory().join(READY)).context("the VM to be rebooted is not up")?;
        self.share.begin(&Job {
            argv: ["systemctl", "reboot"].map(str::to_owned).to_vec(),
            env: Vec::new(),
            limit: BOOT_LIMIT,
            merge: true,
        })?;
        ready(child, &directory, &part).await?;
        part.end();
        Ok(since.elapsed())
    }

    /// Has it stand still now and then, until what this gives is dropped.
    pub(crate) fn stall(&self) -> Option<Stalls> {
        Pid::from_raw(self.share.pid().cast_signed()).map(Stalls::begin)
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("cannot end the VM")?;
        }
        Ok(())
    }
}

/// Waits until the agent in the guest says that it is up.
async fn ready(child: &mut Child, directory: &Path, part: &Part) -> Result<()> {
    let since = Instant::now();
    let console = directory.join("console.log");
    while !directory.join("share").join(READY).exists() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(status) = child.try_wait()? {
            bail!("the VM ended while booting ({status}):{}", end_of(&[directory.join("qemu.log"), console]));
        }
        if since.elapsed() > BOOT_LIMIT {
            bail!("the VM did not boot within {BOOT_LIMIT:?}; its console ends with:{}", end_of(&[console]));
        }
        part.at(&console_line(&console));
    }
    Ok(())
}

/// A VM that is not to outlive an interrupted or failed boot.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// QEMU from the tools root, which has its own libraries: it runs on any host.
fn qemu(lab: &Lab, directory: &Path, life: Life, clock: Clock) -> Command {
    let tools = &lab.tools;
    let libraries = tools.join("usr/lib/x86_64-linux-gnu");
    let loader = tools.join("lib64/ld-linux-x86-64.so.2");
    let mut qemu = match life {
        Life::Ours => process::command(&loader.to_string_lossy()),
        Life::ItsOwn => {
            // A session of its own: the terminal's Ctrl-C and hang-up are not for it.
            let mut command = Command::new("setsid");
            command.arg(loader).stdin(Stdio::null());
            command
        }
    };
    qemu.arg("--library-path").arg(format!(
        "{}:{}",
        libraries.display(),
        libraries.join("pulseaudio").display()
    ));
    qemu.arg(tools.join("usr/bin/qemu-system-x86_64"));
    qemu.env("QEMU_MODULE_DIR", libraries.join("qemu")).env("TMPDIR", directory);
    for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
        qemu.arg("-L").arg(tools.join(firmware));
    }
    // Never KVM: where this runs, /dev/kvm may be there and hang the VM for ever. One CPU boots faster than two.
    match clock {
        Clock::Host => qemu.args(["-accel", "tcg,thread=multi"]),
        Clock::Instructions => qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=0"]),
    };
    qemu.args(["-cpu", "max", "-machine", "q35", "-smp", "1", "-m", "3072"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"]);
    qemu.arg("-serial").arg(format!("file:{}", directory.join("console.log").display()));
    qemu.arg("-kernel").arg(lab.image.join("vmlinuz")).arg("-initrd").arg(lab.image.join("initrd"));
    qemu.args([
        "-append",
        "console=ttyS0 loglevel=4 panic=-1 oops=panic hugepages=256 mitigations=off random.trust_cpu=on systemd.show_status=1",
    ]);
    // Writes go to a temporary file that ends with the VM, also across reboots of the guest.
    let disk = lab.image.join("root.img");
    qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio,snapshot=on", escaped(&disk)));
    folder(&mut qemu, "lab", &directory.join("share"), "");
    folder(&mut qemu, "target", &workspace::target(), ",readonly=on");
    qemu.args(["-device", "virtio-rng-pci"]);
    cards(&mut qemu);
    qemu
}

/// A folder of the host in the guest.
fn folder(qemu: &mut Command, tag: &str, path: &Path, more: &str) {
    qemu.arg("-fsdev").arg(format!("local,id={tag},path={},security_model=none{more}", escaped(path)));
    qemu.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}

/// The devices that the pretend card's driver takes: each behind a root port, on a bus of its own.
fn cards(qemu: &mut Command) {
    qemu.args(["-device", "pcie-root-port,id=port1,chassis=1,slot=1,addr=10.0"]);
    qemu.args(["-device", "pcie-root-port,id=port2,chassis=2,slot=2,addr=11.0"]);
    qemu.args(["-netdev", "hubport,id=hub,hubid=0", "-device", "igb,bus=port1,netdev=hub"]);
    qemu.args(["-device", "nvme-subsys,id=subsystem", "-device"]);
    qemu.arg(
        "nvme,bus=port2,serial=lab,subsys=subsystem,sriov_max_vfs=64,sriov_vq_flexible=128,sriov_vi_flexible=64,\
         max_ioqpairs=130,msix_qsize=66",
    );
}

/// A path within a QEMU option, where a comma ends it unless doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The console's last line, without colours.
fn console_line(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let end = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    end.trim_end().lines().next_back().map(plain).unwrap_or_default()
}

/// A line without escape sequences and carriage returns.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => while characters.next().is_some_and(|next| !next.is_ascii_alphabetic()) {},
            character if character.is_control() => {}
            character => plain.push(character),
        }
    }
    plain
}

/// The ends of log files, for an error message.
fn end_of(logs: &[PathBuf]) -> String {
    let ends = logs.iter().map(|log| {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<String> = text.lines().map(plain).collect();
        process::last_lines(&lines.join("\n"), 15)
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_line_is_shown_without_its_colours() {
        assert_eq!(
            plain("[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mudev\x1b[0m.\r"),
            "[  OK  ] Started udev."
        );
        assert_eq!(plain("\x1b[K"), "");
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        assert_eq!(escaped(Path::new("/a,b")), "/a,,b");
    }
}
