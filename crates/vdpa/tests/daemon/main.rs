//! The supervisor and the detached launcher on the real dpdk-vdpa program: `create`, readiness, the
//! socket, counters, failures, deaths. Only the vDPA driver below the program is ours (`tests/dpdk/`).

mod fixture;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fixture::{Fixture, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use vdpa_datapath::dpdk::{Condition, DpdkVdpa as _, Launcher, Mode, Queues, Spec};
use vdpa_datapath::{Error, contract};

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn cmdline(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().replace('\0', " ")
}

#[tokio::test]
async fn the_contract_holds_for_the_real_program() {
    let fixture = Fixture::new("contract");
    contract::dpdk::lifecycle(&fixture.host(), &Fixture::spec(0)).await;
    contract::dpdk::a_program_knows_its_version(&fixture.host(), &Fixture::spec(0)).await;
    contract::dpdk::counters_are_of_the_guests_queues(&fixture.host(), &Fixture::spec(0)).await;
    contract::dpdk::two_vfs_do_not_meet(&fixture.host(), &Fixture::spec(0), &Fixture::spec(1)).await;
    contract::dpdk::a_second_start_is_refused(&fixture.host(), &Fixture::spec(0)).await;
    let nowhere = Spec { device: "0000:43:01.7".parse().unwrap(), ..Fixture::spec(0) };
    contract::dpdk::an_unknown_device_leaves_nothing(&fixture.host(), &nowhere).await;
    assert_eq!(fs::read_dir(fixture.runtime_dir()).unwrap().count(), 0, "a directory was left behind");
}

#[tokio::test]
async fn a_ready_process_serves_its_socket_and_counts() {
    let fixture = Fixture::new("ready");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let instance = host.start(&spec).await.unwrap();
    let socket = fs::metadata(&instance.socket).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.mode() & 0o777, 0o770, "umask 0007: the group may connect, others may not");
    UnixStream::connect(&instance.socket).unwrap();
    let pid = instance.pid().unwrap();
    assert!(
        cmdline(pid).contains("-a 0000:43:00.2,class=vdpa --file-prefix vdpa-0000-43-00.0-vf0"),
        "{}",
        cmdline(pid)
    );

    let counters = host.counters(spec.vf, Queues::One(3)).await.unwrap();
    assert_eq!(counters.len(), 1);
    assert_eq!(counters[0].queue, 3);
    assert_eq!(counters[0].counters[1], ("completed_descriptors".to_owned(), 301));
    let refused = host.counters(spec.vf, Queues::One(99)).await.unwrap_err().to_string();
    assert!(refused.contains("Failed to get vdpa queue statistics"), "{refused}");

    host.stop(spec.vf).await.unwrap();
    assert!(!is_running(pid));
    assert!(matches!(host.counters(spec.vf, Queues::One(0)).await, Err(Error::NotServed { .. })));
}

#[tokio::test]
async fn a_process_outlives_the_command_that_started_it() {
    let fixture = Fixture::new("outlives");
    let started = fixture.host().start(&Fixture::spec(0)).await.unwrap();
    // Another command comes and knows nothing but the runtime directory.
    let found = fixture.host().observe(Fixture::spec(0).vf).await.unwrap().unwrap();
    assert_eq!(found, started);
    let supervisor = fixture.supervisor_pid(0);
    let session = rustix::process::getsid(Pid::from_raw(i32::try_from(supervisor).unwrap())).unwrap();
    assert_eq!(session.as_raw_nonzero().get().unsigned_abs(), supervisor, "it has a session of its own");
    fixture.host().stop(Fixture::spec(0).vf).await.unwrap();
}

