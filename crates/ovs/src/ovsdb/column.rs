//! What Rust has for a column's type: `i64`, `f64`, `bool`, `String`, [`Uuid`]; `Option`, `BTreeSet`, `BTreeMap` of them.
//!
//! A column is read from a text without a [`Value`] in between. `update2` and `update3` send of a changed set the
//! elements that are in one of both only, and of a changed map the pairs that differ (ovsdb-server(7), 4.1.14); of
//! all else the new value. Which it is depends on the column's type, so a Rust type goes with one kind of column
//! only, and [`Column::SHAPE`] is held against the schema before a monitor begins.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    json::{Cursor, JsonError},
    schema::{AtomType, Shape},
    uuid::Uuid,
    value::{Atom, Value},
};

type Result<T> = std::result::Result<T, JsonError>;

/// A column's Rust type. Its default is the value of a column that nobody has set.
pub trait Column: Clone + Default + PartialEq + Send + Sync + 'static {
    /// The kind of column that it goes with.
    const SHAPE: Shape;

    /// Reads a value.
    fn read(cursor: &mut Cursor<'_>) -> Result<Self>;

    /// Reads what makes the new value of the old one, as `modify` has it in `update2`.
    fn modify(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        *self = Self::read(cursor)?;
        Ok(())
    }

    /// The value to send.
    fn to_value(&self) -> Value;
}

/// An atom's Rust type.
pub trait Scalar: Clone + PartialEq + Send + Sync + 'static {
    /// The atom's type.
    const TYPE: AtomType;

    /// Reads an atom.
    fn read_atom(cursor: &mut Cursor<'_>) -> Result<Self>;

    /// The atom to send.
    fn to_atom(&self) -> Atom;
}

macro_rules! scalars {
    ($($type:ty = $atom:ident, $read:expr, $write:expr;)*) => {$(
        impl Scalar for $type {
            const TYPE: AtomType = AtomType::$atom;

            fn read_atom(cursor: &mut Cursor<'_>) -> Result<Self> {
                $read(cursor)
            }

            fn to_atom(&self) -> Atom {
                $write(self)
            }
        }

        impl Column for $type {
            const SHAPE: Shape = Shape::Scalar(AtomType::$atom);

            fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
                one(cursor)?.ok_or_else(|| cursor.error("an empty set where a value belongs"))
            }

            fn to_value(&self) -> Value {
                Value::Atom(self.to_atom())
            }
        }
    )*};
}

scalars! {
    i64 = Integer, Cursor::integer, |number: &i64| Atom::Integer(*number);
    f64 = Real, Cursor::real, |number: &f64| Atom::Real(*number);
    bool = Boolean, Cursor::boolean, |truth: &bool| Atom::Boolean(*truth);
    String = String, |cursor: &mut Cursor<'_>| cursor.string().map(std::borrow::Cow::into_owned),
        |text: &String| Atom::String(text.clone());
    Uuid = Uuid, uuid, |uuid: &Uuid| Atom::Uuid(*uuid);
}

impl<T: Scalar> Column for Option<T> {
    const SHAPE: Shape = Shape::Optional(T::TYPE);

    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        one(cursor)
    }

    fn to_value(&self) -> Value {
        Value::Set(self.iter().map(Scalar::to_atom).collect())
    }
}

impl<T: Scalar + Ord> Column for BTreeSet<T> {
    const SHAPE: Shape = Shape::Set(T::TYPE);

    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut set = Self::new();
        elements(cursor, |cursor, element| {
            if set.insert(element) { Ok(()) } else { Err(cursor.error("a set has an element twice")) }
        })?;
        Ok(set)
    }

    fn modify(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        elements(cursor, |_, element| {
            if !self.remove(&element) {
                self.insert(element);
            }
            Ok(())
        })
    }

    fn to_value(&self) -> Value {
        Value::Set(self.iter().map(Scalar::to_atom).collect())
    }
}

impl<K: Scalar + Ord, V: Scalar> Column for BTreeMap<K, V> {
    const SHAPE: Shape = Shape::Map(K::TYPE, V::TYPE);

    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut map = Self::new();
        pairs(cursor, |cursor, key, value| match map.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(cursor.error("a map has a key twice")),
        })?;
        Ok(map)
    }

    fn modify(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        pairs(cursor, |_, key, value| {
            // A pair that is there has gone; one whose key is there has another value now.
            if self.get(&key) == Some(&value) {
                self.remove(&key);
            } else {
                self.insert(key, value);
            }
            Ok(())
        })
    }

    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())).collect())
    }
}

/// A bare atom, or the one of a set; none of an empty set.
fn one<T: Scalar>(cursor: &mut Cursor<'_>) -> Result<Option<T>> {
    let mut found = None;
    elements(cursor, |cursor, element| match found.replace(element) {
        None => Ok(()),
        Some(_) => Err(cursor.error("a set of more than one where at most one belongs")),
    })?;
    Ok(found)
}

