//! A table in memory: rows by identity, and what an update makes of them.

use std::{any::Any, collections::HashMap, sync::Arc};

use super::{
    json::{Cursor, JsonError},
    op::Name,
    row::Row,
    schema::Shape,
    uuid::Uuid,
};

/// What a table's rows are in memory.
pub trait RowType: Clone + PartialEq + Send + Sync + 'static {
    /// What reading a row needs beside its text: nothing for [`Declared`] types.
    type Context: Clone + Send + Sync + 'static;

    /// Reads a whole row. Columns that are left out are as nobody has set them.
    fn read(context: &Self::Context, cursor: &mut Cursor<'_>) -> Result<Self, JsonError>;

    /// Reads what has changed, as `update2` tells it.
    fn modify(&mut self, context: &Self::Context, cursor: &mut Cursor<'_>) -> Result<(), JsonError>;
}

/// A row type of which [`row!`](crate::row) has made the codec.
pub trait Declared: RowType<Context = ()> + Default {
    /// The table.
    const TABLE: &'static str;

    /// The columns and what they are taken for.
    const COLUMNS: &'static [(&'static str, Shape)];

    /// The row to send.
    fn to_row(&self) -> Row;
}

/// A table's rows.
#[derive(Clone, Debug)]
pub struct Table<R: RowType> {
    name: Name,
    context: R::Context,
    rows: HashMap<Uuid, Arc<R>>,
}

/// What has become of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<R> {
    /// The row.
    pub uuid: Uuid,
    /// How it was; none if it is new.
    pub before: Option<Arc<R>>,
    /// How it is; none if it is gone.
    pub after: Option<Arc<R>>,
}

/// A table, whatever its rows are.
pub trait AnyTable: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Applies a `<table-update>`, of whichever of the three forms. An error may leave half of it applied;
    /// [`Changes::revert`] of what was recorded takes that back.
    fn update(&mut self, cursor: &mut Cursor<'_>, record: &mut dyn Changes) -> Result<(), JsonError>;

    /// What it has become since an earlier state.
    fn since(&self, earlier: &dyn AnyTable, record: &mut dyn Changes);

    /// Somewhere to record changes.
    fn recorder(&self) -> Box<dyn Changes>;

    /// For [`AnyTable::since`] and [`Changes::revert`], which know the type.
    fn as_any(&self) -> &dyn Any;

    /// The same.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// Changes of one table's rows, whatever these are.
pub trait Changes: Send + Sync + 'static {
    /// Whether there are none.
    fn is_empty(&self) -> bool;

    /// Adds later changes. Those of one row become one.
    fn merge(&mut self, later: &dyn Changes);

    /// A copy.
    fn duplicate(&self) -> Box<dyn Changes>;

    /// Takes them back, the last first.
    fn revert(&self, table: &mut dyn AnyTable);

    /// For whoever knows the type, which is `Vec<Change<R>>`.
    fn as_any(&self) -> &dyn Any;

    /// The same.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<R: Declared> Default for Table<R> {
    fn default() -> Self {
        Self::new(R::TABLE, ())
    }
}

impl<R: RowType> Table<R> {
    /// An empty table.
    pub fn new(name: impl Into<Name>, context: R::Context) -> Self {
        Self { name: name.into(), context, rows: HashMap::new() }
    }

