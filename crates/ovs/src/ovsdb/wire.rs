//! Values on the wire: `["set", […]]`, `["map", [[…, …]]]`, `["uuid", …]`, bare atoms (RFC 7047, section 5.1).

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser,
};

use super::value::{Atom, NamedUuid, Set, Value};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ovsdb::Uuid;

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

    /// One that is off in its last digit would never pass a verify of what was read.
    #[test]
    fn a_real_is_read_to_its_last_digit() {
        assert_eq!(read("-317e33").atom().unwrap().as_real(), "-317e33".parse().ok());
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
