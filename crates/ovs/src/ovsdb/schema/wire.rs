//! Column types as a schema writes them: a word, or an object with constraints (RFC 7047, section 3.2).

use serde::{Deserialize, Deserializer};

use super::{AtomType, BaseType, ColumnType};
use crate::ovsdb::value::Value;

/// A type is a word, or an object with its constraints.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireBase {
    Word(AtomType),
    Object(WireBaseObject),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBaseObject {
    #[serde(rename = "type")]
    kind: AtomType,
    #[serde(rename = "enum")]
    one_of: Option<Value>,
    ref_table: Option<String>,
    ref_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireType {
    Word(AtomType),
    Object { key: BaseType, value: Option<BaseType>, min: Option<u32>, max: Option<WireMax> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireMax {
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

impl<'de> Deserialize<'de> for BaseType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WireBase::deserialize(deserializer)? {
            WireBase::Word(kind) => kind.into(),
            WireBase::Object(object) => Self {
                kind: object.kind,
                one_of: object
                    .one_of
                    .and_then(|value| Some(value.elements()?.into_iter().cloned().collect())),
                refers_to: object.ref_table,
                is_strong: object.ref_type.as_deref() != Some("weak"),
            },
        })
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WireType::deserialize(deserializer)? {
            WireType::Word(kind) => Self { key: kind.into(), value: None, min: 1, max: Some(1) },
            WireType::Object { key, value, min, max } => {
                let max = match max {
                    None => Some(1),
                    Some(WireMax::Number(number)) => Some(number),
                    Some(WireMax::Word(Unlimited::Unlimited)) => None,
                };
                Self { key, value, min: min.unwrap_or(1), max }
            }
        })
    }
}
