//! `cargo xtask bench flows`: `vdpa flows --from` on a dump of a million flows, beside grep and Open vSwitch's own
//! parser in Python, each on one core, in turn, in one run.
//!
//! What counts is the CPU time that a contender takes, since the machine may be shared, and how much memory it holds
//! at its most. Python parses a part of the dump, as it would take an hour for all of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::outcome;
use super::program::Program;
use super::report::Spread;
use super::timed::{self, Taken};
use crate::host::{self, Need};
use crate::workspace;

/// What our own speed has to be, in MB a second of CPU time.
const WANTED: f64 = 300.0;
/// How much more memory a dump a hundred times as long may take, in KiB: what the allocator makes of chance.
const SLACK: u64 = 512;

/// What stands beside us, and what measures all.
const NEEDS: &[Need] = &[
    timed::TIME,
    need("/usr/lib/python3/dist-packages/ovs/flow/odp.py", "python3-openvswitch"),
    need("/usr/lib/python3/dist-packages/netaddr/__init__.py", "python3-netaddr"),
    need("/usr/lib/python3/dist-packages/pyparsing/__init__.py", "python3-pyparsing"),
];

const fn need(witness: &'static str, package: &'static str) -> Need {
    Need { of: "bench flows", witness, package }
}

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Flows in the dump
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// Flows that the Python parser gets
    #[arg(long, default_value_t = 5_000)]
    python_lines: u64,
    /// Rounds that count; one more comes first, to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    program: Program,
}

/// Who reads a dump.
struct Contender {
    name: &'static str,
    arguments: Vec<String>,
    /// How long its dump is.
    bytes: u64,
}

/// What came out.
#[derive(Debug, Serialize)]
struct Report {
    lines: u64,
    bytes: u64,
    contenders: BTreeMap<&'static str, Measured>,
    met: BTreeMap<String, bool>,
}

/// A contender's runs.
#[derive(Debug, Serialize)]
struct Measured {
    bytes: u64,
    samples: Vec<Taken>,
    /// MB a second of CPU time.
    speed: Option<Spread>,
}

/// Measures.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    host::meet(NEEDS.iter()).await?;
    let program = args.program.ready().await?;
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let dumps = [("all", args.lines), ("short", args.lines.div_ceil(100)), ("python", args.python_lines)];
    let mut paths = BTreeMap::new();
    for (name, lines) in dumps {
        let path = directory.join(format!("flows-{name}.txt"));
        write(&path, lines, name != "python")?;
        paths.insert(name, (path.display().to_string(), fs::metadata(&path)?.len()));
    }
    let contenders = contenders(&program.display().to_string(), &paths);
    let mut samples: BTreeMap<&str, Vec<Taken>> = BTreeMap::new();
    for round in 0..=args.rounds {
        for contender in &contenders {
            let sample = timed::run(&contender.arguments).await.with_context(|| contender.name.to_owned())?;
            if round > 0 {
                samples.entry(contender.name).or_default().push(sample);
            }
        }
    }
    for (path, _) in paths.values() {
        fs::remove_file(path).with_context(|| format!("cannot remove {path}"))?;
    }
    let measured = contenders.iter().map(|contender| {
        let samples = samples.remove(contender.name).unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "a dump has less than 2^52 bytes")]
        let speeds = samples.iter().map(|sample| contender.bytes as f64 / 1e6 / sample.cpu.max(0.001));
        let speed = Spread::of(speeds);
        (contender.name, Measured { bytes: contender.bytes, samples, speed })
    });
    Report::new(args.lines, paths["all"].1, measured.collect()).end()
}

fn contenders(program: &str, paths: &BTreeMap<&str, (String, u64)>) -> Vec<Contender> {
    let contender = |name, dump: &str, arguments: &[&str]| {
        let (path, bytes) = &paths[dump];
        let arguments = arguments.iter().map(|argument| argument.replace("DUMP", path)).collect();
        Contender { name, arguments, bytes: *bytes }
    };
    let python = "import sys\nfrom ovs.flow.odp import ODPFlow\nfor line in open(sys.argv[1]):\n    ODPFlow(line.strip())";
    vec![
        contender("vdpa flows --json", "all", &[program, "flows", "--json", "--from", "DUMP"]),
        contender("vdpa flows", "all", &[program, "flows", "--from", "DUMP"]),
        contender("vdpa flows --json, a hundredth", "short", &[program, "flows", "--json", "--from", "DUMP"]),
        contender("grep -c offloaded:yes", "all", &["grep", "-c", "offloaded:yes", "DUMP"]),
        contender("grep -oE packets", "all", &["grep", "-oE", "packets:[0-9]+, bytes:[0-9]+", "DUMP"]),
        contender("python ovs.flow", "python", &["/usr/bin/python3", "-c", python, "DUMP"]),
    ]
}

