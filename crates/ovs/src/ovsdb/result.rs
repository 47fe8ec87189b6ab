//! What a transaction comes back with: one result an operation, and the errors of RFC 7047.

use std::fmt;

use serde::Deserialize;

use super::{Operation, Row, uuid::Uuid, value::Value};
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
    /// The request is not in the protocol's form.
    SyntaxError = "syntax error",
}

#[derive(Deserialize)]
struct Wire {
    error: Option<String>,
    #[serde(default)]
    details: Option<String>,
    uuid: Option<Value>,
    count: Option<u64>,
    #[serde(default)]
    rows: Vec<Row>,
}

/// Reads the result array of a transaction.
///
/// The array is as long as the operations, with `null` after a failed one; or one longer, and then the last
/// element is the commit's error.
pub(super) fn read(operations: &[Operation], json: &str) -> Result<Vec<OperationResult>, Error> {
    let protocol = |text: String| Error::Protocol { during: "transact".to_owned(), text };
    let wire: Vec<Option<Wire>> = serde_json::from_str(json).map_err(|error| protocol(error.to_string()))?;
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
                rows: wire.rows,
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
        let error = read(&two()[1..], r#"[{"error":"aborted","details":"as asked"}]"#).unwrap_err();
        assert_eq!(error.to_string(), "OVSDB refused operation 0 (abort): aborted: as asked");
        let error = read(&two(), r#"[{"error":"timed out","details":""},null]"#).unwrap_err();
        assert!(matches!(error, Error::Op { index: 0, kind: ErrorKind::TimedOut, .. }), "{error:?}");
    }

    #[test]
    fn one_result_too_many_is_the_commits_error() {
        let error =
            read(&two(), r#"[{},{},{"error":"constraint violation","details":"index"}]"#).unwrap_err();
        assert!(
            matches!(&error, Error::Commit { kind: ErrorKind::ConstraintViolation, details } if details == "index")
        );
    }

    #[test]
    fn an_error_outside_the_rfc_keeps_its_text() {
        let error = read(&two(), r#"[{},{"error":"unknown column","details":"x"}]"#).unwrap_err();
        assert!(matches!(&error, Error::Op { kind: ErrorKind::Other(text), .. } if text == "unknown column"));
    }

    #[test]
    fn results_that_do_not_fit_the_operations_are_refused() {
        for json in ["[]", "[{}]", "[{},null]", "[{},{},{}]", "{}", "null"] {
            assert!(matches!(read(&two(), json), Err(Error::Protocol { .. })), "{json} was taken");
        }
    }

    #[test]
    fn every_kind_round_trips() {
        for text in ["constraint violation", "timed out", "I/O error", "not owner", "something else"] {
            assert_eq!(ErrorKind::from(text).to_string(), text);
        }
    }
}
