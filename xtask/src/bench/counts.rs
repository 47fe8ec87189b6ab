//! Counting what a contender did, from what the guest's kernel and daemons write down anyway.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

/// Processes that ended during a measurement, by who started them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Processes {
    /// The contender itself and what it started, and they in turn.
    pub(crate) own: BTreeMap<String, u32>,
    /// What others ran because of it: systemd the start scripts of services, udev its helpers, the kernel `modprobe`.
    pub(crate) others: BTreeMap<String, u32>,
    /// udev's workers.
    pub(crate) udev: u32,
}

impl Processes {
    /// How many the contender started.
    pub(crate) fn started(&self) -> u32 {
        // One of them is the contender.
        self.own.values().sum::<u32>().saturating_sub(1)
    }
}

/// A record of `struct acct_v3` (acct(5), `include/uapi/linux/acct.h`), as long as this.
const RECORD: usize = 64;

struct Account {
    pid: u32,
    parent: u32,
    name: String,
}

fn account(record: &[u8]) -> Result<Account> {
    let version = record[1] & 0x0f;
    ensure!(version == 3, "the kernel's accounts are of version {version}, not 3");
    let number = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    let name = String::from_utf8_lossy(&record[48..]).trim_end_matches('\0').to_owned();
    Ok(Account { pid: number(16), parent: number(20), name })
}

/// Sorts the kernel's accounts of processes; `contender` is the measured one.
pub(crate) fn processes(accounts: &[u8], contender: u32) -> Result<Processes> {
    let accounts: Vec<Account> = accounts.chunks_exact(RECORD).map(account).collect::<Result<_>>()?;
    let parents: BTreeMap<u32, u32> = accounts.iter().map(|account| (account.pid, account.parent)).collect();
    let descends = |pid: u32| {
        let mut seen = BTreeSet::new();
        let mut at = Some(pid);
        while let Some(pid) = at.filter(|pid| seen.insert(*pid)) {
            if pid == contender {
                return true;
            }
            at = parents.get(&pid).copied();
        }
        false
    };
    let mut found = Processes::default();
    for account in &accounts {
        // kthreadd's children are threads of the kernel; perl is the end of the accounting itself.
        if account.parent == 2 || account.name == "perl" {
            continue;
        }
        if descends(account.pid) {
            *found.own.entry(account.name.clone()).or_default() += 1;
        } else if account.name.contains("udev") {
            found.udev += 1;
        } else {
            *found.others.entry(account.name.clone()).or_default() += 1;
        }
    }
    Ok(found)
}

/// Transactions that changed the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Writes {
    /// By clients: `ovs-vsctl` leaves a comment, and whoever waits for ovs-vswitchd raises `next_cfg`.
    pub(crate) clients: u32,
    /// By ovs-vswitchd: what it reports.
    pub(crate) daemon: u32,
}

/// Counts the transactions in a piece of the database's log (ovsdb(5), "File Formats").
pub(crate) fn writes(log: &str) -> Result<Writes> {
    let mut writes = Writes::default();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let record: Value = serde_json::from_str(line).context("cannot read a record of the database")?;
        let comment = record.get("_comment").and_then(Value::as_str).unwrap_or_default();
        let root = record.get("Open_vSwitch").and_then(Value::as_object);
        let raises = root.is_some_and(|rows| rows.values().any(|row| row.get("next_cfg").is_some()));
        if raises || comment.starts_with("ovs-vsctl") {
            writes.clients += 1;
        } else {
            writes.daemon += 1;
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32, parent: u32, name: &str) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[1] = 3;
        record[16..20].copy_from_slice(&pid.to_le_bytes());
        record[20..24].copy_from_slice(&parent.to_le_bytes());
        record[48..48 + name.len()].copy_from_slice(name.as_bytes());
        record
    }

    #[test]
    fn a_process_belongs_to_the_contender_through_its_parents() {
        let accounts = [
            record(12, 11, "ip"),
            record(11, 10, "bash"),
            record(10, 9, "bash"),
            record(20, 19, "(udev-worker)"),
            record(31, 30, "ovs-ctl"),
            record(30, 1, "ovs-systemd-rel"),
            record(40, 2, "kworker/0:1"),
            record(50, 9, "perl"),
        ];
        let found = processes(&accounts.concat(), 10).unwrap();
        assert_eq!(found.own, [("bash".to_owned(), 2), ("ip".to_owned(), 1)].into());
        assert_eq!(found.started(), 2);
        assert_eq!(found.udev, 1);
        assert_eq!(found.others.values().sum::<u32>(), 2);
    }

    #[test]
    fn accounts_of_another_version_are_refused() {
        let mut other = record(1, 0, "init");
        other[1] = 2;
        assert!(processes(&other, 1).is_err());
    }

    #[test]
    fn a_transaction_is_a_clients_or_the_daemons() {
        let log = r#"OVSDB JSON 95 4f98
{"_date":1,"Bridge":{"98f9":{"name":"ovs-sriov"}},"Open_vSwitch":{"9ba6":{"next_cfg":1}}}
OVSDB JSON 60 1350
{"_date":1,"Open_vSwitch":{"9ba6":{"cur_cfg":1}}}
OVSDB JSON 60 1350
{"_comment":"ovs-vsctl (invoked by bash): ovs-vsctl --no-wait add-br x","Bridge":{}}
"#;
        assert_eq!(writes(log).unwrap(), Writes { clients: 2, daemon: 1 });
    }
}
