//! Asking for a database's rows and their changes, and reading what comes.
//!
//! | method | since | a changed row is sent as | after a lost connection |
//! |---|---|---|---|
//! | `monitor_cond_since` | OVS 2.12 | its difference | only what is new, if the server still knows |
//! | `monitor_cond` | OVS 2.6 | its difference | everything |
//! | `monitor` | RFC 7047 | all of it | everything, with columns that nobody has set |
//!
//! They are tried in this order: a server that does not know one says so (`unknown method`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    declare::{Database, Wanted},
    json::{Cursor, JsonError},
    op::{Condition, Name},
    table::{AnyTable, Changes},
    uuid::Uuid,
};

/// Which rows are wanted, by table: those of which any condition holds. A table without an entry is wanted whole.
pub(super) type Conditions = BTreeMap<Name, Vec<Condition>>;

/// How rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Since,
    Conditional,
    Plain,
}

/// The `<monitor-requests>` of a method.
pub(super) struct Requests<'a> {
    pub(super) wanted: &'a [Wanted],
    pub(super) conditions: &'a Conditions,
}

/// What a monitor's reply says before its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether what follows is only what is new since the transaction that was asked for.
    pub(super) found: bool,
    /// The last transaction that is in it, if the method tells.
    pub(super) last: Option<Uuid>,
}

#[derive(Serialize)]
struct Request<'a> {
    columns: Vec<&'a str>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    conditions: Option<&'a [Condition]>,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Since => "monitor_cond_since",
            Self::Conditional => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    /// What to try where it is not known. Without conditions there is no way to ask for some rows only.
    pub(super) fn older(self, conditions: &Conditions) -> Option<Self> {
        match self {
            Self::Since => Some(Self::Conditional),
            Self::Conditional if conditions.is_empty() => Some(Self::Plain),
            Self::Conditional | Self::Plain => None,
        }
    }

    /// Reads a reply up to its rows.
    pub(super) fn head(self, cursor: &mut Cursor<'_>) -> Result<Head, JsonError> {
        if self != Self::Since {
            return Ok(Head { found: false, last: None });
        }
        cursor.expect(b'[')?;
        let found = cursor.boolean()?;
        cursor.expect(b',')?;
        let last = transaction(cursor)?;
        cursor.expect(b',')?;
        Ok(Head { found, last: Some(last) })
    }
}

/// Reads the parameters of `update`, `update2` or `update3` up to the rows; gives the transaction, if it is told.
pub(super) fn notified(method: &str, cursor: &mut Cursor<'_>) -> Result<Option<Uuid>, JsonError> {
    cursor.expect(b'[')?;
    cursor.skip()?;
    cursor.expect(b',')?;
    if method != "update3" {
        return Ok(None);
    }
    let last = transaction(cursor)?;
    cursor.expect(b',')?;
    Ok(Some(last))
}

/// Reads `<table-updates>` of any form into tables. After an error what was recorded has to be reverted.
pub(super) fn updates(
    cursor: &mut Cursor<'_>,
    database: &mut impl Database,
    records: &mut [Box<dyn Changes>],
) -> Result<(), JsonError> {
    let mut tables = database.tables_mut();
    cursor.object(|cursor, name| {
        let Some(at) = tables.iter().position(|table| table.name() == name) else {
            return Err(cursor.error(format!("rows of {name}, which was not asked for")));
        };
        tables[at].update(cursor, &mut *records[at])
    })
}

/// Something to record the changes of each table in.
pub(super) fn recorders(tables: &[&dyn AnyTable]) -> Vec<Box<dyn Changes>> {
    tables.iter().map(|table| table.recorder()).collect()
}

fn transaction(cursor: &mut Cursor<'_>) -> Result<Uuid, JsonError> {
    let text = cursor.string()?;
    text.parse().map_err(|error| cursor.error(format!("{error}")))
}

impl Serialize for Requests<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.wanted.len()))?;
        for wanted in self.wanted {
            let request = Request {
                columns: wanted.columns.iter().map(|(name, _)| &**name).collect(),
                conditions: self.conditions.get(&wanted.table).map(Vec::as_slice),
            };
            map.serialize_entry(&wanted.table, &[request])?;
        }
        map.end()
    }
}
