//! A transaction being put together.

use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    op::{Condition, Mutation, Name, Operation, Until},
    row::Row,
    table::Declared,
    uuid::Uuid,
    value::NamedUuid,
};

/// Operations that take effect together or not at all.
///
/// ```
/// use vdpa_ovs::ovsdb::{Condition, Row, Transaction};
///
/// let mut txn = Transaction::new("Open_vSwitch");
/// let interface = txn.insert("Interface", Row::new().with("name", "eth0"));
/// txn.select("Open_vSwitch", vec![], &["next_cfg"]);
/// assert_eq!(txn.operations().len(), 2);
/// assert!(txn.writes());
/// # let _ = interface;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    database: Name,
    operations: Vec<Operation>,
    named: usize,
}

impl Transaction {
    /// An empty transaction.
    pub fn new(database: impl Into<Name>) -> Self {
        Self { database: database.into(), operations: Vec::new(), named: 0 }
    }

    /// The database it is for.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether any operation changes the database.
    pub fn writes(&self) -> bool {
        self.operations.iter().any(Operation::writes)
    }

    /// Appends an operation and gives its index.
    pub fn push(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// Inserts a row, and gives the name by which later operations can refer to it.
    pub fn insert(&mut self, table: impl Into<Name>, row: Row) -> NamedUuid {
        self.named += 1;
        let name = format!("row{}", self.named);
        let table = table.into();
        self.push(Operation::Insert { table, row, uuid_name: Some(name.clone()), uuid: None });
        NamedUuid(name)
    }

    /// Inserts a row of a declared type. Columns that are as nobody has set them are left to the server.
    pub fn insert_row<R: Declared>(&mut self, row: &R) -> NamedUuid {
        self.insert(R::TABLE, row.to_row().set_columns())
    }

    /// Inserts a row that gets an identity of our choice (an extension of OVS); gives the operation's index.
    pub fn insert_as(&mut self, table: impl Into<Name>, uuid: Uuid, row: Row) -> usize {
        self.push(Operation::Insert { table: table.into(), row, uuid_name: None, uuid: Some(uuid) })
    }

    /// Reads rows, of every column if none is named; gives the operation's index.
    pub fn select(
        &mut self,
        table: impl Into<Name>,
        conditions: Vec<Condition>,
        columns: &[&'static str],
    ) -> usize {
        let columns = columns.iter().map(|column| Name::from(*column)).collect();
        self.push(Operation::Select { table: table.into(), conditions, columns })
    }

    /// Sets columns; gives the operation's index.
    pub fn update(&mut self, table: impl Into<Name>, conditions: Vec<Condition>, row: Row) -> usize {
        self.push(Operation::Update { table: table.into(), conditions, row })
    }

    /// Deletes rows; gives the operation's index. Rows that nothing refers to any more go by themselves.
    pub fn delete(&mut self, table: impl Into<Name>, conditions: Vec<Condition>) -> usize {
        self.push(Operation::Delete { table: table.into(), conditions })
    }

    /// Changes columns in place; gives the operation's index.
    pub fn mutate(
        &mut self,
        table: impl Into<Name>,
        conditions: Vec<Condition>,
        mutations: Vec<Mutation>,
    ) -> usize {
        self.push(Operation::Mutate { table: table.into(), conditions, mutations })
    }

    /// Fails the transaction with `timed out` unless the one row met reads as given: an optimistic lock on
    /// what was read before. Gives the operation's index.
    pub fn verify(
        &mut self,
        table: impl Into<Name>,
        conditions: Vec<Condition>,
        columns: Vec<&'static str>,
        row: Row,
    ) -> usize {
        let columns = columns.into_iter().map(Name::from).collect();
        let (table, until, rows) = (table.into(), Until::Equal, vec![row]);
        self.push(Operation::Wait { timeout: 0, table, conditions, columns, until, rows })
    }
}

/// The parameters of `transact`: the database's name and the operations, in one array.
impl Serialize for Transaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(1 + self.operations.len()))?;
        array.serialize_element(&self.database)?;
        for operation in &self.operations {
            array.serialize_element(operation)?;
        }
        array.end()
    }
}