impl Report {
    fn new(lines: u64, bytes: u64, contenders: BTreeMap<&'static str, Measured>) -> Self {
        let speed = |name: &str| contenders[name].speed.map_or(0.0, |speed| speed.median);
        let memory =
            |name: &str| contenders[name].samples.iter().map(|sample| sample.memory).max().unwrap_or(0);
        let mut met = BTreeMap::new();
        for name in ["vdpa flows", "vdpa flows --json"] {
            met.insert(format!("{name}: at least {WANTED} MB/s on one core"), speed(name) >= WANTED);
        }
        let (whole, part) = (memory("vdpa flows --json"), memory("vdpa flows --json, a hundredth"));
        met.insert(
            format!("constant memory: {whole} KiB, {part} KiB for a hundredth"),
            whole <= part + SLACK,
        );
        Self { lines, bytes, contenders, met }
    }

    /// Prints it and keeps it.
    fn end(self) -> Result<ExitCode> {
        let ours = self.contenders["vdpa flows --json"].speed.map_or(0.0, |speed| speed.median);
        #[allow(clippy::cast_precision_loss, reason = "a dump has less than 2^52 bytes")]
        let mut text = format!("{} flows, {:.0} MB\n\n", self.lines, self.bytes as f64 / 1e6);
        text.push_str(
            "                                MB/s of CPU  (least–most)      --json is  most memory, KiB\n",
        );
        for (name, measured) in &self.contenders {
            let Some(speed) = measured.speed else { continue };
            let memory = measured.samples.iter().map(|sample| sample.memory).max().unwrap_or(0);
            let span = format!("({:.1}–{:.1})", speed.least, speed.most);
            let _ = writeln!(
                text,
                "{name:30}  {:11.1}  {span:16}  {:9.2} ×  {memory:16}",
                speed.median,
                ours / speed.median
            );
        }
        text.push('\n');
        let targets: Vec<(String, bool)> = self.met.clone().into_iter().collect();
        outcome::end("flows", text, &targets, &self)
    }
}

/// Writes a dump of so many flows, as with `-m`: half of them offloaded, some with conntrack, tunnels and VLANs.
/// The Python parser of Open vSwitch 3.1 ends at the first `offloaded:` that it meets: for it, none `says_so`.
fn write(path: &Path, lines: u64, says_so: bool) -> Result<()> {
    const ALWAYS: &str = "skb_priority(0/0),skb_mark(0/0)";
    let intent = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(intent)?);
    for n in 0..lines {
        let (a, b, c) = (n & 0xff, n >> 8 & 0xff, n >> 16 & 0xff);
        let ct = ["ct_state(0/0),ct_zone(0/0)", "ct_state(0x22/0x2f),ct_zone(0x5)"][usize::from(n % 4 == 3)];
        let layer = if n % 2 == 0 { "tc" } else { "ovs" };
        let offload = if says_so && layer == "tc" { ", offloaded:yes" } else { "" };
        let (ports, actions) = match n % 4 {
            0 => (String::new(), "enp67s0f0_1".to_owned()),
            1 => (String::new(), format!("push_vlan(vid={},pcp=0),enp67s0f0", n % 4094 + 1)),
            2 => (
                format!(",tcp(src={}/0,dst=443),tcp_flags(0/0)", n % 50_000),
                format!(
                    "set(tunnel(tun_id=0x{n:x},dst=172.16.{b}.{a},ttl=64,tp_dst=4789,flags(key))),vxlan_sys_4789"
                ),
            ),
            _ => (
                format!(",udp(src=0/0,dst={})", n % 60_000),
                format!("ct(commit,zone=5,nat(src=10.0.{b}.{a})),recirc(0x{:x})", n % 9999),
            ),
        };
        writeln!(
            file,
            "ufid:{n:08x}-9afb-466a-890c-09aa6ad9b22c, {ALWAYS},{ct},ct_mark(0/0),ct_label(0/0),recirc_id(0),dp_hash(0/0),\
             in_port(enp67s0f0_{}),packet_type(ns=0/0,id=0/0),eth(src=e4:11:22:{c:02x}:{b:02x}:{a:02x},\
             dst=0c:42:a1:fa:18:8e),eth_type(0x0800),ipv4(src=10.{c}.{b}.{a},dst=0.0.0.0/0.0.0.0,proto=6,tos=0/0,ttl=0/0,\
             frag=no){ports}, packets:{}, bytes:{}, used:{}.{:03}s{offload}, dp:{layer}, actions:{actions}",
            n % 64,
            n * 7 % 1_000_003,
            n * 977 % 1_000_000_007,
            n % 10,
            n % 1000,
        )
        .with_context(intent)?;
    }
    file.flush().with_context(intent)?;
    ensure!(lines > 0, "a dump of no flows measures nothing");
    Ok(())
}
