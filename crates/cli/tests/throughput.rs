//! `vdpa bench` with the real iperf3, ping, ssh and an SSH server, between network namespaces of the running kernel. Needs
//! root.
//!
//! Everything happens in namespaces that a test makes for itself, processes included: what is left behind is seen, and
//! gone with them. `/run` is empty there, so that there is no Open vSwitch: what goes through a card is the lab's.

mod common;

use std::path::Path;
use std::process::Command;

use common::command::{Said, install, run};
use serde_json::Value;

/// Two network namespaces, `a` (10.77.0.1) and `b` (10.77.0.2), with a cable between them.
const CABLE: &str = r#"
mount -t tmpfs tmpfs /run
ip netns add a
ip netns add b
ip link add va netns a type veth peer name vb netns b
ip -n a addr add 10.77.0.1/24 dev va
ip -n b addr add 10.77.0.2/24 dev vb
ip -n a link set va up
ip -n b link set vb up
ip -n b link set lo up
program=$1
# A process that is dead has no program any more.
asked() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' '; }
running() { ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c "/$1\$" || true; }
"#;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("vdpa-bench-").tempdir().unwrap();
        install(env!("CARGO_BIN_EXE_vdpa").as_ref(), &directory.path().join("vdpa"));
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a script with the cable; the program is `$program`, the place where it stands.
    fn script(&self, script: &str) -> Said {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-eu", "-c", &format!("{CABLE}\n{script}"), "sh"]);
        run(command.arg(self.path().join("vdpa")).current_dir(self.path()).env_remove("SSH_CONNECTION"))
    }

    /// Runs `vdpa bench` and looks for what it has left behind.
    fn bench(&self, before: &str, arguments: &str) -> Said {
        let said = self.script(&format!(
            r"
{before}
code=0; $program bench --seconds 3 {arguments} || code=$?
# On another machine it ends when that has noticed.
for try in $(seq 100); do [ $(running iperf3) = 0 ] && exit $code; sleep 0.1; done
echo an iperf3 was left behind; exit 99
"
        ));
        assert_ne!(said.code, Some(99), "{said}");
        said
    }
}

fn runs(document: &Value) -> &Vec<Value> {
    document["record"]["runs"].as_array().unwrap_or_else(|| panic!("{document:#}"))
}

#[test]
fn tcp_is_measured_kept_drawn_and_compared() {
    let place = Place::new();
    let said = place.bench(
        "",
        "--from a --to 10.77.0.2 --sink b --streams 1,2 --direction forward --record kept.json --plot plot.svg --json",
    );
    let said = said.exits(0);
    let document = said.document();
    assert_eq!(document["outcome"], "measured", "{said}");
    let runs = runs(&document);
    assert_eq!(runs.len(), 2, "{said}");
    for (run, streams) in runs.iter().zip([1, 2]) {
        let forward = &run["result"]["throughput"]["forward"];
        assert!(forward["bits_per_second"].as_f64() > Some(1e6), "{run:#}");
        assert_eq!(forward["streams"].as_array().map(Vec::len), Some(streams), "{run:#}");
        assert_eq!(run["path"]["through"], "not-proven", "{run:#}");
        assert!(run["path"]["why"].as_str().unwrap().contains("Open vSwitch of this host"), "{run:#}");
    }
    let notes = document["notes"].to_string();
    assert!(notes.contains("not proven that traffic went through hardware: 2 of 2"), "{notes}");
    let kept: Value =
        serde_json::from_slice(&std::fs::read(place.path().join("kept.json")).unwrap()).unwrap();
    assert_eq!(kept, document["record"]);
    assert!(kept["facts"]["kernel"].is_string(), "{kept:#}");
    let picture = std::fs::read_to_string(place.path().join("plot.svg")).unwrap();
    roxmltree::Document::parse(&picture).unwrap();

    // Against itself it is the same; against one that was a hundred times as fast it is worse.
    let same = place.bench("", "--read kept.json --compare kept.json").exits(0);
    assert!(
        same.out.contains("× 1.000") && same.out.contains("nothing is worse by more than 10 %"),
        "{same}"
    );
    let mut fast = kept;
    for run in fast["runs"].as_array_mut().unwrap() {
        let bits = &mut run["result"]["throughput"]["forward"]["bits_per_second"];
        *bits = (bits.as_f64().unwrap() * 100.0).into();
    }
    std::fs::write(place.path().join("fast.json"), fast.to_string()).unwrap();
    let worse =
        place.bench("", "--from a --to 10.77.0.2 --sink b --streams 1 --compare fast.json --json").exits(1);
    let worse = worse.document();
    assert_eq!(worse["outcome"], "worse", "{worse:#}");
    assert_eq!(worse["comparison"]["figures"][0]["worse"], true, "{worse:#}");
}

#[test]
fn udp_both_ways_and_round_trips_are_measured_too() {
    let place = Place::new();
    let udp = place
        .bench("", "--from a --to 10.77.0.2 --sink b --streams 2 --direction both --udp 20M --json")
        .exits(0);
    let document = udp.document();
    let measured = &runs(&document)[0]["result"]["throughput"];
    for way in ["forward", "reverse"] {
        let bits = measured[way]["bits_per_second"].as_f64().unwrap();
        assert!((1e6..60e6).contains(&bits), "two streams of 20 Mbit/s: {measured:#}");
        assert!(measured[way]["datagrams"]["sent"].as_u64() > Some(100), "{measured:#}");
    }
    let ping = place.bench("", "--from a --to 10.77.0.2 --ping --json").exits(0);
    let document = ping.document();
    let trips = &runs(&document)[0]["result"]["round-trips"];
    assert_eq!(trips["sent"], 15, "3 s at 5 a second: {trips:#}");
    assert!(trips["received"].as_u64() > Some(10) && trips["median_us"].as_f64() > Some(0.0), "{trips:#}");
    let proof = place.bench("", "--from a --to 10.77.0.2 --ping --require-hardware").exits(1);
    assert!(proof.err.contains("not proven that traffic went through hardware"), "{proof}");
}

