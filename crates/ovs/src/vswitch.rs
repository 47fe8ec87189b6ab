//! The layer's trait: a switch that can be looked at and made to be as stated.

use std::fmt;

use async_trait::async_trait;

use crate::{BridgeName, Change, Error, Observation};

/// A virtual switch.
#[async_trait]
pub trait Vswitch: fmt::Debug + Send + Sync {
    /// Looks at the switch from one bridge, without any effect; with everything that somebody has set in the rows of our
    /// ports, which [`Change::restoring`] brings back.
    async fn observe(&self, bridge: &BridgeName) -> Result<Observation, Error>;

    /// The same in a single consistent read. Of what is set in the rows of our ports it has the VLAN, and the
    /// interface's type and options; the rest takes the server's schema and a read of each column.
    async fn glance(&self, bridge: &BridgeName) -> Result<Observation, Error>;

    /// Makes a change true: in one transaction, or none if it is true already; waits until the switch has
    /// applied it; and checks that every port asked for works. Doing it again is harmless, also after an
    /// [`Error::outcome_unknown`]: what is already so is left alone.
    ///
    /// An error before the transaction leaves the switch as it was. [`Error::NotApplied`] and
    /// [`Error::InterfaceFailed`] come after it: the change is recorded, and enforcing what was observed before
    /// takes it back.
    async fn apply(&self, change: &Change) -> Result<Applied, Error>;

    /// How many write transactions have been sent.
    fn writes(&self) -> u64;
}

/// What [`Vswitch::apply`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whether anything was written; not, if all of it was so already.
    pub changed: bool,
    /// The configuration number that the switch has reached.
    pub next_cfg: i64,
    /// Times the reading and writing was done; more than one if other writers came between.
    pub attempts: u32,
}
