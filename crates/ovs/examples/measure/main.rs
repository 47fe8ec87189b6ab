//! How fast the client is, beside the others: `cargo xtask bench ovs` builds and runs it.
//!
//! ```sh
//! cargo run --release -p vdpa-ovs --features testing --example measure -- [--rounds N] [--json FILE] [WHAT ...]
//! ```
//!
//! `ports`: a bridge with N ports, until ovs-vswitchd has applied it, and its deletion. `snapshot`: a table of N rows
//! into memory. `transactions`: many small ones, one after the other and 64 at a time. All contenders of a row take
//! turns on the same daemons, and what is shown are medians of the rounds; ratios within a run are what counts.

mod daemons;
mod floor;
mod interface;
mod ports;
mod python;
mod report;
mod snapshot;
mod transactions;

use std::{env, error::Error, path::PathBuf};

use report::Report;

type Failure = Box<dyn Error>;

const ALL: [&str; 3] = ["ports", "snapshot", "transactions"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut words = env::args().skip(1);
    let (mut rounds, mut file, mut what) = (7, None, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().ok_or("--rounds takes a number")?.parse()?,
            "--json" => file = Some(PathBuf::from(words.next().ok_or("--json takes a file")?)),
            known if ALL.contains(&known) => what.push(word),
            other => return Err(format!("{other:?} is none of {}", ALL.join(", ")).into()),
        }
    }
    let mut report = Report::default();
    for part in ALL.iter().filter(|part| what.is_empty() || what.iter().any(|word| word == *part)) {
        match *part {
            "ports" => ports::measure(&mut report, rounds).await?,
            "snapshot" => snapshot::measure(&mut report, rounds).await?,
            _ => transactions::measure(&mut report, rounds).await?,
        }
    }
    if let Some(file) = file {
        std::fs::write(&file, serde_json::to_string_pretty(&report)?)?;
        println!("written to {}", file.display());
    }
    Ok(())
}
