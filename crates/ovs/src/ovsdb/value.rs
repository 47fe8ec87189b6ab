//! OVSDB values: atoms, sets and maps (RFC 7047, section 5.1).
//!
//! A value says on the wire what it is only in part. A set of one element may arrive bare, and 1.0 arrives as
//! `1`; a column's type decides. The accessors here read a value as what the caller knows its column to be.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser,
};

/// A column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One atom; also how a set of one may arrive.
    Atom(Atom),
    /// Any number of atoms, without order.
    Set(Set),
    /// Atoms by atoms.
    Map(Map),
}

/// A set of atoms.
pub type Set = BTreeSet<Atom>;

/// A map from atom to atom.
pub type Map = BTreeMap<Atom, Atom>;

/// The smallest value.
#[derive(Clone, Debug)]
pub enum Atom {
    /// A 64-bit integer; also how a real without fraction arrives.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// True or false.
    Boolean(bool),
    /// Text. It cannot hold a NUL: the server drops the connection on one.
    String(String),
    /// A row.
    Uuid(Uuid),
    /// A row that the same transaction inserts.
    NamedUuid(NamedUuid),
}

/// A row's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

/// A transaction's own name for a row that it inserts (RFC 7047, section 5.1, `<named-uuid>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedUuid(pub(crate) String);

/// Text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID")]
pub struct NoUuid(String);

impl Value {
    /// An empty set, which is how an optional column says "none".
    pub fn none() -> Self {
        Self::Set(Set::new())
    }

    /// Whether it is what a column reads that nobody has set: zero, false, "", the nil UUID, nothing
    /// (RFC 7047, section 5.2.1).
    pub fn is_default(&self) -> bool {
        match self {
            Self::Atom(Atom::Integer(number)) => *number == 0,
            Self::Atom(Atom::Real(number)) => *number == 0.0,
            Self::Atom(Atom::Boolean(truth)) => !truth,
            Self::Atom(Atom::String(text)) => text.is_empty(),
            Self::Atom(Atom::Uuid(uuid)) => uuid.0 == 0,
            Self::Atom(Atom::NamedUuid(_)) => false,
            Self::Set(set) => set.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }

    /// The elements, of a set or of a lone atom.
    pub fn elements(&self) -> Option<Vec<&Atom>> {
        match self {
            Self::Atom(atom) => Some(vec![atom]),
            Self::Set(set) => Some(set.iter().collect()),
            Self::Map(_) => None,
        }
    }

    /// The one atom, of an atom or of a set of one.
    pub fn atom(&self) -> Option<&Atom> {
        match self {
            Self::Atom(atom) => Some(atom),
            Self::Set(set) if set.len() == 1 => set.first(),
            _ => None,
        }
    }
}

impl<A: Into<Atom>> From<A> for Value {
    fn from(atom: A) -> Self {
        Self::Atom(atom.into())
    }
}

impl<A: Into<Atom>> FromIterator<A> for Value {
    fn from_iter<I: IntoIterator<Item = A>>(atoms: I) -> Self {
        Self::Set(atoms.into_iter().map(Into::into).collect())
    }
}

impl<K: Into<Atom>, V: Into<Atom>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl From<&BTreeMap<String, String>> for Value {
    fn from(map: &BTreeMap<String, String>) -> Self {
        map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<i64> for Atom {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Atom {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<NamedUuid> for Atom {
    fn from(name: NamedUuid) -> Self {
        Self::NamedUuid(name)
    }
}

impl Atom {
    /// As text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// As an integer.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// As a real; an integer is one too, since the server writes 1.0 as `1`.
    pub fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(*number),
            #[allow(clippy::cast_precision_loss, reason = "the server printed a double without a fraction")]
            Self::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// As true or false.
    pub fn as_boolean(&self) -> Option<bool> {
        if let Self::Boolean(truth) = self { Some(*truth) } else { None }
    }

    /// As a row's identity.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Integer(_) => 0,
            Self::Real(_) => 1,
            Self::Boolean(_) => 2,
            Self::String(_) => 3,
            Self::Uuid(_) => 4,
            Self::NamedUuid(_) => 5,
        }
    }
}

/// The order has no meaning; it lets sets and maps be compared whatever order they arrived in.
impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::NamedUuid(a), Self::NamedUuid(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Atom {}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Atom(atom) => atom.serialize(serializer),
            Self::Set(set) => ("set", set).serialize(serializer),
            Self::Map(map) => ("map", map.iter().collect::<Vec<_>>()).serialize(serializer),
        }
    }
}

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            Self::Real(_) => Err(ser::Error::custom("OVSDB has no infinite real and no NaN")),
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::String(text) if text.contains('\0') => {
                Err(ser::Error::custom("OVSDB takes no NUL in text"))
            }
            Self::String(text) => serializer.serialize_str(text),
            Self::Uuid(uuid) => ("uuid", uuid).serialize(serializer),
            Self::NamedUuid(name) => ("named-uuid", &name.0).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Atom(atom) => Ok(atom),
            _ => Err(de::Error::custom("a set or map where an atom belongs")),
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::from).map_err(|_| E::custom("an integer beyond 64 bits"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Atom(Atom::Real(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Atom(Atom::String(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        fn content<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(seq: &mut A) -> Result<T, A::Error> {
            seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &"two elements"))
        }
        let tag: String = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &"two elements"))?;
        let value = match tag.as_str() {
            "set" => Value::Set(content::<_, Set>(&mut seq)?),
            "map" => Value::Map(content::<_, Vec<(Atom, Atom)>>(&mut seq)?.into_iter().collect()),
            "uuid" => Value::Atom(Atom::Uuid(content(&mut seq)?)),
            "named-uuid" => Value::Atom(Atom::NamedUuid(NamedUuid(content(&mut seq)?))),
            _ => return Err(de::Error::unknown_variant(&tag, &["set", "map", "uuid", "named-uuid"])),
        };
        match seq.next_element::<de::IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(de::Error::invalid_length(3, &"two elements")),
        }
    }
}

