//! What somebody has set in the rows of our ports.
//!
//! A row has some twenty columns that can be set, of which one or two are, and as many again in which ovs-vswitchd
//! reports, among them all counters. So the server is asked column by column, each time for the rows in which it is not as
//! by default: it then sends what is set and nothing else. Which columns there are, and how they read by default, its own
//! schema tells, so that a setting is seen whichever version it is.

use std::collections::{BTreeMap, HashMap};

use super::{DATABASE, OWNER_TAG, PORT_TAG, view};
use crate::{
    Error,
    ovsdb::{
        ColumnSchema, Condition, DatabaseSchema, Function, Operation, OperationResult, Row, Transaction, Uuid,
    },
};

/// The column whose keys belong to many: our tags are among them.
const IDS: &str = "external_ids";

/// The tables whose rows carry our tag, each with the columns that are no settings although the server keeps them
/// (ovs-vswitchd.conf.db(5)): what a row is, and what ovs-vswitchd reports. A port's `external_ids` are read with the port.
const TABLES: [(&str, &[&str]); 2] = [
    ("Port", &["name", "interfaces", "bond_active_slave", IDS]),
    ("Interface", &["name", "ofport", "error", "cfm_flap_count"]),
];

/// The transaction that reads them: a read for each column that can be set.
pub(super) fn transaction(schema: &DatabaseSchema) -> Transaction {
    let mut txn = Transaction::new(DATABASE);
    for (table, column, found) in columns(schema) {
        let is_set = Condition::new(column.clone(), Function::NotEqual, found.kind.unset());
        txn.push(Operation::Select {
            table: table.into(),
            conditions: vec![view::tagged(), is_set],
            columns: vec!["_uuid".into(), column.clone().into()],
        });
    }
    txn
}

/// Every column that can be set. What ovs-vswitchd reports is forgotten when the server ends, save the few of [`TABLES`].
fn columns(schema: &DatabaseSchema) -> impl Iterator<Item = (&'static str, &String, &ColumnSchema)> {
    TABLES.into_iter().flat_map(|(table, reported)| {
        let columns = schema.tables.get(table).into_iter().flat_map(|table| &table.columns);
        columns
            .filter(|(name, column)| !column.ephemeral && !reported.contains(&name.as_str()))
            .map(move |(name, column)| (table, name, column))
    })
}

/// Reads what [`transaction`] brought: what is set in each row, by its identity.
pub(super) fn read(results: &[OperationResult]) -> Result<HashMap<Uuid, Row>, Error> {
    let mut rows: HashMap<Uuid, Row> = HashMap::new();
    for row in results.iter().flat_map(|result| &result.rows) {
        let set = rows.entry(row.uuid("_uuid")?).or_default();
        for (column, value) in row.iter().filter(|(column, _)| *column != "_uuid") {
            set.set(column, value.clone());
        }
    }
    for set in rows.values_mut().filter(|set| set.get(IDS).is_some()) {
        let ids = set.text_map(IDS)?;
        set_ids(set, &ids);
    }
    Ok(rows)
}

/// Sets a row's `external_ids`, without our tags.
pub(super) fn set_ids(set: &mut Row, ids: &BTreeMap<String, String>) {
    let mut ids = ids.clone();
    ids.retain(|key, _| key != OWNER_TAG && key != PORT_TAG);
    if ids.is_empty() {
        set.remove(IDS);
    } else {
        set.set(IDS, &ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in vswitchd/vswitch.ovsschema, with a column of the future and without most.
    fn schema() -> DatabaseSchema {
        let any = r#""min":0,"max":"unlimited""#;
        serde_json::from_str(&format!(
            r#"{{"name":"Open_vSwitch","tables":{{
                "Bridge":{{"columns":{{"name":{{"type":"string"}}}}}},
                "Port":{{"columns":{{
                    "name":{{"type":"string"}},
                    "tag":{{"type":{{"key":"integer","min":0}}}},
                    "protected":{{"type":"boolean"}},
                    "statistics":{{"type":{{"key":"string","value":"integer",{any}}},"ephemeral":true}},
                    "external_ids":{{"type":{{"key":"string","value":"string",{any}}}}}}}}},
                "Interface":{{"columns":{{
                    "ofport":{{"type":{{"key":"integer","min":0}}}},
                    "colour":{{"type":"string"}},
                    "external_ids":{{"type":{{"key":"string","value":"string",{any}}}}}}}}}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn each_column_that_can_be_set_is_asked_for_where_it_is() {
        let txn = transaction(&schema());
        let asked: Vec<String> =
            txn.operations().iter().map(|operation| serde_json::to_string(operation).unwrap()).collect();
        let select = |table: &str, column: &str, unset: &str| {
            format!(
                r#"{{"op":"select","table":"{table}","where":[["external_ids","includes",["map",[["vdpa-owner","vdpa"]]]],["{column}","!=",{unset}]],"columns":["_uuid","{column}"]}}"#
            )
        };
        let expected = [
            select("Port", "protected", "false"),
            select("Port", "tag", r#"["set",[]]"#),
            select("Interface", "colour", r#""""#),
            select("Interface", "external_ids", r#"["map",[]]"#),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn what_is_set_in_a_row_is_brought_together_without_our_tags() {
        let uuid = |n: u8| format!(r#"["uuid","7b316e1d-d832-45ef-a03d-6a1212d7d15{n}"]"#);
        let result = |rows: &[String]| OperationResult {
            rows: rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect(),
            ..OperationResult::default()
        };
        let ids = r#"["map",[["vdpa-owner","vdpa"],["vdpa-port","p"],["iface-id","x"]]]"#;
        let ours = r#"["map",[["vdpa-owner","vdpa"],["vdpa-port","p"]]]"#;
        let results = [
            result(&[format!(r#"{{"_uuid":{},"tag":0}}"#, uuid(1))]),
            result(&[]),
            result(&[
                format!(r#"{{"_uuid":{},"external_ids":{ids}}}"#, uuid(1)),
                format!(r#"{{"_uuid":{},"external_ids":{ours}}}"#, uuid(2)),
            ]),
        ];
        let rows: Vec<Row> = read(&results).unwrap().into_values().filter(|row| !row.is_empty()).collect();
        let ids = BTreeMap::from([("iface-id".to_owned(), "x".to_owned())]);
        assert_eq!(rows, [Row::new().with("tag", 0).with(IDS, &ids)], "a tag of 0 is a setting");
    }
}
