//! A database's schema (RFC 7047, section 3.2), and holding against it what is to be sent.

mod wire;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    op::Operation,
    row::Row,
    rpc::Rpc,
    uuid::Uuid,
    value::{Atom, Map, Value},
};
use crate::Error;

/// A database's tables.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DatabaseSchema {
    /// The database's name.
    pub name: String,
    /// Its version, `8.3.1`.
    #[serde(default)]
    pub version: Option<String>,
    /// The tables by name.
    pub tables: BTreeMap<String, TableSchema>,
}

/// A table's columns.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TableSchema {
    /// The columns by name, without `_uuid` and `_version`.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// The most rows it can have.
    #[serde(default, rename = "maxRows")]
    pub max_rows: Option<u64>,
    /// Whether its rows stay without anything that refers to them.
    #[serde(default, rename = "isRoot")]
    pub is_root: bool,
    /// The sets of columns in which no two rows are equal.
    #[serde(default)]
    pub indexes: Vec<Vec<String>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ColumnSchema {
    /// What it can hold.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether it is forgotten when the server ends.
    #[serde(default)]
    pub ephemeral: bool,
    /// Whether it can be changed once the row is there.
    #[serde(default = "yes")]
    pub mutable: bool,
}

/// What a column can hold: so many keys, or pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type of its elements, or of a map's keys.
    pub key: BaseType,
    /// The type of a map's values.
    pub value: Option<BaseType>,
    /// The fewest elements: 0 or 1.
    pub min: u32,
    /// The most elements; none if there is no limit.
    pub max: Option<u32>,
}

/// An atom's type and whom it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The type.
    pub kind: AtomType,
    /// The only values it can have.
    pub one_of: Option<Vec<Atom>>,
    /// The table that a UUID refers to.
    pub refers_to: Option<String>,
    /// Whether such a reference keeps its row alive.
    pub is_strong: bool,
}

/// The five types of atoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum AtomType {
    Integer,
    Real,
    Boolean,
    String,
    Uuid,
}

/// A column's type without its constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Exactly one.
    Scalar(AtomType),
    /// One or none.
    Optional(AtomType),
    /// Possibly more than one.
    Set(AtomType),
    /// Pairs.
    Map(AtomType, AtomType),
}

impl DatabaseSchema {
    /// Asks a server for the schema of one of its databases. The text of it in `_Server` would cost the server a third, but
    /// it is the old one after a conversion (ovsdb-server 3.1).
    pub async fn fetch(rpc: &Rpc, database: &str, limit: Duration) -> Result<Self, Error> {
        Self::read(&rpc.call("get_schema", &[database], limit).await?)
    }

    /// Reads a reply to `get_schema`.
    pub(super) fn read(reply: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(reply)
            .map_err(|error| Error::Protocol { during: "get_schema".to_owned(), text: error.to_string() })
    }

    /// Holds operations against the schema: tables and columns are there, and values are of their types.
    pub fn check(&self, operations: &[Operation]) -> Result<(), Error> {
        operations.iter().enumerate().try_for_each(|(index, operation)| {
            self.check_one(operation).map_err(|text| self.error(&format!("operation {index}: {text}")))
        })
    }

    /// Holds a table and its columns, with what they are taken for, against the schema.
    pub fn check_table(&self, table: &str, columns: &[(&str, Option<Shape>)]) -> Result<(), Error> {
        let found = self.table(table).map_err(|text| self.error(&text))?;
        for (name, shape) in columns {
            let seen = found.shape(table, name).map_err(|text| self.error(&text))?;
            if let Some(shape) = shape.filter(|shape| *shape != seen) {
                return Err(self.error(&format!("column {name} of {table} holds {seen}, not {shape}")));
            }
        }
        Ok(())
    }

