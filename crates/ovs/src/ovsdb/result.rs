//! What a transaction comes back with: one result an operation, and the errors of RFC 7047.

use std::fmt;

use serde::Deserialize;

use super::{
    Operation, Row,
    json::{Cursor, JsonError},
    uuid::Uuid,
    value::Value,
};
use crate::Error;

/// What one operation did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationResult {
    /// The row an insert made.
    pub uuid: Option<Uuid>,
    /// How many rows an update, mutate or delete met.
    pub count: Option<u64>,
    /// What a select read.
    pub rows: Vec<Row>,
}

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An error of the database (RFC 7047, sections 3.1, 4.1.3 and 5.2).
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)*
            /// One that the RFC does not name; ovsdb-server has several.
            Other(String),
        }

        impl From<&str> for ErrorKind {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Other(text.to_owned()),
                }
            }
        }

        impl fmt::Display for ErrorKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                })
            }
        }
    };
}

error_kinds! {
    /// A row would refer to one that does not exist.
    ReferentialIntegrityViolation = "referential integrity violation",
    /// A column's or an index's constraint would not hold.
    ConstraintViolation = "constraint violation",
    /// The server lacks memory or disk.
    ResourcesExhausted = "resources exhausted",
    /// The server could not write its log.
    IoError = "I/O error",
    /// Two rows were given one name.
    DuplicateUuidName = "duplicate uuid-name",
    /// A division by zero.
    DomainError = "domain error",
    /// A result out of its column's range.
    RangeError = "range error",
    /// A `wait` that did not come true in time.
    TimedOut = "timed out",
    /// Something this server cannot do, such as a durable commit.
    NotSupported = "not supported",
    /// The transaction aborted itself.
    Aborted = "aborted",
    /// An `assert` of a lock that this connection does not hold.
    NotOwner = "not owner",
    /// No such database.
    UnknownDatabase = "unknown database",
    /// The call was canceled.
    Canceled = "canceled",
    /// The role may not do this (an extension of OVS).
    PermissionError = "permission error",
    /// The request is not in the protocol's form, or names a table that is not there.
    SyntaxError = "syntax error",
    /// No such column (OVS's reading of a syntax error).
    UnknownColumn = "unknown column",
    /// No such method of the protocol, or an older server.
    UnknownMethod = "unknown method",
    /// A row was to be given the identity of another (an extension of OVS).
    DuplicateUuid = "duplicate uuid",
    /// A monitor of that name is there already.
    DuplicateMonitorId = "duplicate monitor ID",
    /// A call with that id is in flight already.
    DuplicateRequestId = "duplicate request ID",
    /// No monitor of that name.
    UnknownMonitor = "unknown monitor",
    /// No monitor of that name whose conditions could be changed.
    UnknownMonitorSession = "unknown monitor session",
    /// A map or set that has a key twice.
    OvsdbError = "ovsdb error",
    /// The database is being closed, or its schema converted.
    DatabaseNotAvailable = "database not available",
    /// The cluster could not agree to it.
    ClusterError = "cluster error",
    /// This server does not lead the cluster.
    NotLeader = "not leader",
    /// What the server has on disk does not fit together.
    InconsistentData = "inconsistent data",
    /// A table or column that may not be touched.
    NotAllowed = "not allowed",
    /// A fault of the server's.
    InternalError = "internal error",
}

/// A result as it comes.
#[derive(Default)]
struct Wire {
    error: Option<String>,
    details: Option<String>,
    uuid: Option<Value>,
    count: Option<u64>,
    rows: Option<Vec<Row>>,
}

impl Wire {
    /// Reads a result, or the `null` of an operation that was not reached.
    fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, JsonError> {
        if cursor.peek() == b'n' {
            return cursor.null().map(|()| None);
        }
        let mut wire = Self::default();
        cursor.object(|cursor, member| match member {
            "error" => once(&mut wire.error, optional_text(cursor)?, cursor),
            "details" => once(&mut wire.details, optional_text(cursor)?, cursor),
            "uuid" => once(&mut wire.uuid, Some(Value::read(cursor)?), cursor),
            "count" => {
                let count = u64::try_from(cursor.integer()?);
                let count = count.map_err(|_| cursor.error("a count below zero"))?;
                once(&mut wire.count, Some(count), cursor)
            }
            "rows" => {
                let mut rows = Vec::new();
                cursor.array(|cursor| Row::read(cursor).map(|row| rows.push(row)))?;
                once(&mut wire.rows, Some(rows), cursor)
            }
            _ => cursor.skip(),
        })?;
        Ok(Some(wire))
    }
}

/// Takes a member, which a result has once.
fn once<T>(member: &mut Option<T>, value: Option<T>, cursor: &Cursor<'_>) -> Result<(), JsonError> {
    if member.is_some() {
        return Err(cursor.error("a member that a result has twice"));
    }
    *member = value;
    Ok(())
}

fn optional_text(cursor: &mut Cursor<'_>) -> Result<Option<String>, JsonError> {
    if cursor.peek() == b'n' {
        return cursor.null().map(|()| None);
    }
    cursor.string().map(|text| Some(text.into_owned()))
}

