//! A bridge with N ports, until ovs-vswitchd has applied it; and its deletion.

use std::time::{Duration, Instant};

use vdpa_ovs::{BridgeName, Change, Ovsdb, PortKey, PortName, Vswitch, testing::Daemons};

use crate::{
    Failure, daemons,
    floor::{Floor, Took},
    python,
    report::{Report, Table, ms},
};

const FLOOR: &str = "a raw socket, texts made before";
const OURS: &str = "ours, new connection";
const CONNECTED: &str = "ours, connected";
const BATCH: &str = "ovs-vsctl, one batch";
const SINGLE: &str = "ovs-vsctl, a process a port";
const IDL: &str = "Python IDL";
const APP: &str = "ovsdbapp";

/// Everybody in turn, for 2, 128 and 1000 ports.
pub(crate) async fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    for count in [2, 128, 1000] {
        let bench = Bench::new(count).await?;
        let mut table = Table::new(format!("a bridge with {count} ports, until it is applied"), "ms");
        for round in 0..=rounds {
            let warm_up = round == 0;
            bench.round(&mut table, round, warm_up).await?;
        }
        judge(&mut table);
        report.add(table);
    }
    Ok(())
}

/// Ratios, and which of them are as they should be. What no client can beat is told beside a target that asks for more.
fn judge(table: &mut Table) {
    for (what, column) in [("add", "add"), ("delete", "delete")] {
        let of = |table: &Table, contender| table.median(contender, column);
        let (ours, floor) = (of(table, OURS), of(table, FLOOR));
        table.target_least(&format!("{what}: ovs-vsctl batch / ours"), of(table, BATCH), ours, 2.0);
        table.ratio(&format!("{what}: ovs-vsctl batch / a raw socket"), of(table, BATCH), floor);
        table.target_most(&format!("{what}: ours / a raw socket"), ours, floor, 1.05);
        table.ratio(&format!("{what}: Python IDL / ours"), of(table, IDL), ours);
        if column == "add" {
            table.ratio("add: ovsdbapp / ours", of(table, APP), ours);
            table.target_least("add: ovs-vsctl a process a port / ours", of(table, SINGLE), ours, 40.0);
        }
    }
    let floor = |table: &Table, contender| {
        table
            .median(contender, "daemons' CPU")
            .zip(table.median(OURS, "round trip"))
            .map(|(cpu, trip)| cpu + trip)
    };
    let cpu = floor(table, OURS);
    table.target_most("add: ours / (the daemons' CPU + a round trip)", table.median(OURS, "add"), cpu, 1.05);
    let cpu = floor(table, FLOOR);
    table.ratio("add: a raw socket / (the daemons' CPU + a round trip)", table.median(FLOOR, "add"), cpu);
}

struct Bench {
    daemons: Daemons,
    floor: Floor,
    connected: Ovsdb,
    present: Change,
    absent: Change,
    ports: Vec<(PortKey, PortName)>,
}

impl Bench {
    async fn new(count: usize) -> Result<Self, Failure> {
        let daemons = Daemons::start().await;
        let bridge: BridgeName = "ovs-sriov".parse()?;
        let ports = (0..count)
            .map(|n| Ok((format!("0000:43:00.0/vf{n}").parse()?, format!("p{n}").parse()?)))
            .collect::<Result<Vec<(PortKey, PortName)>, vdpa_ovs::Error>>()?;
        let floor = Floor::new(&ports);
        let present = Change::to(bridge.clone()).present().exactly(ports.clone());
        let absent = Change::to(bridge).absent();
        let connected = daemons.vswitch();
        connected.apply(&absent).await?;
        Ok(Self { daemons, floor, connected, present, absent, ports })
    }