/// The server's machine and the client's, each by SSH, as another user's shell hears of it.
#[test]
fn another_machine_is_reached_by_ssh_and_nothing_is_left_running_there() {
    let place = Place::new();
    // Root's directory as new, with a key that opens the way in to `b`.
    let server = r#"
mount -t tmpfs -o mode=700 tmpfs /root
mkdir -m 700 /root/.ssh
ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id
cp /root/.ssh/id.pub /root/.ssh/authorized_keys
dropbearkey -t ed25519 -f /root/host.key >/dev/null 2>&1
ip link add outer type veth peer name inner netns b
ip addr add 10.78.0.1/24 dev outer
ip -n b addr add 10.78.0.2/24 dev inner
ip link set outer up
ip -n b link set inner up
# It goes into the background when it listens.
ip netns exec b dropbear -r /root/host.key -p 10.78.0.2:22 -P /root/pid
cat > /root/config <<'END'
Host other
  HostName 10.78.0.2
  User root
  IdentityFile /root/.ssh/id
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
END
"#;
    let both = "--ssh-config /root/config --streams 1 --direction forward";
    for ends in ["--from a --sink ssh:other", "--from ssh:other --sink b"] {
        let said = place.bench(server, &format!("{ends} --to 10.77.0.2 {both} --json")).exits(0);
        let document = said.document();
        let bits = &runs(&document)[0]["result"]["throughput"]["forward"]["bits_per_second"];
        assert!(bits.as_f64() > Some(1e6), "{said}");
    }
    // No shell reads more than the words; no key, no way in; no program, no result.
    let closed = place.bench(
        &format!("{server}\n> /root/.ssh/authorized_keys"),
        &format!("--from a --sink ssh:other --to 10.77.0.2 {both}"),
    );
    closed.exits(1).is_an_error("ssh does not reach other", "BatchMode=yes");
    let without = format!("{server}\nmount --bind /dev/null $(command -v iperf3)");
    let without = place.script(&format!("{without}\n$program bench --from a --sink b --to 10.77.0.2"));
    without.exits(1).is_an_error("iperf3", "");
}

#[test]
fn what_cannot_be_measured_is_said_with_what_to_do() {
    let place = Place::new();
    let refused = place.bench("", "--from a --to 10.77.0.2").exits(1);
    refused.is_an_error("cannot measure TCP forward, 1 stream to 10.77.0.2", "--ping");
    assert!(refused.err.contains("Connection refused"), "{refused}");
    let elsewhere = place.bench("", "--from a --to 10.77.0.9 --sink b").exits(1);
    elsewhere.is_an_error("cannot measure with an iperf3 server at network namespace b", "--port");
    assert!(elsewhere.err.contains("Cannot assign requested address"), "{elsewhere}");
    let nowhere = place.bench("", "--from c --to 10.77.0.2 --sink b").exits(1);
    nowhere.is_an_error("cannot enter network namespace c", "ip netns");
    let silent = place.bench("ip -n a link set va mtu 1280", "--from a --to 10.77.0.9 --ping").exits(1);
    silent.is_an_error("cannot measure round trips", "");
    let missing = "mkdir /run/bin; ln -s $(command -v ip) /run/bin; PATH=/run/bin";
    let missing = place.script(&format!("{missing}\n$program bench --from a --to 10.77.0.2 --sink b"));
    missing.exits(1).is_an_error("there is no iperf3 at network namespace b", "apt-get install iperf3");
}

/// As Ctrl-C does: a signal for the whole process group. However it ends, the server does.
#[test]
fn who_stops_it_keeps_what_was_measured_and_no_server() {
    let place = Place::new();
    for (signal, runs_kept, code) in [("INT", 0, 1), ("TERM", 1, 1), ("KILL", 0, 137)] {
        let script = format!(
            r#"
trap - INT
setsid $program bench --from a --to 10.77.0.2 --sink b --streams 1,2 --seconds 3 --direction forward --record kept.json &
bench=$!
for try in $(seq 600); do
    [ $(running iperf3) = 2 ] && asked | grep -q "[-]-parallel $(({runs_kept} + 1)) " && break
    sleep 0.1
done
# The shell's own knows no groups.
env kill -{signal} -- -$bench
code=0; wait $bench || code=$?
for try in $(seq 300); do [ $(running iperf3) = 0 ] && exit $code; sleep 0.1; done
echo an iperf3 was left behind; exit 99
"#
        );
        let said = place.script(&script).exits(code);
        let kept = std::fs::read_to_string(place.path().join("kept.json")).ok();
        drop(std::fs::remove_file(place.path().join("kept.json")));
        if runs_kept == 0 {
            assert!(kept.is_none(), "{said}");
            assert_eq!(said.err.contains("interrupted"), signal == "INT", "{said}");
        } else {
            let kept: Value = serde_json::from_str(&kept.unwrap_or_else(|| panic!("{said}"))).unwrap();
            assert_eq!(kept["runs"].as_array().map(Vec::len), Some(runs_kept), "{kept:#}");
        }
    }
}