#[tokio::test]
async fn a_vf_that_dpdk_does_not_know_fails_and_leaves_nothing() {
    let fixture = Fixture::new("unknown");
    let spec = Spec { device: "0000:43:01.7".parse().unwrap(), ..Fixture::spec(0) };
    let error = fixture.host().start(&spec).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotStarted { .. }), "{error:?}");
    assert!(text.contains("finds no vDPA device at 0000:43:01.7, but 0000:43:00.2"), "{text}");
    assert_eq!(fixture.host().observe(spec.vf).await.unwrap(), None);
    assert_eq!(fs::read_dir(fixture.runtime_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_programs_last_words_are_quoted_when_it_does_not_come_up() {
    let fixture = Fixture::new("words");
    let spec = Spec { eal_args: vec!["--vdev".into(), "no_such_driver0".into()], ..Fixture::spec(0) };
    let text = fixture.host().start(&spec).await.unwrap_err().to_string();
    assert!(text.contains("ended (exit status: 1)"), "{text}");
    assert!(text.contains("no_such_driver0"), "{text}");
    assert!(!text.contains("EAL: Detected"), "what every start says explains no failure: {text}");
}

#[tokio::test]
async fn a_killed_supervisor_takes_the_program_with_it() {
    let fixture = Fixture::new("orphan");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let pid = host.start(&spec).await.unwrap().pid().unwrap();
    kill(fixture.supervisor_pid(0), Signal::KILL);
    wait_for("the program to end", || !is_running(pid)).await;
    let found = host.observe(spec.vf).await.unwrap().unwrap();
    assert!(matches!(found.condition, Condition::Failed { .. }), "{found:?}");
    assert!(found.socket.exists(), "killed, it could not remove its socket");
    // The stale socket and all else of the dead one are no obstacle.
    let again = host.start(&spec).await.unwrap();
    assert!(again.is_ready());
    host.stop(spec.vf).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_is_started_again_in_place_serves_again() {
    let fixture = Fixture::new("again");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let pid = host.start(&spec).await.unwrap().pid().unwrap();
    kill(fixture.supervisor_pid(0), Signal::KILL);
    // As systemd does it: the same command on what the dead one left, as soon as it is dead.
    fixture.await_death_of_supervisor(0).await;
    let mut supervisor = fixture.supervisor(0);
    wait_for("the datapath to be ready", || {
        fixture.runtime_dir().join("0000-43-00.0-vf0/control.sock").exists()
            && fixture.supervisor_pid(0) == supervisor.id()
    })
    .await;
    let again = host.observe(spec.vf).await.unwrap().unwrap();
    assert!(again.is_ready() && again.pid() != Some(pid), "{again:?}");
    UnixStream::connect(&again.socket).unwrap();
    host.stop(spec.vf).await.unwrap();
    assert!(supervisor.wait().unwrap().success(), "asked to end, it ends with success");
}

#[tokio::test]
async fn a_program_that_dies_is_seen_as_failed_with_its_status() {
    let fixture = Fixture::new("dies");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let pid = host.start(&spec).await.unwrap().pid().unwrap();
    let supervisor = fixture.supervisor_pid(0);
    kill(pid, Signal::KILL);
    wait_for("the supervisor to end", || !is_running(supervisor)).await;
    let found = host.observe(spec.vf).await.unwrap().unwrap();
    let Condition::Failed { why } = found.condition else { panic!("{found:?}") };
    assert!(why.contains("signal: 9"), "{why}");
    host.stop(spec.vf).await.unwrap();
}

#[tokio::test]
async fn sigterm_to_the_supervisor_is_a_clean_end() {
    let fixture = Fixture::new("sigterm");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let instance = host.start(&spec).await.unwrap();
    let supervisor = fixture.supervisor_pid(0);
    kill(supervisor, Signal::TERM);
    wait_for("the supervisor to end", || !is_running(supervisor)).await;
    assert!(!is_running(instance.pid().unwrap()));
    assert!(!instance.socket.exists(), "the program removes its socket on SIGTERM");
    host.stop(spec.vf).await.unwrap();
}

#[tokio::test]
async fn a_client_waits_for_qemu_and_connects_when_it_listens() {
    let fixture = Fixture::new("client");
    let (host, spec) = (fixture.host(), Spec { mode: Mode::Client, ..Fixture::spec(0) });
    let instance = host.start(&spec).await.unwrap();
    assert!(instance.is_ready());
    assert!(!instance.socket.exists());
    let qemu = tokio::net::UnixListener::bind(&instance.socket).unwrap();
    let connected = tokio::time::timeout(Duration::from_mins(1), qemu.accept()).await;
    connected.expect("dpdk-vdpa connects within its reconnect interval").unwrap();
    host.stop(spec.vf).await.unwrap();
    assert_eq!(host.observe(spec.vf).await.unwrap(), None);
    // A guest that runs on keeps its socket, and a datapath that comes back finds it.
    host.start(&spec).await.unwrap();
    let connected = tokio::time::timeout(Duration::from_mins(1), qemu.accept()).await;
    connected.expect("the next one connects too").unwrap();
    drop(qemu);
    host.stop(spec.vf).await.unwrap();
    assert_eq!(fs::read_dir(fixture.runtime_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_that_somebody_serves_is_left_alone() {
    let fixture = Fixture::new("taken");
    let (host, spec) = (fixture.host(), Fixture::spec(0));
    let socket = host.socket(spec.vf);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let theirs = tokio::net::UnixListener::bind(&socket).unwrap();
    let text = host.start(&spec).await.unwrap_err().to_string();
    assert!(text.contains("another process listens there"), "{text}");
    UnixStream::connect(&socket).expect("it is still theirs");
    drop(theirs);
}

#[tokio::test]
async fn a_host_without_systemd_detaches() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Launcher::of_host(root.path()), Launcher::Detached);
    fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
    assert_eq!(Launcher::of_host(root.path()), Launcher::Systemd);
}

/// The one command of the documentation, on what the distribution has: what it builds runs, and knows what it is.
#[tokio::test]
async fn the_recipe_builds_a_program_that_runs() {
    let fixture = Fixture::new("recipe");
    let program = fixture.runtime_dir().join("dpdk-vdpa");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/build-dpdk-vdpa.sh");
    let built = std::process::Command::new(script).arg("--to").arg(&program).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = String::from_utf8(built.stdout).unwrap();
    let version = fixture.host().version(&program).await.unwrap();
    assert!(said.contains(&format!("examples/vdpa of DPDK {version}")), "{said} but {version}");
    // It has no device here, and says so at its prompt.
    let spec = Spec { program, eal_args: vec!["--no-pci".into()], ..Fixture::spec(0) };
    let text = fixture.host().start(&spec).await.unwrap_err().to_string();
    assert!(text.contains("finds no vDPA device at 0000:43:00.2"), "{text}");
}
