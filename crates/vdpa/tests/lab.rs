//! The contract suites on a real kernel and a real systemd: management devices of `vdpa_sim_net` and of
//! the pretend card's VFs, dpdk-vdpa in transient units. `cargo xtask hw-test --tier lab` runs them, each
//! in a VM that it may change as it likes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vdpa_datapath::dpdk::{
    DpdkHost, DpdkVdpa as _, Instance, Launcher, Limits, Mode, Queues, Settings, Spec, unit_name,
};
use vdpa_datapath::{KernelVdpa as _, Linux, MgmtDevName, contract};
use vdpa_hw::{PciAddress, Vf};

fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn kernel() -> Linux {
    Linux::new(Path::new("/sys"), Path::new("/dev"))
}

/// The pretend card with eight VFs.
fn pf() -> PciAddress {
    std::env::var("LAB_CARD_8").expect("LAB_CARD_8 names the pretend card").parse().unwrap()
}

/// The address of VF `index`, after the card has been given two VFs and they have their driver.
async fn vf_address(index: u16) -> PciAddress {
    let card = PathBuf::from(format!("/sys/bus/pci/devices/{}", pf()));
    if fs::read_to_string(card.join("sriov_numvfs")).unwrap().trim() == "0" {
        fs::write(card.join("sriov_numvfs"), "2").unwrap();
    }
    let vf = card.join(format!("virtfn{index}"));
    wait_for("the VF's driver", || vf.join("driver").exists()).await;
    fs::read_link(vf).unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
}

async fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// dpdk-vdpa in systemd's care, supervised by the program under test.
fn host(group: Option<u32>) -> DpdkHost {
    let program = std::env::var_os("VDPA_BIN").expect("VDPA_BIN names the program under test");
    DpdkHost::new(Settings {
        runtime_dir: "/run/vdpa".into(),
        supervisor: vec![program, "supervise".into()],
        group,
        launcher: Launcher::of_host(Path::new("/")),
        limits: Limits::default(),
    })
}

async fn spec(index: u16) -> Spec {
    Spec::new(Vf::new(pf(), index), vf_address(index).await, "/usr/local/bin/dpdk-vdpa")
}

/// How many huge pages are free, and what lies in the file system for them.
fn huge_pages() -> (u32, usize) {
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").unwrap();
    (free.trim().parse().unwrap(), fs::read_dir("/dev/hugepages").unwrap().count())
}

