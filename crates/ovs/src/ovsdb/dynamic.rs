//! A database in memory of which only the schema is known when the program runs.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    declare::{Database, Wanted},
    json::{Cursor, JsonError},
    op::Name,
    row::Row,
    schema::{DatabaseSchema, Shape, TableSchema},
    table::{AnyTable, RowType, Table},
    value::{Atom, Map, Set, Value},
};
use crate::Error;

/// Tables of a database as its schema has them, with [`Row`]s.
#[derive(Clone, Debug)]
pub struct Dynamic {
    name: Name,
    tables: Vec<Table<Row>>,
    wanted: Vec<Wanted>,
}

/// What reading a [`Row`] takes: which columns there are, and of which shape.
pub type RowContext = Arc<TableSchema>;

impl Dynamic {
    /// Some tables, or all of them if none is named, with all of their columns, or only those named.
    pub fn new(schema: &DatabaseSchema, tables: &[&str], columns: &[&str]) -> Result<Self, Error> {
        let names: BTreeSet<&str> = match tables {
            [] => schema.tables.keys().map(String::as_str).collect(),
            _ => tables.iter().copied().collect(),
        };
        let mut dynamic = Self { name: schema.name.clone().into(), tables: vec![], wanted: vec![] };
        for name in names {
            let unshaped: Vec<_> = columns.iter().map(|column| (*column, None)).collect();
            schema.check_table(name, &unshaped)?;
            let mut table = schema.tables[name].clone();
            if !columns.is_empty() {
                table.columns.retain(|column, _| columns.contains(&column.as_str()));
            }
            let wanted = table.columns.keys().map(|column| (column.clone().into(), None)).collect();
            dynamic.wanted.push(Wanted { table: name.to_owned().into(), columns: wanted });
            dynamic.tables.push(Table::new(name.to_owned(), Arc::new(table)));
        }
        Ok(dynamic)
    }

    /// A table.
    pub fn table(&self, name: &str) -> Option<&Table<Row>> {
        self.tables.iter().find(|table| table.name() == name)
    }

    /// Every table.
    pub fn iter(&self) -> impl Iterator<Item = &Table<Row>> {
        self.tables.iter()
    }
}

impl Database for Dynamic {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn emptied(&self) -> Self {
        let tables = self.tables.iter().map(Table::emptied).collect();
        Self { name: self.name.clone(), tables, wanted: self.wanted.clone() }
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.wanted.clone()
    }

    fn tables(&self) -> Vec<&dyn AnyTable> {
        self.tables.iter().map(|table| table as _).collect()
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn AnyTable> {
        self.tables.iter_mut().map(|table| table as _).collect()
    }
}

/// Columns that are as nobody has set them are left out.
impl RowType for Row {
    type Context = RowContext;

    fn read(context: &RowContext, cursor: &mut Cursor<'_>) -> Result<Self, JsonError> {
        let mut row = Self::new();
        cursor.object(|cursor, column| {
            let value = Value::read(cursor)?;
            if context.columns.contains_key(column) {
                row.set(column, value);
            }
            Ok(())
        })?;
        Ok(row.set_columns())
    }

    fn modify(&mut self, context: &RowContext, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        cursor.object(|cursor, column| {
            let difference = Value::read(cursor)?;
            let Some(shape) = context.columns.get(column).map(|column| column.kind.shape()) else {
                return Ok(());
            };
            let before = self.get(column).cloned();
            let after = match shape {
                Shape::Set(_) => Value::Set(toggled(before.as_ref(), &difference)),
                Shape::Map(..) => Value::Map(
                    repaired(before, difference)
                        .ok_or_else(|| cursor.error(format!("{column} is no map")))?,
                ),
                Shape::Scalar(_) | Shape::Optional(_) => difference,
            };
            self.set(column, after);
            Ok(())
        })?;
        *self = self.set_columns();
        Ok(())
    }
}

/// A set with the elements that are in one of both only.
fn toggled(before: Option<&Value>, difference: &Value) -> Set {
    let mut set: Set = before.and_then(Value::elements).into_iter().flatten().cloned().collect();
    for element in difference.elements().into_iter().flatten() {
        if !set.remove(element) {
            set.insert(element.clone());
        }
    }
    set
}

/// A map without the pairs that are in both, and with the other pairs of the difference.
fn repaired(before: Option<Value>, difference: Value) -> Option<Map> {
    let mut map = match before {
        Some(Value::Map(map)) => map,
        _ => Map::new(),
    };
    let Value::Map(difference) = difference else { return None };
    for (key, value) in difference {
        if map.get(&key) == Some(&value) {
            map.remove(&key);
        } else {
            map.insert(key, value);
        }
    }
    Some(map)
}

impl Value {
    /// Reads a value of any type.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, JsonError> {
        if cursor.peek() != b'[' {
            return Atom::read(cursor).map(Self::Atom);
        }
        let begin = cursor.position();
        cursor.expect(b'[')?;
        let tag = cursor.string()?;
        match &*tag {
            "set" => {
                let mut set = Set::new();
                cursor.expect(b',')?;
                cursor.array(|cursor| {
                    let new = set.insert(Atom::read(cursor)?);
                    if new { Ok(()) } else { Err(cursor.error("a set has an element twice")) }
                })?;
                cursor.expect(b']')?;
                Ok(Self::Set(set))
            }
            "map" => {
                let mut map = Map::new();
                cursor.expect(b',')?;
                cursor.array(|cursor| {
                    cursor.expect(b'[')?;
                    let key = Atom::read(cursor)?;
                    cursor.expect(b',')?;
                    let value = Atom::read(cursor)?;
                    cursor.expect(b']')?;
                    let new = map.insert(key, value).is_none();
                    if new { Ok(()) } else { Err(cursor.error("a map has a key twice")) }
                })?;
                cursor.expect(b']')?;
                Ok(Self::Map(map))
            }
            _ => {
                cursor.back_to(begin);
                Atom::read(cursor).map(Self::Atom)
            }
        }
    }
}

impl Atom {
    /// Reads an atom of any type. A number without fraction is an integer.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, JsonError> {
        match cursor.peek() {
            b'"' => Ok(Self::String(cursor.string()?.into_owned())),
            b't' | b'f' => cursor.boolean().map(Self::Boolean),
            b'[' => {
                cursor.expect(b'[')?;
                let tag = cursor.string()?;
                cursor.expect(b',')?;
                let text = cursor.string()?;
                let atom = match &*tag {
                    "uuid" => Self::Uuid(text.parse().map_err(|error| cursor.error(format!("{error}")))?),
                    "named-uuid" => Self::NamedUuid(super::NamedUuid(text.into_owned())),
                    _ => return Err(cursor.error(format!("no atom has the tag {tag:?}"))),
                };
                cursor.expect(b']')?;
                Ok(atom)
            }
            _ => {
                let number = cursor.number()?;
                // -0 is a real's; an integer has no such thing.
                if let Some(integer) = number.parse().ok().filter(|_| number != "-0") {
                    return Ok(Self::Integer(integer));
                }
                match number.parse::<f64>() {
                    Ok(real) if real.is_finite() && (number.contains(['.', 'e', 'E']) || number == "-0") => {
                        Ok(Self::Real(real))
                    }
                    _ => Err(cursor.error(format!("an integer beyond 64 bits: {number}"))),
                }
            }
        }
    }
}
