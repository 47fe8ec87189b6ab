//! How long a bridge with N ports takes, ours against one `ovs-vsctl` batch, in turns on the same daemons.
//!
//! ```sh
//! cargo run --release -p vdpa-ovs --features testing --example versus_vsctl [N ...]
//! ```
//!
//! Each round adds the bridge and its ports, waits until they are applied, and deletes the bridge again; only the
//! adding is timed. What counts is the ratio: both wait for the same work of ovs-vswitchd.

use std::{
    env,
    time::{Duration, Instant},
};

use vdpa_ovs::{BridgeName, Change, Ovsdb, PortKey, PortName, Vswitch, testing::Daemons};

const ROUNDS: usize = 11;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut counts = env::args().skip(1).map(|count| count.parse()).collect::<Result<Vec<usize>, _>>()?;
    if counts.is_empty() {
        counts = vec![2, 128];
    }
    println!("median of {ROUNDS} rounds, milliseconds: add a bridge with N ports and wait until applied");
    println!("{:>6} {:>10} {:>10} {:>10} {:>8}", "N", "new conn.", "connected", "ovs-vsctl", "ratio");
    for count in counts {
        let daemons = Daemons::start().await;
        let bridge: BridgeName = "ovs-sriov".parse()?;
        let ports = (0..count)
            .map(|n| Ok((format!("0000:43:00.0/vf{n}").parse()?, format!("p{n}").parse()?)))
            .collect::<Result<Vec<(PortKey, PortName)>, vdpa_ovs::Error>>()?;
        let change = Change::to(bridge.clone()).present().exactly(ports.clone());
        let absent = Change::to(bridge).absent();
        let connected = daemons.vswitch();
        connected.apply(&absent).await?;
        let batch = batch(&ports);
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();

        let (mut fresh, mut warm, mut vsctl) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            Ovsdb::new(daemons.socket()).apply(&change).await?;
            fresh.push(started.elapsed());
            connected.apply(&absent).await?;

            let started = Instant::now();
            connected.apply(&change).await?;
            warm.push(started.elapsed());
            connected.apply(&absent).await?;

            let started = Instant::now();
            daemons.vsctl(&batch);
            vsctl.push(started.elapsed());
            daemons.vsctl(&["del-br", "ovs-sriov"]);
        }
        let [fresh, warm, vsctl] = [fresh, warm, vsctl].map(median);
        println!("{count:>6} {fresh:>10.1} {warm:>10.1} {vsctl:>10.1} {:>8.2}", vsctl / fresh);
    }
    Ok(())
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

#[allow(clippy::cast_precision_loss, reason = "milliseconds to print")]
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_micros() as f64 / 1000.0
}