/// The process once systemd has brought it back: ready again, and another than before.
async fn ready_again(host: &DpdkHost, vf: Vf, before: &Instance) -> Instance {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let now = host.observe(vf).await.unwrap().expect("it is still ours");
        if now.is_ready() && now.pid() != before.pid() {
            return now;
        }
        assert!(Instant::now() < deadline, "not back within two minutes: {now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_contract_holds_on_the_kernels_vdpa_simulator() {
    run("modprobe", &["vdpa_sim_net"]);
    let mgmtdev: MgmtDevName = "vdpasim_net".parse().unwrap();
    contract::kernel::the_management_device_is_listed(&kernel(), &mgmtdev).await;
    contract::kernel::lifecycle(&kernel(), &mgmtdev).await;
    contract::kernel::a_name_is_taken_once(&kernel(), &mgmtdev).await;
    contract::kernel::one_is_looked_up_as_all_are_listed(&kernel(), &mgmtdev).await;
    contract::kernel::what_is_missing_is_named_in_the_kernels_words(&kernel()).await;
    contract::kernel::vhost_gives_a_character_device(&kernel(), &mgmtdev).await;
    contract::kernel::a_bound_device_can_be_deleted(&kernel(), &mgmtdev).await;
    contract::kernel::an_unsupported_queue_limit_is_left_out(&kernel(), &mgmtdev).await;
    contract::kernel::an_absent_management_device_is_diagnosed(&kernel(), "0000:99:00.0".parse().unwrap())
        .await;
}

#[tokio::test]
async fn the_contract_holds_on_a_vf_of_the_pretend_card() {
    let function = vf_address(0).await;
    let mgmtdev = kernel().mgmtdev_of(function).await.unwrap().name;
    contract::kernel::the_management_device_is_listed(&kernel(), &mgmtdev).await;
    contract::kernel::lifecycle(&kernel(), &mgmtdev).await;
    contract::kernel::a_name_is_taken_once(&kernel(), &mgmtdev).await;
    contract::kernel::vhost_gives_a_character_device(&kernel(), &mgmtdev).await;
    contract::kernel::a_bound_device_can_be_deleted(&kernel(), &mgmtdev).await;
}

#[tokio::test]
async fn the_contract_holds_for_dpdk_vdpa_in_units_of_systemd() {
    let (host, one, other) = (host(None), spec(0).await, spec(1).await);
    contract::dpdk::lifecycle(&host, &one).await;
    contract::dpdk::counters_are_of_the_guests_queues(&host, &one).await;
    contract::dpdk::two_vfs_do_not_meet(&host, &one, &other).await;
    contract::dpdk::a_second_start_is_refused(&host, &one).await;
    let nowhere = Spec { device: "0000:99:00.0".parse().unwrap(), ..one };
    contract::dpdk::an_unknown_device_leaves_nothing(&host, &nowhere).await;
    let left = run("systemctl", &["list-units", "--all", "--no-legend", "vdpa-dpdk-*"]);
    assert_eq!(left, "", "no unit is left behind");
}

#[tokio::test]
async fn systemd_brings_a_killed_datapath_back() {
    let (host, spec) = (host(None), spec(0).await);
    let unit = unit_name(spec.vf);
    let at_first = huge_pages();
    assert_ne!(at_first.0, 0, "dpdk-vdpa gets huge pages here");
    let mut instance = host.start(&spec).await.unwrap();
    assert!(huge_pages().0 < at_first.0, "dpdk-vdpa uses huge pages here");
    for victim in ["program", "supervisor"] {
        let pid = match victim {
            "program" => instance.pid().unwrap().to_string(),
            _ => run("systemctl", &["show", "--value", "--property=MainPID", &unit]),
        };
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
        instance = ready_again(&host, spec.vf, &instance).await;
        assert!(instance.socket.exists(), "the socket is served again after the {victim} was killed");
    }
    assert_eq!(run("systemctl", &["show", "--value", "--property=NRestarts", &unit]), "2");
    host.stop(spec.vf).await.unwrap();
    assert_eq!(huge_pages(), at_first, "no huge page stays behind, not even of the killed");
}

#[tokio::test]
async fn a_guests_group_may_use_the_socket_and_others_may_not() {
    let host = host(Some(4711));
    let spec = spec(0).await;
    let instance = host.start(&spec).await.unwrap();
    let shown = run("stat", &["--format=%a %g", instance.socket.to_str().unwrap()]);
    assert_eq!(shown, "770 4711");
    let directory = instance.socket.parent().unwrap().to_str().unwrap();
    assert_eq!(run("stat", &["--format=%a %u %g", directory]), "2770 0 4711");
    host.stop(spec.vf).await.unwrap();
}

/// QEMU with a network card behind `socket`, on which it listens; its firmware tries to boot from it again and again, and
/// so drives it.
struct Qemu(std::process::Child);

impl Qemu {
    fn listening_on(socket: &Path) -> Self {
        let chardev = format!("socket,id=net,path={},server=on,wait=off", socket.display());
        let child = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-machine", "q35,memory-backend=ram", "-m", "64", "-nodefaults"])
            .args(["-object", "memory-backend-memfd,id=ram,size=64M,share=on", "-display", "none"])
            .args(["-chardev", &chardev, "-netdev", "vhost-user,id=net,chardev=net"])
            .args(["-device", "virtio-net-pci,netdev=net,bootindex=1", "-boot", "reboot-timeout=100"])
            .spawn()
            .expect("qemu-system-x86_64");
        Self(child)
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In client mode QEMU keeps the socket and runs on, and the process that systemd brings back serves the same guest.
#[tokio::test]
async fn a_guest_outlives_a_crash_of_its_datapath_in_client_mode() {
    let host = host(None);
    let spec = Spec { mode: Mode::Client, ..spec(0).await };
    let unit = unit_name(spec.vf);
    let first = host.start(&spec).await.unwrap();
    let configured = || {
        let journal = run("journalctl", &["--unit", &unit, "--output", "cat", "--no-pager"]);
        journal.lines().filter(|line| line.contains("vdpa_lab:") && line.contains("configured")).count()
    };
    let mut qemu = Qemu::listening_on(&first.socket);
    // The driver's configuration is the last step of virtio's: DRIVER_OK.
    wait_for("the guest's driver", || configured() > 0).await;
    let counted = host.counters(spec.vf, Queues::All).await.unwrap();
    assert!(counted.len() >= 2, "a connected guest's virtqueues count: {counted:?}");

    let times = configured();
    let pid = first.pid().unwrap().to_string();
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    let again = ready_again(&host, spec.vf, &first).await;
    wait_for("the same guest at the new process", || configured() > times).await;
    assert!(qemu.runs() && again.pid() != first.pid());
    drop(qemu);
    host.stop(spec.vf).await.unwrap();
}

/// The unit is as it is documented, on the systemd that runs; and an administrator's drop-in for all of them counts.
#[tokio::test]
async fn a_unit_has_few_rights_and_an_administrator_may_change_it() {
    let drop_in = Path::new("/run/systemd/system/vdpa-dpdk-.service.d");
    fs::create_dir_all(drop_in).unwrap();
    fs::write(drop_in.join("more.conf"), "[Service]\nOOMScoreAdjust=-100\n").unwrap();
    run("systemctl", &["daemon-reload"]);
    let host = host(None);
    let spec = Spec { cores: vec![0], ..spec(0).await };
    let instance = host.start(&spec).await.unwrap();
    let unit = unit_name(spec.vf);
    let property = |name: &str| run("systemctl", &["show", "--value", &format!("--property={name}"), &unit]);
    assert_eq!(property("OOMScoreAdjust"), "-100");
    assert_eq!(property("ProtectSystem"), "strict");
    assert_eq!((property("LimitCORE").as_str(), property("NoNewPrivileges").as_str()), ("0", "yes"));
    assert_eq!(property("CPUAffinity"), "0");
    // And the kernel agrees: no CAP_SYS_ADMIN (21), a seccomp filter, nothing written outside.
    let status = fs::read_to_string(format!("/proc/{}/status", instance.pid().unwrap())).unwrap();
    let value =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let bounding = u64::from_str_radix(&value("CapBnd:"), 16).unwrap();
    assert_eq!(bounding & (1 << 21), 0, "{bounding:#x}");
    assert_eq!(bounding.count_ones(), 6, "{bounding:#x}");
    assert_eq!(value("Seccomp:"), "2");
    host.stop(spec.vf).await.unwrap();
    fs::remove_dir_all(drop_in).unwrap();
    run("systemctl", &["daemon-reload"]);
}