/// The elements of a set, which may be bare if it is one.
pub(super) fn elements<T: Scalar>(
    cursor: &mut Cursor<'_>,
    mut each: impl FnMut(&mut Cursor<'_>, T) -> Result<()>,
) -> Result<()> {
    if cursor.peek() != b'[' {
        let element = T::read_atom(cursor)?;
        return each(cursor, element);
    }
    let begin = cursor.position();
    cursor.expect(b'[')?;
    let is_set = &*cursor.string()? == "set";
    if !is_set {
        // The array is an atom's own: ["uuid", …].
        cursor.back_to(begin);
        let element = T::read_atom(cursor)?;
        return each(cursor, element);
    }
    cursor.expect(b',')?;
    cursor.array(|cursor| {
        let element = T::read_atom(cursor)?;
        each(cursor, element)
    })?;
    cursor.expect(b']')
}

/// The pairs of a map.
fn pairs<K: Scalar, V: Scalar>(
    cursor: &mut Cursor<'_>,
    mut each: impl FnMut(&mut Cursor<'_>, K, V) -> Result<()>,
) -> Result<()> {
    tag(cursor, "map")?;
    cursor.array(|cursor| {
        cursor.expect(b'[')?;
        let key = K::read_atom(cursor)?;
        cursor.expect(b',')?;
        let value = V::read_atom(cursor)?;
        cursor.expect(b']')?;
        each(cursor, key, value)
    })?;
    cursor.expect(b']')
}

fn uuid(cursor: &mut Cursor<'_>) -> Result<Uuid> {
    tag(cursor, "uuid")?;
    let text = cursor.string()?;
    let uuid = text.parse().map_err(|error| cursor.error(format!("{error}")))?;
    cursor.expect(b']')?;
    Ok(uuid)
}

/// `["tag",`
fn tag(cursor: &mut Cursor<'_>, tag: &'static str) -> Result<()> {
    cursor.expect(b'[')?;
    if *cursor.string()? != *tag {
        return Err(cursor.error(format!("no {tag}")));
    }
    cursor.expect(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7b316e1d-d832-45ef-a03d-6a1212d7d15d";

    fn read<T: Column>(text: &str) -> Result<T> {
        let mut cursor = Cursor::new(text.as_bytes());
        let value = T::read(&mut cursor)?;
        cursor.end().map(|()| value)
    }

    fn modified<T: Column>(mut value: T, text: &str) -> T {
        value.modify(&mut Cursor::new(text.as_bytes())).unwrap();
        value
    }

    fn set(elements: &[i64]) -> BTreeSet<i64> {
        elements.iter().copied().collect()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_set_of_one_may_be_bare() {
        assert_eq!(read("5"), Ok(set(&[5])));
        assert_eq!(read(r#"["set",[5,6]]"#), Ok(set(&[5, 6])));
        assert_eq!(read(r#"["set",[]]"#), Ok(set(&[])));
        assert_eq!(read("5"), Ok(Some(5_i64)));
        assert_eq!(read(r#"["set",[5]]"#), Ok(5_i64));
        assert_eq!(read::<Option<String>>(r#"["set",[]]"#), Ok(None));
        let uuid: Uuid = UUID.parse().unwrap();
        for text in [format!(r#"["uuid","{UUID}"]"#), format!(r#"["set",[["uuid","{UUID}"]]]"#)] {
            assert_eq!(read(&text), Ok(uuid));
            assert_eq!(read(&text), Ok(BTreeSet::from([uuid])));
        }
    }

    #[test]
    fn a_real_may_arrive_as_an_integer() {
        assert_eq!(read("1"), Ok(1.0_f64));
        assert_eq!(read("1.5"), Ok(1.5_f64));
    }

    #[test]
    fn a_difference_toggles_elements_and_pairs() {
        assert_eq!(modified(set(&[1, 2]), r#"["set",[2,3]]"#), set(&[1, 3]));
        assert_eq!(modified(set(&[1]), "1"), set(&[]));
        let before = map(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let difference = r#"["map",[["a","1"],["b","9"],["d","4"]]]"#;
        assert_eq!(modified(before, difference), map(&[("b", "9"), ("c", "3"), ("d", "4")]));
        // What holds at most one value is sent anew.
        assert_eq!(modified(Some(1_i64), "1"), Some(1));
        assert_eq!(modified(Some(1_i64), r#"["set",[]]"#), None);
        assert_eq!(modified("a".to_owned(), r#""b""#), "b");
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused() {
        assert!(read::<i64>(r#""5""#).is_err());
        assert!(read::<i64>(r#"["set",[]]"#).is_err());
        assert!(read::<i64>(r#"["set",[1,2]]"#).is_err());
        assert!(read::<bool>("1").is_err());
        assert!(read::<BTreeSet<i64>>(r#"["set",[1,1]]"#).is_err());
        assert!(read::<BTreeMap<String, String>>(r#"["map",[["a","1"],["a","2"]]]"#).is_err());
        assert!(read::<BTreeMap<String, String>>(r#"["set",[]]"#).is_err());
        assert!(read::<Uuid>(r#"["uuid","7b316e1d"]"#).is_err());
        assert!(read::<Uuid>(r#"["named-uuid","x"]"#).is_err());
    }

    #[test]
    fn values_to_send_are_read_back() {
        fn round<T: Column + std::fmt::Debug>(value: &T) {
            let text = serde_json::to_string(&value.to_value()).unwrap();
            assert_eq!(read::<T>(&text).as_ref(), Ok(value), "{text}");
        }
        round(&7_i64);
        round(&1.5_f64);
        round(&true);
        round(&"a\"b".to_owned());
        round(&UUID.parse::<Uuid>().unwrap());
        round(&Some(7_i64));
        round(&None::<bool>);
        round(&set(&[3, 1]));
        round(&map(&[("a", "b")]));
    }
}
