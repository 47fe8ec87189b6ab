//! What firmware settings were before `setup --firmware`, kept on disk.
//!
//! The receipt is gone after a reboot, and what was written to firmware is in force only then: so this is kept where
//! reboots do not reach it, until a `teardown` has brought it back.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::receipt::Befores;
use crate::step::Step;
use crate::whole;

/// Where what was before is kept.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The one in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("firmware.json") }
    }

    /// What settings were before, each by its statement.
    ///
    /// # Errors
    /// [`Error::Receipt`] where there is one that cannot be read: it is never thrown away.
    pub fn read(&self) -> Result<Vec<Step>, Error> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error("read", &error)),
        };
        serde_json::from_str(&text).map_err(|error| self.error("understand", &error))
    }

    /// Adds what is in `befores` of settings that nothing is known of yet.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be written; what was there is still there then.
    pub fn remember(&self, befores: &Befores) -> Result<(), Error> {
        let mut kept = self.read()?;
        for before in befores.values().flatten().filter(|step| matches!(step, Step::Firmware { .. })) {
            if !kept.iter().any(|other| other.subject() == before.subject()) {
                kept.push(before.clone());
            }
        }
        self.write(&kept)
    }

    /// Puts what is kept in the place of what `befores` says of the same settings.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be read.
    pub fn recall(&self, befores: &mut Befores) -> Result<(), Error> {
        for kept in self.read()? {
            if let Some(before) = befores.get_mut(&kept.subject()) {
                *before = Some(kept);
            }
        }
        Ok(())
    }

    /// Forgets the settings that `befores` speaks of: they have been brought back.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be read or written.
    pub fn forget(&self, befores: &Befores) -> Result<(), Error> {
        let mut kept = self.read()?;
        kept.retain(|step| !befores.contains_key(&step.subject()));
        self.write(&kept)
    }

    /// Writes down exactly this.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be written; what was there is still there then.
    pub fn write(&self, kept: &[Step]) -> Result<(), Error> {
        let written = if kept.is_empty() {
            match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            serde_json::to_vec(kept).map_err(Into::into).and_then(|text| whole::write(&self.path, &text))
        };
        written.map_err(|error| self.error("write", &error))
    }

    fn error(&self, verb: &'static str, why: &dyn std::fmt::Display) -> Error {
        Error::Receipt { verb, path: self.path.clone(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vfs(number: u64) -> Step {
        let card = "0000:43:00.0".parse().unwrap();
        Step::Firmware {
            card,
            name: "NUM_OF_VFS".parse().unwrap(),
            value: vdpa_hw::firmware::Value::Number(number),
        }
    }

    #[test]
    fn what_was_at_first_stays() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&directory.path().join("deep"));
        assert_eq!(ledger.read().unwrap(), []);
        ledger.remember(&[(vfs(4).subject(), Some(vfs(4)))].into()).unwrap();
        ledger.remember(&[(vfs(8).subject(), Some(vfs(8)))].into()).unwrap();
        assert_eq!(ledger.read().unwrap(), [vfs(4)]);
        let mut befores = Befores::from([(vfs(8).subject(), Some(vfs(8)))]);
        ledger.recall(&mut befores).unwrap();
        assert_eq!(befores[&vfs(4).subject()], Some(vfs(4)));
        ledger.write(&[]).unwrap();
        ledger.write(&[]).unwrap();
        assert_eq!(ledger.read().unwrap(), []);
    }

    #[test]
    fn what_is_no_ledger_is_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(directory.path());
        std::fs::write(&ledger.path, "{").unwrap();
        assert!(ledger.read().unwrap_err().to_string().contains("firmware.json"));
        assert!(ledger.remember(&Befores::new()).is_err());
        assert!(ledger.path.exists());
    }
}
