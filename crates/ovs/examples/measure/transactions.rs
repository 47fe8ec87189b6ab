//! Small transactions, one after the other and 64 at a time.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use vdpa_ovs::{
    ovsdb::{Client, Condition, Remote, Row, Transaction, Uuid, Value, frame::Splitter},
    testing::Daemons,
};

use crate::{
    Failure, python,
    report::{Report, Table, cpu},
};

const COUNT: usize = 5000;
const RAW: &str = "raw socket, texts made before";
const OURS: &str = "ours";
const IDL: &str = "Python IDL";

/// Each contender at both depths.
pub(crate) async fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    let daemons = Daemons::start().await;
    daemons.stop_vswitchd(); // it would look at every change
    let socket = daemons.socket();
    let client = Client::new(Remote::from(socket.as_path()));
    let mut txn = Transaction::new("Open_vSwitch");
    txn.insert("Queue", Row::new());
    let queue = client.transact(&txn).await?[0].uuid.ok_or("no row was made")?;
    for depth in [1, 64] {
        let mut table = Table::new(format!("{COUNT} transactions, {depth} at a time"), "1/s, µs");
        for round in 0..=rounds {
            let raw = raw(&socket, queue, depth)?;
            let ours = ours(&client, queue, depth).await?;
            let idl = if python::has("ovs.db.idl") {
                let numbers = [COUNT.to_string(), depth.to_string()];
                let value = python::idl(&["transactions", &numbers[0], &numbers[1]], &socket)?;
                value["per_second"].as_f64().zip(value["cpu_us"].as_f64())
            } else {
                None
            };
            if round == 0 {
                continue;
            }
            for (contender, sample) in [(RAW, Some(raw)), (OURS, Some(ours)), (IDL, idl)] {
                if let Some((rate, used)) = sample {
                    table.sample(contender, "rate", rate);
                    table.sample(contender, "client's CPU", used);
                }
            }
        }
        table.ratio("ours / raw socket", table.median(OURS, "rate"), table.median(RAW, "rate"));
        table.ratio("ours / Python IDL", table.median(OURS, "rate"), table.median(IDL, "rate"));
        report.add(table);
    }
    Ok(())
}

fn transaction(queue: Uuid, n: usize) -> Transaction {
    let mut txn = Transaction::new("Open_vSwitch");
    let config = [("n", n.to_string().as_str())].into_iter().collect::<Value>();
    txn.update("Queue", vec![Condition::equal("_uuid", queue)], Row::new().with("other_config", config));
    txn
}

#[allow(clippy::cast_precision_loss, reason = "numbers to print")]
fn rates(elapsed: Duration, used: Duration) -> (f64, f64) {
    let count = COUNT as f64;
    (count / elapsed.as_secs_f64(), used.as_secs_f64() * 1e6 / count)
}

/// A program that knows beforehand what it will say, and of each reply only that it has ended.
fn raw(socket: &Path, queue: Uuid, depth: usize) -> Result<(f64, f64), Failure> {
    let texts = (0..COUNT)
        .map(|n| {
            let params = serde_json::to_string(&transaction(queue, n))?;
            Ok(format!(r#"{{"id":{n},"method":"transact","params":{params}}}"#))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut stream = UnixStream::connect(socket)?;
    let (mut splitter, mut buffer) = (Splitter::default(), vec![0; 64 << 10]);
    let (begin, used) = (Instant::now(), cpu());
    let mut done = 0;
    let first = texts[..depth].concat();
    stream.write_all(first.as_bytes())?;
    let mut sent = depth;
    while done < COUNT {
        let length = stream.read(&mut buffer)?;
        splitter.feed(&buffer[..length]);
        let mut more = String::new();
        while splitter.frame()?.is_some() {
            done += 1;
            if let Some(text) = texts.get(sent) {
                more.push_str(text);
                sent += 1;
            }
        }
        stream.write_all(more.as_bytes())?;
    }
    Ok(rates(begin.elapsed(), cpu().saturating_sub(used)))
}

async fn ours(client: &Client, queue: Uuid, depth: usize) -> Result<(f64, f64), Failure> {
    let (begin, used) = (Instant::now(), cpu());
    let mut results = stream::iter(0..COUNT)
        .map(|n| async move { client.transact(&transaction(queue, n)).await })
        .buffer_unordered(depth);
    while let Some(result) = results.next().await {
        if result?[0].count != Some(1) {
            return Err("the row is not there".into());
        }
    }
    Ok(rates(begin.elapsed(), cpu().saturating_sub(used)))
}