    /// Each contender once, each round beginning with another.
    async fn round(&self, table: &mut Table, round: usize, warm_up: bool) -> Result<(), Failure> {
        let mut contenders = vec![FLOOR, OURS, CONNECTED, BATCH];
        if self.ports.len() == 128 && round < 3 {
            contenders.push(SINGLE);
        }
        contenders.extend([IDL].into_iter().filter(|_| python::has("ovs.db.idl")));
        contenders.extend([APP].into_iter().filter(|_| python::has("ovsdbapp")));
        let first = round % contenders.len();
        contenders.rotate_left(first);
        for contender in contenders {
            daemons::settle(&self.daemons).await?;
            let before = daemons::cpu(self.daemons.dir())?;
            let (add, committed) = self.add(contender).await?;
            let cpu = daemons::cpu(self.daemons.dir())?.saturating_sub(before);
            daemons::settle(&self.daemons).await?;
            let delete = self.delete(contender).await?;
            if warm_up {
                continue;
            }
            if let Some(committed) = committed {
                table.sample(contender, "committed", committed);
            }
            table.sample(contender, "add", add);
            table.sample(contender, "delete", delete);
            table.sample(contender, "daemons' CPU", ms(cpu));
            if contender == OURS {
                let begin = Instant::now();
                self.connected.client().call("echo", &[(); 0], Duration::from_secs(10)).await?;
                table.sample(OURS, "round trip", ms(begin.elapsed()));
            }
        }
        Ok(())
    }

    /// Gives how long it took, and how long until it was committed where that is known.
    async fn add(&self, contender: &str) -> Result<(f64, Option<f64>), Failure> {
        let socket = self.daemons.socket();
        let count = self.ports.len().to_string();
        let begin = Instant::now();
        match contender {
            FLOOR => {
                let Took { committed, applied } = self.floor.add(&socket)?;
                return Ok((applied, Some(committed)));
            }
            OURS => drop(Ovsdb::new(&socket).apply(&self.present).await?),
            CONNECTED => drop(self.connected.apply(&self.present).await?),
            BATCH => {
                let words = batch(&self.ports);
                self.daemons.vsctl(&words.iter().map(String::as_str).collect::<Vec<_>>());
            }
            SINGLE => {
                self.daemons.vsctl(&["add-br", "ovs-sriov"]);
                for (_, name) in &self.ports {
                    self.daemons.vsctl(&["add-port", "ovs-sriov", name.as_str()]);
                }
            }
            APP => return Ok((milliseconds(&python::ovsdbapp(&["ports", &count], &socket)?)?, None)),
            _ => return Ok((milliseconds(&python::idl(&["ports", &count], &socket)?)?, None)),
        }
        Ok((ms(begin.elapsed()), None))
    }

    async fn delete(&self, contender: &str) -> Result<f64, Failure> {
        let begin = Instant::now();
        match contender {
            FLOOR => return Ok(self.floor.delete(&self.daemons.socket())?.applied),
            OURS => drop(Ovsdb::new(self.daemons.socket()).apply(&self.absent).await?),
            CONNECTED => drop(self.connected.apply(&self.absent).await?),
            IDL => return milliseconds(&python::idl(&["delete"], &self.daemons.socket())?),
            _ => drop(self.daemons.vsctl(&["del-br", "ovs-sriov"])),
        }
        Ok(ms(begin.elapsed()))
    }
}

fn milliseconds(value: &serde_json::Value) -> Result<f64, Failure> {
    value["ms"].as_f64().ok_or_else(|| format!("no time in {value}").into())
}

/// The same end state, tags too, as one process.
fn batch(ports: &[(PortKey, PortName)]) -> Vec<String> {
    let mut words = vec!["add-br".to_owned(), "ovs-sriov".to_owned()];
    words.extend(["--", "set", "Bridge", "ovs-sriov", "external_ids:vdpa-owner=vdpa"].map(str::to_owned));
    for (key, name) in ports {
        words.extend(["--", "add-port", "ovs-sriov", name.as_str()].map(str::to_owned));
        words.push("external_ids:vdpa-owner=vdpa".to_owned());
        words.push(format!("external_ids:vdpa-port=\"{key}\""));
    }
    words
}
