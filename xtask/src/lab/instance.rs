//! VMs that stay up between commands, each under a name.
//!
//! An instance is a directory in the cache, `up-NAME`, with the VM's process id, shared folder and console.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::build::Lab;
use super::cache::Cache;
use super::job::Share;
use super::vm::{Clock, Life, Vm};

/// A VM by name, up or not.
#[derive(Debug)]
pub(crate) struct Instance {
    name: String,
    directory: PathBuf,
}

impl Instance {
    /// The instance of this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        ensure!(
            !name.is_empty() && name.chars().all(fits),
            "an instance's name has letters, digits, - and _ only"
        );
        let directory = Cache::of_this_user()?.root().join(format!("up-{name}"));
        Ok(Self { name: name.to_owned(), directory })
    }

    /// All instances that are up.
    pub(crate) fn all_up() -> Result<Vec<Self>> {
        let mut up = Vec::new();
        for entry in fs::read_dir(Cache::of_this_user()?.root())? {
            let entry = entry?.file_name();
            let Some(name) = entry.to_str().and_then(|entry| entry.strip_prefix("up-")) else { continue };
            let instance = Self::named(name)?;
            if instance.share().is_ok() {
                up.push(instance);
            }
        }
        Ok(up)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Boots it.
    pub(crate) async fn up(&self, lab: &Lab, clock: Clock) -> Result<()> {
        if let Ok(share) = self.share() {
            bail!("{} is up already (process {}): `cargo xtask lab down --name {0}`", self.name, share.pid());
        }
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&self.directory)?;
        let vm = Vm::boot(lab, &self.directory, Life::ItsOwn, clock).await?;
        fs::write(self.directory.join("pid"), vm.share.pid().to_string())?;
        Ok(())
    }

    /// The shared folder, if it is up.
    pub(crate) fn share(&self) -> Result<Share> {
        let down = || format!("{} is not up: `cargo xtask lab up --name {0}`", self.name);
        let pid = fs::read_to_string(self.directory.join("pid")).ok().and_then(|pid| pid.parse().ok());
        let share = Share::new(self.directory.join("share"), pid.with_context(down)?);
        ensure!(share.alive(), down());
        Ok(share)
    }

    /// Ends it and removes what is left of it.
    pub(crate) async fn down(&self) -> Result<()> {
        let share = self.share()?;
        let pid = Pid::from_raw(share.pid().cast_signed()).context("no such process")?;
        kill_process(pid, Signal::KILL).with_context(|| format!("cannot end {}", self.name))?;
        while share.alive() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::remove_dir_all(&self.directory)
            .with_context(|| format!("cannot remove {}", self.directory.display()))
    }
}