/// A refusal's error and its details. It may be a text, or an object (RFC 7047, section 3.1, `<error>`).
pub(super) fn refusal(json: &[u8]) -> (ErrorKind, String) {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Refusal {
        Text(String),
        Object { error: String, details: Option<String>, syntax: Option<String> },
    }
    match serde_json::from_slice(json) {
        Ok(Refusal::Text(text)) => (text.as_str().into(), String::new()),
        Ok(Refusal::Object { error, details, syntax }) => {
            let syntax = syntax.map(|syntax| format!("at {syntax}"));
            let parts: Vec<_> = [details, syntax].into_iter().flatten().collect();
            (error.as_str().into(), parts.join(", "))
        }
        Err(_) => (ErrorKind::Other(String::from_utf8_lossy(json).into_owned()), String::new()),
    }
}

/// Reads the result array of a transaction.
///
/// The array is as long as the operations, with `null` after a failed one; or one longer, and then the last
/// element is the commit's error.
pub(super) fn read(operations: &[Operation], json: &[u8]) -> Result<Vec<OperationResult>, Error> {
    let protocol = |text: String| Error::Protocol { during: "transact".to_owned(), text };
    let mut wire = Vec::with_capacity(operations.len());
    let mut cursor = Cursor::new(json);
    let whole = cursor.array(|cursor| Wire::read(cursor).map(|result| wire.push(result)));
    whole.and_then(|()| cursor.end()).map_err(|error| protocol(error.to_string()))?;
    let length = wire.len();
    let mut results = Vec::with_capacity(length);
    for (index, result) in wire.into_iter().enumerate() {
        match (result, operations.get(index)) {
            (Some(Wire { error: Some(error), details, .. }), operation) => {
                let (kind, details) = (error.as_str().into(), details.unwrap_or_default());
                return Err(match operation {
                    Some(operation) => Error::Op { index, operation: operation.to_string(), kind, details },
                    None => Error::Commit { kind, details },
                });
            }
            (Some(wire), Some(_)) => results.push(OperationResult {
                uuid: wire.uuid.as_ref().and_then(Value::atom).and_then(super::Atom::as_uuid),
                count: wire.count,
                rows: wire.rows.unwrap_or_default(),
            }),
            (None, _) => {
                return Err(protocol(format!("no result for operation {index} and no error before it")));
            }
            (Some(_), None) => {
                return Err(protocol(format!("{length} results for {} operations", operations.len())));
            }
        }
    }
    if results.len() < operations.len() {
        return Err(protocol(format!("{length} results for {} operations", operations.len())));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Operation> {
        vec![Operation::Comment { comment: "x".to_owned() }, Operation::Abort]
    }

    #[test]
    fn an_operations_error_has_its_index_and_the_nulls_after_it_are_none() {
        let error =
            read(&two()[1..], r#"[{"error":"aborted","details":"as asked"}]"#.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "OVSDB refused operation 0 (abort): aborted: as asked");
        let error = read(&two(), r#"[{"error":"timed out","details":""},null]"#.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Op { index: 0, kind: ErrorKind::TimedOut, .. }), "{error:?}");
    }

    #[test]
    fn one_result_too_many_is_the_commits_error() {
        let error = read(&two(), r#"[{},{},{"error":"constraint violation","details":"index"}]"#.as_bytes())
            .unwrap_err();
        assert!(
            matches!(&error, Error::Commit { kind: ErrorKind::ConstraintViolation, details } if details == "index")
        );
    }

    #[test]
    fn an_error_outside_the_rfc_keeps_its_text() {
        let error = read(&two(), r#"[{},{"error":"something else","details":"x"}]"#.as_bytes()).unwrap_err();
        assert!(matches!(&error, Error::Op { kind: ErrorKind::Other(text), .. } if text == "something else"));
    }

    #[test]
    fn results_that_do_not_fit_the_operations_are_refused() {
        let no_results =
            [r#"[{},{"count":-1}]"#, r#"[{},{"count":1,"count":2}]"#, r#"[{},{"rows":[],"rows":[]}]"#];
        for json in ["[]", "[{}]", "[{},null]", "[{},{},{}]", "{}", "null"].into_iter().chain(no_results) {
            assert!(matches!(read(&two(), json.as_bytes()), Err(Error::Protocol { .. })), "{json} was taken");
        }
    }

    #[test]
    fn a_refusal_is_text_or_an_object() {
        assert_eq!(refusal(br#""unknown method""#), (ErrorKind::UnknownMethod, String::new()));
        let object = br#"{"error":"unknown database","details":"x","syntax":"[1]"}"#;
        assert_eq!(refusal(object), (ErrorKind::UnknownDatabase, "x, at [1]".to_owned()));
        assert_eq!(refusal(b"[7]"), (ErrorKind::Other("[7]".to_owned()), String::new()));
    }

    #[test]
    fn every_kind_round_trips() {
        for text in ["constraint violation", "timed out", "I/O error", "not owner", "something else"] {
            assert_eq!(ErrorKind::from(text).to_string(), text);
        }
    }
}