    /// The table without its rows.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.name.clone(), self.context.clone())
    }

    /// A row.
    pub fn get(&self, uuid: Uuid) -> Option<&Arc<R>> {
        self.rows.get(&uuid)
    }

    /// Every row, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Arc<R>)> {
        self.rows.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// A row of which something is so.
    pub fn find(&self, is: impl Fn(&R) -> bool) -> Option<(Uuid, &Arc<R>)> {
        self.iter().find(|(_, row)| is(row))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn put(&mut self, uuid: Uuid, row: Option<Arc<R>>) -> Option<Arc<R>> {
        match row {
            Some(row) => self.rows.insert(uuid, row),
            None => self.rows.remove(&uuid),
        }
    }

    /// Reads a `<row-update>`: what becomes of a row that is as it is here.
    fn row_update(&self, uuid: Uuid, cursor: &mut Cursor<'_>) -> Result<Option<Arc<R>>, JsonError> {
        let mut after = None;
        let mut known = false;
        cursor.object(|cursor, kind| {
            match kind {
                // `new` is the first form's; beside it `old` has what it was before.
                "new" | "initial" | "insert" => {
                    after = Some(Arc::new(R::read(&self.context, cursor)?));
                    known = true;
                }
                "modify" => {
                    let Some(row) = self.rows.get(&uuid) else {
                        return Err(cursor.error(format!("a change of row {uuid}, which is not there")));
                    };
                    let mut row = R::clone(row);
                    row.modify(&self.context, cursor)?;
                    after = Some(Arc::new(row));
                    known = true;
                }
                "delete" | "old" => {
                    cursor.skip()?;
                    known = true;
                }
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        if known { Ok(after) } else { Err(cursor.error("an update that says nothing of its row")) }
    }
}

impl<R: RowType> AnyTable for Table<R> {
    fn name(&self) -> &str {
        &self.name
    }

    fn update(&mut self, cursor: &mut Cursor<'_>, record: &mut dyn Changes) -> Result<(), JsonError> {
        let mut changes = record.as_any_mut().downcast_mut::<Vec<Change<R>>>();
        cursor.object(|cursor, uuid| {
            let uuid = uuid.parse().map_err(|error| cursor.error(format!("{error}")))?;
            let after = self.row_update(uuid, cursor)?;
            let before = self.put(uuid, after.clone());
            if let Some(changes) = changes.as_deref_mut().filter(|_| before != after) {
                changes.push(Change { uuid, before, after });
            }
            Ok(())
        })
    }

    fn since(&self, earlier: &dyn AnyTable, record: &mut dyn Changes) {
        let (Some(earlier), Some(changes)) =
            (earlier.as_any().downcast_ref::<Self>(), record.as_any_mut().downcast_mut::<Vec<Change<R>>>())
        else {
            return;
        };
        for (uuid, row) in self.iter() {
            let before = earlier.get(uuid).cloned();
            if before.as_ref() != Some(row) {
                changes.push(Change { uuid, before, after: Some(row.clone()) });
            }
        }
        let gone = earlier.iter().filter(|(uuid, _)| !self.rows.contains_key(uuid));
        changes.extend(gone.map(|(uuid, row)| Change { uuid, before: Some(row.clone()), after: None }));
    }

    fn recorder(&self) -> Box<dyn Changes> {
        Box::new(Vec::<Change<R>>::new())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<R: RowType> Changes for Vec<Change<R>> {
    fn is_empty(&self) -> bool {
        <[_]>::is_empty(self)
    }

    fn merge(&mut self, later: &dyn Changes) {
        let Some(later) = later.as_any().downcast_ref::<Self>() else { return };
        let mut places: HashMap<_, _> =
            self.iter().enumerate().map(|(at, change)| (change.uuid, at)).collect();
        for change in later {
            let place = *places.entry(change.uuid).or_insert(self.len());
            match self.get_mut(place) {
                Some(both) => both.after.clone_from(&change.after),
                None => self.push(change.clone()),
            }
        }
        self.retain(|change| change.before != change.after);
    }

    fn duplicate(&self) -> Box<dyn Changes> {
        Box::new(self.clone())
    }

    fn revert(&self, table: &mut dyn AnyTable) {
        if let Some(table) = table.as_any_mut().downcast_mut::<Table<R>>() {
            for change in self.iter().rev() {
                table.put(change.uuid, change.before.clone());
            }
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Records nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unrecorded;

impl Changes for Unrecorded {
    fn is_empty(&self) -> bool {
        true
    }

    fn merge(&mut self, _: &dyn Changes) {}

    fn duplicate(&self) -> Box<dyn Changes> {
        Box::new(*self)
    }

    fn revert(&self, _: &mut dyn AnyTable) {}

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
