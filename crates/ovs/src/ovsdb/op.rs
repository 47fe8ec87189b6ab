//! The ten operations of a transaction (RFC 7047, section 5.2).

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

use super::{Row, uuid::Uuid, value::Value};

/// A table's or column's name.
pub type Name = Cow<'static, str>;

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Inserts a row. A row of a non-root table that nothing refers to at the end vanishes without an error.
    Insert {
        /// The table.
        table: Name,
        /// Columns with their values; the rest get their defaults.
        row: Row,
        /// The transaction's own name for the row.
        #[serde(rename = "uuid-name", skip_serializing_if = "Option::is_none")]
        uuid_name: Option<String>,
        /// The identity it gets; the server chooses one otherwise. An extension of OVS (2.17 has it).
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<Uuid>,
    },
    /// Reads rows.
    Select {
        /// The table.
        table: Name,
        /// Which rows: all for which every condition holds, so none of them means all rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// Which columns; none means all of them.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        columns: Vec<Name>,
    },
    /// Sets columns.
    Update {
        /// The table.
        table: Name,
        /// Which rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns' new values.
        row: Row,
    },
    /// Changes columns in place, and so without harm to what another writer did to the rest of them.
    Mutate {
        /// The table.
        table: Name,
        /// Which rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The changes, done in order.
        mutations: Vec<Mutation>,
    },
    /// Deletes rows.
    Delete {
        /// The table.
        table: Name,
        /// Which rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
    },
    /// Waits until the rows read as given, or no longer do; holds back nothing but this transaction.
    Wait {
        /// Milliseconds; with 0 it is a check that fails at once.
        timeout: u64,
        /// The table.
        table: Name,
        /// Which rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// Which columns are compared.
        columns: Vec<Name>,
        /// Whether they are to become equal or different.
        until: Until,
        /// What they are compared with.
        rows: Vec<Row>,
    },
    /// Asks for the commit to be on disk before the reply.
    Commit {
        /// Whether it is asked.
        durable: bool,
    },
    /// Gives the transaction up.
    Abort,
    /// Puts a line into the server's log of transactions.
    Comment {
        /// The line.
        comment: String,
    },
    /// Fails unless this connection holds a lock.
    Assert {
        /// The lock.
        lock: String,
    },
}

/// A condition on a row: column, function, value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition(pub(super) Name, pub(super) Function, pub(super) Value);

/// A change to a column: column, mutator, value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mutation(pub(super) Name, pub(super) Mutator, pub(super) Value);

/// How a [`Condition`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; `Includes` and `Excludes` are for sets and maps")]
pub enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

/// How a [`Mutation`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    /// Adds elements to a set, or pairs to a map; a pair whose key is there already changes nothing.
    Insert,
    /// Takes out elements of a set; of a map pairs, or, given a set, keys.
    Delete,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Until {
    /// Until the rows are as given.
    #[serde(rename = "==")]
    Equal,
    /// Until they are not.
    #[serde(rename = "!=")]
    NotEqual,
}

impl Condition {
    /// `column function value`.
    pub fn new(column: impl Into<Name>, function: Function, value: impl Into<Value>) -> Self {
        Self(column.into(), function, value.into())
    }

    /// `column == value`.
    pub fn equal(column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Self::new(column, Function::Equal, value)
    }
}

impl Mutation {
    /// `column mutator value`.
    pub fn new(column: impl Into<Name>, mutator: Mutator, value: impl Into<Value>) -> Self {
        Self(column.into(), mutator, value.into())
    }
}

impl Operation {
    /// Whether the operation changes the database.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Insert { .. } | Self::Update { .. } | Self::Mutate { .. } | Self::Delete { .. })
    }
}

impl Serialize for Function {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::Includes => "includes",
            Self::Excludes => "excludes",
        })
    }
}

impl Serialize for Mutator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Modulo => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        })
    }
}

/// The operation and its table, for people.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert { table, row, .. } => match row.get("name") {
                Some(Value::Atom(name)) => write!(f, "insert {table} {}", name.as_str().unwrap_or_default()),
                _ => write!(f, "insert {table}"),
            },
            Self::Select { table, .. } => write!(f, "select {table}"),
            Self::Update { table, .. } => write!(f, "update {table}"),
            Self::Mutate { table, .. } => write!(f, "mutate {table}"),
            Self::Delete { table, .. } => write!(f, "delete {table}"),
            Self::Wait { table, .. } => write!(f, "wait {table}"),
            Self::Commit { .. } => f.write_str("commit"),
            Self::Abort => f.write_str("abort"),
            Self::Comment { .. } => f.write_str("comment"),
            Self::Assert { lock } => write!(f, "assert {lock}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(operation: &Operation) -> String {
        serde_json::to_string(operation).unwrap()
    }

    #[test]
    fn operations_read_as_in_the_rfc() {
        let uuid: super::super::Uuid = "7b316e1d-d832-45ef-a03d-6a1212d7d15d".parse().unwrap();
        assert_eq!(
            wire(&Operation::Wait {
                timeout: 2000,
                table: "Open_vSwitch".into(),
                conditions: vec![Condition::new("cur_cfg", Function::Less, 7)],
                columns: vec!["cur_cfg".into()],
                until: Until::Equal,
                rows: vec![],
            }),
            r#"{"op":"wait","timeout":2000,"table":"Open_vSwitch","where":[["cur_cfg","<",7]],"columns":["cur_cfg"],"until":"==","rows":[]}"#
        );
        assert_eq!(
            wire(&Operation::Mutate {
                table: "Bridge".into(),
                conditions: vec![Condition::equal("_uuid", uuid)],
                mutations: vec![Mutation::new(
                    "ports",
                    Mutator::Delete,
                    [uuid].into_iter().collect::<Value>()
                )],
            }),
            format!(
                r#"{{"op":"mutate","table":"Bridge","where":[["_uuid","==",["uuid","{uuid}"]]],"mutations":[["ports","delete",["set",[["uuid","{uuid}"]]]]]}}"#
            )
        );
        assert_eq!(wire(&Operation::Abort), r#"{"op":"abort"}"#);
        assert_eq!(wire(&Operation::Commit { durable: true }), r#"{"op":"commit","durable":true}"#);
    }
}