    fn check_one(&self, operation: &Operation) -> Result<(), String> {
        let (table, conditions, columns): (_, &[_], &[_]) = match operation {
            Operation::Insert { table, .. } => (table, &[], &[]),
            Operation::Update { table, conditions, .. }
            | Operation::Mutate { table, conditions, .. }
            | Operation::Delete { table, conditions } => (table, conditions, &[]),
            Operation::Select { table, conditions, columns }
            | Operation::Wait { table, conditions, columns, .. } => (table, conditions, columns),
            Operation::Commit { .. }
            | Operation::Abort
            | Operation::Comment { .. }
            | Operation::Assert { .. } => return Ok(()),
        };
        let found = self.table(table)?;
        for name in columns.iter().chain(conditions.iter().map(|condition| &condition.0)) {
            found.shape(table, name)?;
        }
        match operation {
            Operation::Insert { row, .. } | Operation::Update { row, .. } => found.check_row(table, row),
            Operation::Wait { rows, .. } => rows.iter().try_for_each(|row| found.check_row(table, row)),
            Operation::Mutate { mutations, .. } => {
                mutations.iter().try_for_each(|mutation| found.shape(table, &mutation.0).map(|_| ()))
            }
            _ => Ok(()),
        }
    }

    fn table(&self, name: &str) -> Result<&TableSchema, String> {
        self.tables.get(name).ok_or_else(|| format!("there is no table {name}"))
    }

    fn error(&self, text: &str) -> Error {
        let version = self.version.as_deref().map(|version| format!(" (version {version})"));
        let text = format!("{text}{}", version.unwrap_or_default());
        Error::Schema { database: self.name.clone(), text }
    }
}

impl TableSchema {
    /// A column's shape; every table has `_uuid` and `_version`.
    fn shape(&self, table: &str, column: &str) -> Result<Shape, String> {
        if matches!(column, "_uuid" | "_version") {
            return Ok(Shape::Scalar(AtomType::Uuid));
        }
        let column = self.columns.get(column).ok_or_else(|| format!("{table} has no column {column}"))?;
        Ok(column.kind.shape())
    }

    fn check_row(&self, table: &str, row: &Row) -> Result<(), String> {
        row.iter().try_for_each(|(name, value)| {
            let shape = self.shape(table, name)?;
            if shape.admits(value) {
                Ok(())
            } else {
                let value = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
                Err(format!("column {name} of {table} holds {shape}, not {value}"))
            }
        })
    }
}

impl ColumnType {
    /// What a column reads that nobody has set (RFC 7047, section 5.2.1).
    pub fn unset(&self) -> Value {
        match (&self.value, self.min) {
            (Some(_), _) => Value::Map(Map::new()),
            (None, 0) => Value::none(),
            (None, _) => Value::Atom(self.key.kind.unset()),
        }
    }

    /// The type without its constraints.
    pub fn shape(&self) -> Shape {
        match (&self.value, self.min, self.max) {
            (Some(value), ..) => Shape::Map(self.key.kind, value.kind),
            (None, 1, Some(1)) => Shape::Scalar(self.key.kind),
            (None, 0, Some(1)) => Shape::Optional(self.key.kind),
            _ => Shape::Set(self.key.kind),
        }
    }
}

impl Shape {
    /// Whether a value is of it.
    pub fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Map(key, kind), Value::Map(map)) => {
                map.iter().all(|(name, value)| key.admits(name) && kind.admits(value))
            }
            (Self::Map(..), _) | (_, Value::Map(_)) => false,
            (Self::Scalar(kind) | Self::Optional(kind) | Self::Set(kind), Value::Atom(atom)) => {
                kind.admits(atom)
            }
            (Self::Scalar(kind), Value::Set(set)) => set.len() == 1 && set.iter().all(|a| kind.admits(a)),
            (Self::Optional(kind), Value::Set(set)) => set.len() <= 1 && set.iter().all(|a| kind.admits(a)),
            (Self::Set(kind), Value::Set(set)) => set.iter().all(|atom| kind.admits(atom)),
        }
    }
}

impl AtomType {
    /// Zero, false, "", the nil UUID.
    fn unset(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(0.0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(String::new()),
            Self::Uuid => Atom::Uuid(Uuid(0)),
        }
    }

