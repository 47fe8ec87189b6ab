//! An OVSDB client for the command line, somewhat as ovsdb-client(1).
//!
//! ```sh
//! cargo run -p vdpa-ovs --example ovsdb -- [--ssl CA,CERT,KEY] [--leader] REMOTE COMMAND
//!     list-dbs
//!     schema   DATABASE                            # tables, columns and what they hold
//!     dump     DATABASE [TABLE [COLUMN ...]]       # one row a line
//!     transact '["DATABASE", {"op": ...}, ...]'    # any transaction, as JSON
//!     monitor  DATABASE [TABLE [COLUMN ...]]       # what is there, and then what changes, for ever
//!     wait     DATABASE TABLE COLUMN VALUE [SECONDS]   # until a row has that value
//! ```
//!
//! REMOTE is `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`, or several of them with commas between: the members of a
//! cluster. Everything is printed as JSON, one text a line.

use std::{env, process::ExitCode, time::Duration};

use serde_json::{Value as Json, json};
use vdpa_ovs::{
    Error,
    ovsdb::{Client, Database, Dynamic, Member, Options, Remote, Replica, Row, Uuid, Value},
};

const USAGE: &str = "usage: ovsdb [--ssl CA,CERT,KEY] [--leader] REMOTE \
                     (list-dbs | schema | dump | transact | monitor | wait) ARGUMENTS";

/// Why nothing came of it.
enum Failure {
    Usage(String),
    Ovsdb(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ovsdb(error)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("error: {text}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Ovsdb(error)) => {
            eprintln!("error: {error}");
            if let Some(source) = std::error::Error::source(&error) {
                eprintln!("  {source}");
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(mut words: &[&str]) -> Result<(), Failure> {
    let mut options = Options::default();
    let mut leader = false;
    loop {
        words = match words {
            ["--ssl", files, rest @ ..] => {
                options.tls = Some(tls(files)?);
                rest
            }
            ["--leader", rest @ ..] => {
                leader = true;
                rest
            }
            _ => break,
        };
    }
    let [remote, command, arguments @ ..] = words else {
        return Err(Failure::Usage("a remote and a command are needed".to_owned()));
    };
    if let (true, [database, ..]) = (leader, arguments) {
        options.member = Some(Member::leader_of(database));
    }
    let client = Client::with(Remote::list(remote)?, options);
    match (*command, arguments) {
        ("list-dbs", []) => client.databases().await?.iter().for_each(|name| println!("{name}")),
        ("schema", [database]) => schema(&client, database).await?,
        ("dump", [database, what @ ..]) => {
            for (table, uuid, row) in rows(&replicate(&client, database, what).await?) {
                println!("{}", line(&table, uuid, &row));
            }
        }
        ("transact", [text]) => transact(&client, text).await?,
        ("monitor", [database, what @ ..]) => monitor(&replicate(&client, database, what).await?).await,
        ("wait", [database, table, column, value]) => {
            wait(&client, database, table, column, value, 30).await?;
        }
        ("wait", [database, table, column, value, seconds]) => {
            let number = seconds.parse().map_err(|_| Failure::Usage(format!("{seconds:?} is no number")))?;
            wait(&client, database, table, column, value, number).await?;
        }
        _ => return Err(Failure::Usage(format!("{command:?} is no command with such arguments"))),
    }
    Ok(())
}

#[cfg(feature = "tls")]
fn tls(files: &str) -> Result<vdpa_ovs::ovsdb::Tls, Failure> {
    let [authority, certificate, key] = files.split(',').collect::<Vec<_>>()[..] else {
        return Err(Failure::Usage("--ssl takes three files with commas between".to_owned()));
    };
    Ok(vdpa_ovs::ovsdb::Tls::from_files(authority.as_ref(), certificate.as_ref(), key.as_ref())?)
}

#[cfg(not(feature = "tls"))]
fn tls(_: &str) -> Result<vdpa_ovs::ovsdb::Tls, Failure> {
    Err(Failure::Usage("--ssl needs the feature tls: `cargo run --features tls …`".to_owned()))
}

/// A database, a table of it, or some columns of that, in memory.
async fn replicate(client: &Client, database: &str, what: &[&str]) -> Result<Replica<Dynamic>, Error> {
    let schema = client.schema(database).await?;
    let (tables, columns) = what.split_at(what.len().min(1));
    client.replicate_some(Dynamic::new(&schema, tables, columns)?, []).await
}

/// Every row, in an order that does not change.
fn rows(replica: &Replica<Dynamic>) -> Vec<(String, Uuid, Row)> {
    let database = replica.read();
    let tables = database.iter().zip(database.wanted());
    let mut rows: Vec<_> = tables
        .flat_map(|(table, wanted)| {
            let name = wanted.table.into_owned();
            table.iter().map(move |(uuid, row)| (name.clone(), uuid, Row::clone(row)))
        })
        .collect();
    rows.sort_by(|(table, uuid, _), (other, than, _)| (table, uuid).cmp(&(other, than)));
    rows
}

fn line(table: &str, uuid: Uuid, row: &Row) -> Json {
    json!({ "table": table, "uuid": uuid, "row": row })
}

async fn schema(client: &Client, database: &str) -> Result<(), Error> {
    let schema = client.schema(database).await?;
    for (name, table) in &schema.tables {
        let columns: serde_json::Map<_, _> = table
            .columns
            .iter()
            .map(|(name, column)| (name.clone(), column.kind.shape().to_string().into()))
            .collect();
        println!("{}", json!({ "table": name, "root": table.is_root, "columns": columns }));
    }
    Ok(())
}

async fn transact(client: &Client, text: &str) -> Result<(), Failure> {
    let params: Json = serde_json::from_str(text).map_err(|error| Failure::Usage(error.to_string()))?;
    let reply = client.call("transact", &params, Duration::from_mins(1)).await?;
    println!("{}", String::from_utf8_lossy(&reply));
    Ok(())
}

/// A transaction a line: the rows that it changed, before and after.
async fn monitor(replica: &Replica<Dynamic>) {
    let mut changes = replica.changes();
    loop {
        let diff = changes.next().await;
        let rows: Vec<_> = diff
            .tables()
            .flat_map(|table| {
                diff.table::<Row>(table).iter().map(move |change| {
                    json!({
                        "table": table,
                        "uuid": change.uuid,
                        "before": change.before.as_deref(),
                        "after": change.after.as_deref(),
                    })
                })
            })
            .collect();
        println!("{}", Json::from(rows));
    }
}

async fn wait(
    client: &Client,
    database: &str,
    table: &str,
    column: &str,
    value: &str,
    seconds: u64,
) -> Result<(), Failure> {
    // Bare words are text, so that nobody has to quote quotes.
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    let replica = replicate(client, database, &[table, column]).await?;
    let has = |row: &Row| {
        // A column that nobody has set is left out.
        let Some(seen) = row.get(column) else { return value.is_default() };
        *seen == value || (seen.atom().is_some() && seen.atom() == value.atom())
    };
    let limit = Duration::from_secs(seconds);
    let find = |database: &Dynamic| {
        let found = database.table(table)?.find(|row| has(row));
        found.map(|(uuid, row)| line(table, uuid, row))
    };
    println!("{}", replica.until(limit, find).await?);
    Ok(())
}
