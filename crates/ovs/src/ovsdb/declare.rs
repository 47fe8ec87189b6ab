//! Rows and databases as Rust types, declared without a codec written by hand.

use super::{op::Name, schema::Shape, table::AnyTable};

/// A part of a database that can be held in memory: some of its tables, of each some columns.
///
/// [`database!`](crate::database) declares one; [`Dynamic`](super::Dynamic) is made of a schema.
pub trait Database: Send + Sync + 'static {
    /// The database's name.
    fn name(&self) -> Name;

    /// Its tables without their rows.
    #[must_use]
    fn emptied(&self) -> Self
    where
        Self: Sized;

    /// What is asked of the server.
    fn wanted(&self) -> Vec<Wanted>;

    /// Its tables, always in the same order.
    fn tables(&self) -> Vec<&dyn AnyTable>;

    /// The same.
    fn tables_mut(&mut self) -> Vec<&mut dyn AnyTable>;
}

/// A table that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The table.
    pub table: Name,
    /// Its columns, with what they are taken for where that matters.
    pub columns: Vec<(Name, Option<Shape>)>,
}

/// Declares the type of a table's rows.
///
/// A field's type is what its column holds: `i64`, `f64`, `bool`, `String` or [`Uuid`](crate::ovsdb::Uuid), an `Option` of
/// it for a column of one or none, a `BTreeSet` for more, a `BTreeMap` for a map. A column whose name is not the
/// field's is named after `=`.
///
/// ```
/// use std::collections::{BTreeMap, BTreeSet};
/// use vdpa_ovs::{ovsdb::Uuid, row};
///
/// row! {
///     /// A port of a bridge.
///     pub struct Port in "Port" {
///         /// Its name.
///         pub name: String,
///         /// Its interfaces.
///         pub interfaces: BTreeSet<Uuid>,
///         /// The VLAN it is in.
///         pub vlan: Option<i64> = "tag",
///         /// What others keep here.
///         pub external_ids: BTreeMap<String, String>,
///     }
/// }
/// # fn main() {
/// let port = Port { name: "eth0".to_owned(), vlan: Some(7), ..Port::default() };
/// let mut txn = vdpa_ovs::ovsdb::Transaction::new("Open_vSwitch");
/// txn.insert_row(&port);
/// # }
/// ```
#[macro_export]
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $row:ident in $table:literal {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident : $type:ty $(= $column:literal)?),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, PartialEq)]
        $visibility struct $row {
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
        }

        impl $row {
            fn read_columns(
                &mut self,
                cursor: &mut $crate::ovsdb::json::Cursor<'_>,
                modify: bool,
            ) -> ::std::result::Result<(), $crate::ovsdb::json::JsonError> {
                cursor.object(|cursor, column| {
                    $(
                        if column == $crate::__column!($field $($column)?) {
                            if modify {
                                return $crate::ovsdb::Column::modify(&mut self.$field, cursor);
                            }
                            self.$field = $crate::ovsdb::Column::read(cursor)?;
                            return ::std::result::Result::Ok(());
                        }
                    )*
                    cursor.skip()
                })
            }
        }

        impl $crate::ovsdb::RowType for $row {
            type Context = ();

            fn read(
                (): &(),
                cursor: &mut $crate::ovsdb::json::Cursor<'_>,
            ) -> ::std::result::Result<Self, $crate::ovsdb::json::JsonError> {
                let mut row = Self::default();
                row.read_columns(cursor, false)?;
                ::std::result::Result::Ok(row)
            }

            fn modify(
                &mut self,
                (): &(),
                cursor: &mut $crate::ovsdb::json::Cursor<'_>,
            ) -> ::std::result::Result<(), $crate::ovsdb::json::JsonError> {
                self.read_columns(cursor, true)
            }
        }

        impl $crate::ovsdb::Declared for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [(&'static str, $crate::ovsdb::Shape)] = &[
                $(($crate::__column!($field $($column)?), <$type as $crate::ovsdb::Column>::SHAPE),)*
            ];

            fn to_row(&self) -> $crate::ovsdb::Row {
                $crate::ovsdb::Row::new()
                    $(.with($crate::__column!($field $($column)?), $crate::ovsdb::Column::to_value(&self.$field)))*
            }
        }
    };
}

/// A column's name: the field's, unless another is given.
#[doc(hidden)]
#[macro_export]
macro_rules! __column {
    ($field:ident) => {
        ::std::stringify!($field)
    };
    ($field:ident $column:literal) => {
        $column
    };
}

/// Declares which tables of a database are held in memory, each a field of [`row!`](crate::row) type.
///
/// ```
/// # use vdpa_ovs::row;
/// # row! { pub struct Bridge in "Bridge" { pub name: String } }
/// # row! { pub struct Interface in "Interface" { pub name: String, pub ofport: Option<i64> } }
/// vdpa_ovs::database! {
///     /// Bridges, and what the switch says of its interfaces.
///     pub struct Switch in "Open_vSwitch" {
///         /// The bridges.
///         pub bridges: Bridge,
///         /// The interfaces.
///         pub interfaces: Interface,
///     }
/// }
///
/// # async fn run() -> Result<(), vdpa_ovs::Error> {
/// let client = vdpa_ovs::ovsdb::Client::new("unix:/run/openvswitch/db.sock".parse()?);
/// let switch = client.replicate::<Switch>().await?;
/// println!("{} interfaces", switch.read().interfaces.len());
/// # Ok(()) }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! database {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $database:ident in $name:literal {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident : $row:ty),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default)]
        $visibility struct $database {
            $($(#[$field_attribute])* $field_visibility $field: $crate::ovsdb::Table<$row>,)*
        }

        impl $crate::ovsdb::Database for $database {
            fn name(&self) -> $crate::ovsdb::Name {
                $name.into()
            }

            fn emptied(&self) -> Self {
                Self::default()
            }

            fn wanted(&self) -> ::std::vec::Vec<$crate::ovsdb::Wanted> {
                ::std::vec![$($crate::ovsdb::Wanted::declared::<$row>(),)*]
            }

            fn tables(&self) -> ::std::vec::Vec<&dyn $crate::ovsdb::AnyTable> {
                ::std::vec![$(&self.$field,)*]
            }

            fn tables_mut(&mut self) -> ::std::vec::Vec<&mut dyn $crate::ovsdb::AnyTable> {
                ::std::vec![$(&mut self.$field,)*]
            }
        }
    };
}

impl Wanted {
    /// The table of a declared type.
    pub fn declared<R: super::Declared>() -> Self {
        let columns = R::COLUMNS.iter().map(|(name, shape)| ((*name).into(), Some(*shape))).collect();
        Self { table: R::TABLE.into(), columns }
    }
}