    /// Whether an atom is of it. A row's name in its transaction stands for its identity, an integer for a real.
    pub fn admits(self, atom: &Atom) -> bool {
        matches!(
            (self, atom),
            (Self::Integer | Self::Real, Atom::Integer(_))
                | (Self::Real, Atom::Real(_))
                | (Self::Boolean, Atom::Boolean(_))
                | (Self::String, Atom::String(_))
                | (Self::Uuid, Atom::Uuid(_) | Atom::NamedUuid(_))
        )
    }
}

impl fmt::Display for AtomType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(kind) => write!(f, "one {kind}"),
            Self::Optional(kind) => write!(f, "an optional {kind}"),
            Self::Set(kind) => write!(f, "a set of {kind}"),
            Self::Map(key, value) => write!(f, "a map from {key} to {value}"),
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::{Condition, Transaction};

    fn schema() -> DatabaseSchema {
        serde_json::from_str(
            r#"{"name":"d","version":"1.2.3","cksum":"1 2","tables":{"T":{"isRoot":true,"indexes":[["name"]],"columns":{
                "name":{"type":"string","mutable":false},
                "ofport":{"type":{"key":{"type":"integer","minInteger":0},"min":0}},
                "rows":{"type":{"key":{"type":"uuid","refTable":"T","refType":"weak"},"min":0,"max":"unlimited"}},
                "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"},"ephemeral":true},
                "mode":{"type":{"key":{"type":"string","enum":["set",["a","b"]]}}}}}}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_schema_is_read() {
        let schema = schema();
        let columns = &schema.tables["T"].columns;
        assert!(schema.tables["T"].is_root && !columns["name"].mutable && columns["ids"].ephemeral);
        assert_eq!(columns["name"].kind.shape(), Shape::Scalar(AtomType::String));
        assert_eq!(columns["ofport"].kind.shape(), Shape::Optional(AtomType::Integer));
        assert_eq!(columns["rows"].kind.shape(), Shape::Set(AtomType::Uuid));
        assert_eq!(columns["ids"].kind.shape(), Shape::Map(AtomType::String, AtomType::String));
        for column in columns.values() {
            assert!(column.kind.unset().is_default() && column.kind.shape().admits(&column.kind.unset()));
        }
        let rows = &columns["rows"].kind;
        assert_eq!((rows.key.refers_to.as_deref(), rows.key.is_strong, rows.max), (Some("T"), false, None));
        assert_eq!(columns["mode"].kind.key.one_of.as_ref().map(Vec::len), Some(2));
    }

    #[test]
    fn what_does_not_fit_is_named_before_it_is_sent() {
        let check = |build: &dyn Fn(&mut Transaction)| {
            let mut txn = Transaction::new("d");
            build(&mut txn);
            schema().check(txn.operations()).map_err(|error| error.to_string())
        };
        let row = |row: &Row| check(&|txn| _ = txn.insert("T", row.clone()));
        assert_eq!(
            row(&Row::new().with("name", "x").with("ofport", 7).with("ofport", Value::none())),
            Ok(())
        );
        let error = "the schema of d does not fit: operation 0: ";
        let missing = check(&|txn| _ = txn.select("U", vec![], &[])).unwrap_err();
        assert_eq!(missing, format!("{error}there is no table U (version 1.2.3)"));
        let column = check(&|txn| _ = txn.select("T", vec![Condition::equal("nam", "x")], &[])).unwrap_err();
        assert_eq!(column, format!("{error}T has no column nam (version 1.2.3)"));
        let value = row(&Row::new().with("ids", "x")).unwrap_err();
        let text = r#"column ids of T holds a map from string to string, not "x" (version 1.2.3)"#;
        assert_eq!(value, format!("{error}{text}"));
        assert!(row(&Row::new().with("name", 5)).is_err());
        assert_eq!(check(&|txn| _ = txn.select("T", vec![], &["_uuid"])), Ok(()));
    }
}
