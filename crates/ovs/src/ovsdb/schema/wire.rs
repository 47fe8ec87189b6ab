//! Column types as a schema writes them: a word, or an object with constraints (RFC 7047, section 3.2).

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{AtomType, BaseType, ColumnType};
use crate::ovsdb::value::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BaseObject {
    #[serde(rename = "type")]
    kind: AtomType,
    #[serde(rename = "enum")]
    one_of: Option<Value>,
    ref_table: Option<String>,
    ref_type: Option<String>,
}

#[derive(Deserialize)]
struct ColumnObject {
    key: BaseType,
    value: Option<BaseType>,
    min: Option<u32>,
    max: Option<Max>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Max {
    Number(u32),
    Word(Unlimited),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unlimited {
    Unlimited,
}

impl From<AtomType> for BaseType {
    fn from(kind: AtomType) -> Self {
        Self { kind, one_of: None, refers_to: None, is_strong: true }
    }
}

impl From<BaseObject> for BaseType {
    fn from(object: BaseObject) -> Self {
        Self {
            kind: object.kind,
            one_of: object.one_of.and_then(|value| Some(value.elements()?.into_iter().cloned().collect())),
            refers_to: object.ref_table,
            is_strong: object.ref_type.as_deref() != Some("weak"),
        }
    }
}

impl From<AtomType> for ColumnType {
    fn from(kind: AtomType) -> Self {
        Self { key: kind.into(), value: None, min: 1, max: Some(1) }
    }
}

impl From<ColumnObject> for ColumnType {
    fn from(object: ColumnObject) -> Self {
        let max = match object.max {
            None => Some(1),
            Some(Max::Number(number)) => Some(number),
            Some(Max::Word(Unlimited::Unlimited)) => None,
        };
        Self { key: object.key, value: object.value, min: object.min.unwrap_or(1), max }
    }
}

/// Reads a word or an object by what comes. An untagged enum would keep each until it knows what it is, and a schema has
/// hundreds of them.
struct WordOr<Object, T>(PhantomData<(Object, T)>);

impl<'de, Object: Deserialize<'de>, T: From<AtomType> + From<Object>> Visitor<'de> for WordOr<Object, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a type, or an object")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<T, E> {
        AtomType::deserialize(word.into_deserializer()).map(T::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Object::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

impl<'de> Deserialize<'de> for BaseType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOr::<BaseObject, Self>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOr::<ColumnObject, Self>(PhantomData))
    }
}
