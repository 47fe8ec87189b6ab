//! What is needed to go on or back, on disk before anything is changed.
//!
//! Below `/run` while it is unconfirmed, for a reboot takes all of that back; in `/var/lib` once it is confirmed.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vdpa_hw::NetdevName;

use super::{Act, Manager};
use crate::error::{Error, Result};
use crate::tree::Tree;

const UNCONFIRMED: &str = "/run/vdpa/bridge.json";
const CONFIRMED: &str = "/var/lib/vdpa/bridge.json";

/// How a bridge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is there, or on its way, until the timer runs out.
    Unconfirmed,
    /// It is there for good.
    Confirmed,
    /// It was there, and nobody confirmed it.
    TakenBack,
}

/// A bridge of ours, and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// How it stands.
    pub standing: Standing,
    /// Its name.
    pub name: NetdevName,
    /// The NIC whose addresses it has.
    pub over: NetdevName,
    /// Who made it.
    pub manager: Manager,
    /// What had the addresses before: a profile's UUID, or a .network file.
    pub before: String,
    /// How long it stays without a confirmation, in seconds.
    pub confirm_within_s: u64,
    /// What makes it last.
    pub confirm: Vec<Act>,
    /// What takes ours away.
    pub take_back: Vec<Act>,
    /// What takes up what was before, where its manager does not by itself.
    pub take_up: Vec<Act>,
}

impl Record {
    /// What is written down: of one that waits, or else of one that was confirmed.
    pub(super) fn open(tree: &Tree) -> Result<Option<Self>> {
        match Self::read(tree, UNCONFIRMED)? {
            Some(record) if record.standing != Standing::TakenBack => Ok(Some(record)),
            past => Ok(Self::read(tree, CONFIRMED)?.or(past)),
        }
    }

    /// Writes it down, where one of its standing belongs, and nowhere else.
    pub(super) fn save(&self, tree: &Tree) -> Result<()> {
        let (here, there) = match self.standing {
            Standing::Confirmed => (CONFIRMED, UNCONFIRMED),
            Standing::Unconfirmed | Standing::TakenBack => (UNCONFIRMED, CONFIRMED),
        };
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Record { path: here.into(), why: error.to_string() })?;
        tree.write_private(Path::new(here), &(text + "\n"))?;
        remove(tree, there)
    }

    /// Forgets it.
    pub(super) fn forget(tree: &Tree) -> Result<()> {
        remove(tree, UNCONFIRMED)?;
        remove(tree, CONFIRMED)
    }

    /// Root acts by it, so that nobody else may have written it.
    fn read(tree: &Tree, path: &str) -> Result<Option<Self>> {
        let at = Path::new(path);
        let bad = |why: String| Error::Record { path: path.into(), why };
        let Some(text) = tree.read(at)? else { return Ok(None) };
        if !tree.is_private(at)? {
            return Err(bad("it is not ours alone: it has another owner, or others may write it".to_owned()));
        }
        serde_json::from_str(&text).map(Some).map_err(|error| bad(error.to_string()))
    }
}

fn remove(tree: &Tree, path: &str) -> Result<()> {
    let path = Path::new(path);
    if tree.exists(path) { tree.write(path, None) } else { Ok(()) }
}
