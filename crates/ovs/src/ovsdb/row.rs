//! A row: columns by name, read as what their columns are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    json::{Cursor, JsonError},
    uuid::Uuid,
    value::{Atom, Value},
};
use crate::Error;

/// Columns of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(BTreeMap<String, Value>);

impl Row {
    /// A row without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a row with whatever columns it has.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, JsonError> {
        let mut row = Self::new();
        cursor.object(|cursor, column| {
            row.0.insert(column.to_owned(), Value::read(cursor)?);
            Ok(())
        })?;
        Ok(row)
    }

    /// The row with one more column.
    #[must_use]
    pub fn with(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.0.insert(column.to_owned(), value.into());
        self
    }

    /// Sets a column.
    pub fn set(&mut self, column: &str, value: impl Into<Value>) {
        self.0.insert(column.to_owned(), value.into());
    }

    /// Takes a column out.
    pub fn remove(&mut self, column: &str) -> Option<Value> {
        self.0.remove(column)
    }

    /// The row without the columns that nobody has set.
    #[must_use]
    pub fn set_columns(&self) -> Self {
        let kept = self.iter().filter(|(_, value)| !value.is_default());
        Self(kept.map(|(column, value)| (column.to_owned(), value.clone())).collect())
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A column as it came.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column)
    }

    /// Every column.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(column, value)| (column.as_str(), value))
    }

    /// A column of text.
    pub fn text(&self, column: &str) -> Result<String, Error> {
        self.one(column, "text", |atom| atom.as_str().map(str::to_owned))
    }

    /// A column of an optional text.
    pub fn optional_text(&self, column: &str) -> Result<Option<String>, Error> {
        self.optional(column, "text", |atom| atom.as_str().map(str::to_owned))
    }

    /// A column of an integer.
    pub fn integer(&self, column: &str) -> Result<i64, Error> {
        self.one(column, "an integer", Atom::as_integer)
    }

    /// A column of an optional integer.
    pub fn optional_integer(&self, column: &str) -> Result<Option<i64>, Error> {
        self.optional(column, "an integer", Atom::as_integer)
    }

    /// A column of true or false.
    pub fn boolean(&self, column: &str) -> Result<bool, Error> {
        self.one(column, "a boolean", Atom::as_boolean)
    }

    /// A column of one row's identity.
    pub fn uuid(&self, column: &str) -> Result<Uuid, Error> {
        self.one(column, "a UUID", Atom::as_uuid)
    }

    /// A column of any number of rows.
    pub fn uuids(&self, column: &str) -> Result<Vec<Uuid>, Error> {
        self.get(column)
            .and_then(Value::elements)
            .and_then(|atoms| atoms.into_iter().map(Atom::as_uuid).collect())
            .ok_or_else(|| self.unlike(column, "a set of UUIDs"))
    }

    /// A column of texts.
    pub fn texts(&self, column: &str) -> Result<BTreeSet<String>, Error> {
        self.get(column)
            .and_then(Value::elements)
            .and_then(|atoms| atoms.into_iter().map(|atom| atom.as_str().map(str::to_owned)).collect())
            .ok_or_else(|| self.unlike(column, "a set of texts"))
    }

    /// A column of texts by text.
    pub fn text_map(&self, column: &str) -> Result<BTreeMap<String, String>, Error> {
        let Some(Value::Map(map)) = self.get(column) else { return Err(self.unlike(column, "a map")) };
        map.iter()
            .map(|(key, value)| Some((key.as_str()?.to_owned(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| self.unlike(column, "a map of texts"))
    }

    fn one<T>(&self, column: &str, what: &str, read: impl Fn(&Atom) -> Option<T>) -> Result<T, Error> {
        self.get(column).and_then(Value::atom).and_then(read).ok_or_else(|| self.unlike(column, what))
    }

    fn optional<T>(
        &self,
        column: &str,
        what: &str,
        read: impl Fn(&Atom) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.get(column).and_then(Value::elements).as_deref() {
            Some([]) => Ok(None),
            Some([atom]) => read(atom).map(Some).ok_or_else(|| self.unlike(column, what)),
            _ => Err(self.unlike(column, what)),
        }
    }

    fn unlike(&self, column: &str, what: &str) -> Error {
        let text = match self.get(column) {
            None => format!("no column {column}"),
            Some(value) => format!("column {column} should be {what} and is {value:?}"),
        };
        Error::Protocol { during: "select".to_owned(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_their_type_or_not_at_all() {
        let row: Row = serde_json::from_str(
            r#"{"name":"br0","ofport":["set",[]],"error":"no","n":["set",[7]],"ids":["map",[["a","b"]]]}"#,
        )
        .unwrap();
        assert_eq!(row.text("name").unwrap(), "br0");
        assert_eq!(row.optional_integer("ofport").unwrap(), None);
        assert_eq!(row.optional_text("error").unwrap().as_deref(), Some("no"));
        assert_eq!(row.integer("n").unwrap(), 7);
        assert_eq!(row.text_map("ids").unwrap()["a"], "b");
        assert_eq!(
            row.integer("name").unwrap_err().to_string(),
            "unexpected answer to select: column name should be an integer and is Atom(String(\"br0\"))"
        );
        assert!(row.text("nothing").unwrap_err().to_string().ends_with("no column nothing"));
    }
}
