//! A transaction being put together.

use super::{
    op::{Condition, Mutation, Operation, Until},
    row::Row,
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
    database: &'static str,
    operations: Vec<Operation>,
    named: usize,
}

impl Transaction {
    /// An empty transaction.
    pub fn new(database: &'static str) -> Self {
        Self { database, operations: Vec::new(), named: 0 }
    }

    /// The database it is for.
    pub fn database(&self) -> &'static str {
        self.database
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
    pub fn insert(&mut self, table: &'static str, row: Row) -> NamedUuid {
        self.named += 1;
        let name = format!("row{}", self.named);
        self.push(Operation::Insert { table, row, uuid_name: Some(name.clone()) });
        NamedUuid(name)
    }

    /// Reads rows, of every column if none is named; gives the operation's index.
    pub fn select(
        &mut self,
        table: &'static str,
        conditions: Vec<Condition>,
        columns: &'static [&'static str],
    ) -> usize {
        self.push(Operation::Select { table, conditions, columns })
    }

    /// Changes columns in place; gives the operation's index.
    pub fn mutate(
        &mut self,
        table: &'static str,
        conditions: Vec<Condition>,
        mutations: Vec<Mutation>,
    ) -> usize {
        self.push(Operation::Mutate { table, conditions, mutations })
    }

    /// Fails the transaction with `timed out` unless the one row met reads as given: an optimistic lock on
    /// what was read before. Gives the operation's index.
    pub fn verify(
        &mut self,
        table: &'static str,
        conditions: Vec<Condition>,
        columns: Vec<&'static str>,
        row: Row,
    ) -> usize {
        let (until, rows) = (Until::Equal, vec![row]);
        self.push(Operation::Wait { timeout: 0, table, conditions, columns, until, rows })
    }
}