impl FromStr for Uuid {
    type Err = NoUuid;

    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let bytes = text.as_bytes();
        let mut number = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match ((byte as char).to_digit(16), at) {
                (None, 8 | 13 | 18 | 23) if byte == b'-' => {}
                (Some(digit), 0..=7 | 9..=12 | 14..=17 | 19..=22 | 24..=35) => {
                    number = number << 4 | u128::from(digit);
                }
                _ => return Err(NoUuid(text.to_owned())),
            }
        }
        if bytes.len() == 36 { Ok(Self(number)) } else { Err(NoUuid(text.to_owned())) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "7b316e1d-d832-45ef-a03d-6a1212d7d15d";

    fn read(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn wire_forms_are_read() {
        // From `ovs-vsctl -f json list Interface` of OVS 3.1.0.
        assert_eq!(read(r#"["set",[]]"#), Value::none());
        assert_eq!(
            read(r#"["map",[["driver_name","netdevsim"]]]"#),
            [("driver_name", "netdevsim")].into_iter().collect()
        );
        assert_eq!(read(&format!(r#"["uuid","{UUID}"]"#)), Value::from(UUID.parse::<Uuid>().unwrap()));
        assert_eq!(read(r#""up""#), "up".into());
    }

    #[test]
    fn a_set_of_one_may_be_bare() {
        assert_eq!(read("5").elements().unwrap(), read(r#"["set",[5]]"#).elements().unwrap());
        assert_eq!(read(r#"["set",[5]]"#).atom(), Some(&Atom::Integer(5)));
        assert_eq!(read(r#"["set",[5,6]]"#).atom(), None);
    }

    #[test]
    fn a_real_may_arrive_as_an_integer() {
        assert_eq!(read("1").atom().unwrap().as_real(), Some(1.0));
        assert_eq!(read("1.5").atom().unwrap().as_real(), Some(1.5));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let too_long = format!(r#"["uuid","{UUID}",1]"#);
        for json in
            [r"[]", r#"["set"]"#, r#"["bag",[]]"#, r#"["uuid","x"]"#, &too_long, "null", "{}", "[1,2]"]
        {
            assert!(serde_json::from_str::<Value>(json).is_err(), "{json} was taken");
        }
        assert!(serde_json::from_str::<Value>(r#"["set",[["set",[]]]]"#).is_err());
        assert!(format!("{UUID}0").parse::<Uuid>().is_err());
        assert!(UUID[..35].parse::<Uuid>().is_err());
        assert!(UUID.replace('-', "0").parse::<Uuid>().is_err());
    }

    #[test]
    fn a_nul_is_never_sent() {
        assert!(serde_json::to_string(&Value::from("a\0b")).is_err());
    }

    #[test]
    fn sets_do_not_depend_on_order() {
        assert_eq!(read(r#"["set",["b","a"]]"#), read(r#"["set",["a","b"]]"#));
    }

    fn atom() -> impl Strategy<Value = Atom> {
        prop_oneof![
            any::<i64>().prop_map(Atom::Integer),
            any::<bool>().prop_map(Atom::Boolean),
            "[^\0]*".prop_map(Atom::String),
            any::<u128>().prop_map(|number| Atom::Uuid(Uuid(number))),
        ]
    }

    proptest! {
        #[test]
        fn values_round_trip(value in prop_oneof![
            atom().prop_map(Value::Atom),
            prop::collection::btree_set(atom(), 0..5).prop_map(Value::Set),
            prop::collection::btree_map(atom(), atom(), 0..5).prop_map(Value::Map),
        ]) {
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }
    }
}
