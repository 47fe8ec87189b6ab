//! OVSDB values: atoms, sets and maps (RFC 7047, section 5.1).
//!
//! A value says on the wire what it is only in part. A set of one element may arrive bare, and 1.0 arrives as
//! `1`; a column's type decides. The accessors here read a value as what the caller knows its column to be.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::uuid::Uuid;

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

/// A transaction's own name for a row that it inserts (RFC 7047, section 5.1, `<named-uuid>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedUuid(pub(crate) String);

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
