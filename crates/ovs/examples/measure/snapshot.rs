//! All columns of N interfaces into memory, beside the same bytes drained from the socket and thrown away.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use vdpa_ovs::{
    Ovsdb,
    ovsdb::{Client, Declared, Mutation, Mutator, Remote, Row, Transaction, Value},
    testing::Daemons,
};

use crate::{
    Failure, daemons,
    interface::{Interface, Interfaces},
    python,
    report::{Report, Table, cpu, ms},
};

const RAW: &str = "raw bytes, thrown away";
const OURS: &str = "ours, into typed rows";
const DUMP: &str = "ovsdb-client dump";
const IDL: &str = "Python IDL";

/// 10 000 and 100 000 rows.
pub(crate) async fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    for count in [10_000, 100_000] {
        let daemons = Daemons::start().await;
        daemons.stop_vswitchd(); // it has nothing to do with it
        fill(daemons.vswitch(), count).await?;
        let socket = daemons.socket();
        let mut table = Table::new(format!("a snapshot of {count} interfaces, all columns"), "ms, MiB");
        for round in 0..=rounds {
            // The server takes its time to forget a client that had much.
            daemons::settle_server(&daemons).await?;
            let raw = raw(&socket)?;
            daemons::settle_server(&daemons).await?;
            let (ours, used) = ours(&socket, count).await?;
            if round == 0 {
                continue;
            }
            table.sample(RAW, "time", raw);
            table.sample(OURS, "time", ours);
            table.sample(OURS, "client's CPU", used);
            // These take a minute with many rows.
            if round <= if count > 10_000 { 1 } else { rounds } {
                daemons::settle_server(&daemons).await?;
                table.sample(DUMP, "time", dump(&socket)?);
                if python::has("ovs.db.idl") {
                    daemons::settle_server(&daemons).await?;
                    let idl = python::idl(&["snapshot"], &socket)?;
                    table.sample(IDL, "time", idl["ms"].as_f64().unwrap_or(f64::NAN));
                    table.sample(IDL, "peak memory", idl["mib"].as_f64().unwrap_or(f64::NAN));
                }
            }
        }
        table.sample(OURS, "peak memory", peak_memory()?);
        let raw = table.median(RAW, "time");
        table.target_most("ours / raw bytes", table.median(OURS, "time"), raw, 1.05);
        let apart = raw.zip(table.median(OURS, "client's CPU")).map(|(raw, cpu)| raw + cpu);
        table.ratio("(raw bytes + all of our CPU time) / raw bytes: no overlap at all", apart, raw);
        table.ratio("ovsdb-client dump / ours", table.median(DUMP, "time"), table.median(OURS, "time"));
        table.ratio("Python IDL / ours", table.median(IDL, "time"), table.median(OURS, "time"));
        report.add(table);
    }
    Ok(())
}

/// Interfaces by the thousand, all of one port, as an interface has to be somebody's.
async fn fill(switch: Ovsdb, count: usize) -> Result<(), Failure> {
    for chunk in 0..count / 5000 {
        let mut txn = Transaction::new("Open_vSwitch");
        let mut interfaces = Vec::new();
        for n in chunk * 5000..(chunk + 1) * 5000 {
            let port = format!("0000:43:00.0/vf{n}");
            let ids = [("vdpa-owner", "vdpa"), ("vdpa-port", &port)].into_iter().collect::<Value>();
            let row = Row::new().with("name", format!("p{n}").as_str()).with("external_ids", ids);
            interfaces.push(txn.insert("Interface", row));
        }
        let interfaces: Value = interfaces.into_iter().collect();
        if chunk == 0 {
            let port = txn.insert("Port", Row::new().with("name", "many").with("interfaces", interfaces));
            let bridge = txn.insert("Bridge", Row::new().with("name", "br0").with("ports", port));
            txn.mutate("Open_vSwitch", vec![], vec![Mutation::new("bridges", Mutator::Insert, bridge)]);
        } else {
            txn.mutate("Port", vec![], vec![Mutation::new("interfaces", Mutator::Insert, interfaces)]);
        }
        switch.client().transact_within(&txn, Duration::from_mins(2)).await?;
    }
    Ok(())
}

/// Until the last byte, of which only the brackets are looked at, to know that it is the last.
fn raw(socket: &Path) -> Result<f64, Failure> {
    let columns: Vec<_> = Interface::COLUMNS.iter().map(|(name, _)| name).collect();
    let nothing = "00000000-0000-0000-0000-000000000000";
    let params = json!(["Open_vSwitch", "raw", { "Interface": [{ "columns": columns }] }, nothing]);
    let call = json!({ "id": 1, "method": "monitor_cond_since", "params": params }).to_string();
    let begin = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(call.as_bytes())?;
    let mut buffer = vec![0; 256 << 10];
    let mut ends = Ends::default();
    loop {
        let length = stream.read(&mut buffer)?;
        if ends.feed(&buffer[..length]) {
            return Ok(ms(begin.elapsed()));
        }
    }
}

/// Counts brackets that are in no text.
#[derive(Default)]
struct Ends {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Ends {
    fn feed(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => self.depth += 1,
                b'}' | b']' if !self.in_text => self.depth -= 1,
                _ => {}
            }
        }
        self.depth == 0
    }
}

async fn ours(socket: &Path, count: usize) -> Result<(f64, f64), Failure> {
    let (begin, used) = (Instant::now(), cpu());
    let client = Client::new(Remote::from(socket));
    let replica = client.replicate::<Interfaces>().await?;
    let (elapsed, used) = (begin.elapsed(), cpu().saturating_sub(used));
    assert_eq!(replica.read().interfaces.len(), count);
    Ok((ms(elapsed), ms(used)))
}

fn dump(socket: &Path) -> Result<f64, Failure> {
    let mut client = Command::new("ovsdb-client");
    client.args([
        "--format=json",
        "dump",
        &format!("unix:{}", socket.display()),
        "Open_vSwitch",
        "Interface",
    ]);
    let begin = Instant::now();
    let status = client.stdout(Stdio::null()).status()?;
    let elapsed = begin.elapsed();
    if status.success() { Ok(ms(elapsed)) } else { Err(format!("ovsdb-client dump: {status}").into()) }
}

/// The most memory that this process has had at once, in MiB: the rows, the message they came in, and the rest of
/// the program.
fn peak_memory() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
