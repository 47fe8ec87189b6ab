//! The VM, and what its part of the bench (`lab/bench/guest.sh`) is asked to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tempfile::TempDir;

use super::contender::{Contender, Target};
use super::counts::{self, Processes, Writes};
use super::trace::{self, Waits};
use crate::lab::{Clock, Instance, Job, JobEnd, Lab, Life, Share, Vm};
use crate::process;
use crate::workspace;

/// The reference script with 8 VFs takes 70 s on a quiet machine.
const LIMIT: Duration = Duration::from_mins(5);

/// Where the guest has the program, on its own disk, and the scripts, in memory.
const PROGRAM: &str = "/opt/vdpa/vdpa";
const SCRIPTS: &str = "/run/bench";

/// What one run took and did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Measured {
    /// From its start to its end, in the guest.
    pub(crate) seconds: f64,
    /// Of that, seconds of CPU in its own processes: in their code, and in the kernel for them.
    pub(crate) user: f64,
    /// See `user`.
    pub(crate) system: f64,
    /// Processes and threads made in the whole guest.
    pub(crate) forks: u32,
    /// Processes by who started them.
    pub(crate) processes: Processes,
    /// Transactions that changed the database.
    pub(crate) writes: Writes,
    /// How often systemd started ovs-vswitchd.
    pub(crate) restarts: u32,
    /// Ours: what was waited for.
    pub(crate) waits: Option<Waits>,
}

/// A VM with everything in it that is needed.
#[derive(Debug)]
pub(crate) struct Guest {
    share: Share,
    own: Option<(Vm, TempDir)>,
}

impl Guest {
    /// Boots a VM unless one is named, and brings `program` and all that is needed into it.
    pub(crate) async fn ready(vm: Option<&str>, program: &Path) -> Result<Self> {
        let guest = if let Some(name) = vm {
            Self { share: Instance::named(name)?.share()?, own: None }
        } else {
            let lab = Lab::ready().await?;
            let directory = TempDir::with_prefix("vdpa-bench-")?;
            let vm = Vm::boot(&lab, directory.path(), Life::Ours, Clock::Instructions).await?;
            let share = Share::new(vm.share.directory().to_owned(), vm.share.pid());
            Self { share, own: Some((vm, directory)) }
        };
        let bench = guest.host_side("bench");
        if bench.exists() {
            fs::remove_dir_all(&bench)?;
        }
        fs::create_dir(&bench)?;
        for directory in ["baseline", "bench"] {
            copy_scripts(&workspace::lab().join(directory), &bench)?;
        }
        fs::copy(program, bench.join("vdpa"))?;
        guest.must(&["install", "-D", "/lab/bench/vdpa", PROGRAM], vec![]).await?;
        guest.must(&["cp", "-rT", "/lab/bench", SCRIPTS], vec![]).await?;
        Ok(guest)
    }

    /// Ends the VM, if it was booted for this.
    pub(crate) async fn end(self) -> Result<()> {
        match self.own {
            Some((vm, _directory)) => vm.end().await,
            None => Ok(()),
        }
    }

    /// Makes the clean state; gives it in words.
    pub(crate) async fn clean(&self, target: Target) -> Result<String> {
        self.script(&["clean"], target).await?;
        self.state(target).await
    }

    /// Returns when nothing is at work in the VM any more.
    pub(crate) async fn quiet(&self, target: Target) -> Result<()> {
        self.script(&["quiet"], target).await.map(drop)
    }

    /// The state in words.
    pub(crate) async fn state(&self, target: Target) -> Result<String> {
        self.script(&["state"], target).await
    }

    /// Runs `vdpa teardown`; gives the state after it. What somebody changed meanwhile is no matter: packets were sent.
    pub(crate) async fn teardown(&self, target: Target) -> Result<String> {
        self.must(&[PROGRAM, "teardown", "--force", "drift"], vec![]).await?;
        self.state(target).await
    }

    /// Sends packets from VF to VF; gives how many flows are offloaded then.
    pub(crate) async fn offloaded(&self, target: Target) -> Result<u32> {
        let said = self.script(&["ping"], target).await?;
        ensure!(said.contains("5 received"), "packets were lost: {said}");
        let flows = said.lines().find_map(|line| line.strip_prefix("offloaded ")?.parse().ok());
        let flows = flows.with_context(|| format!("no number of flows in {said}"))?;
        ensure!(flows > 0, "no flow is offloaded");
        Ok(flows)
    }

    /// Runs a contender.
    pub(crate) async fn measure(&self, contender: Contender, target: Target) -> Result<Measured> {
        self.bring_host_file(target).await?;
        let env = target.env().into_iter().chain(contender.env()).collect();
        self.run_measured(contender.argv(SCRIPTS, PROGRAM, target), env).await
    }

    /// Sets `target` up.
    pub(crate) async fn setup(&self, target: Target) -> Result<()> {
        self.bring_host_file(target).await?;
        self.must(&[PROGRAM, "setup", "--config", &Self::host_file(target)], vec![]).await.map(drop)
    }

    /// The command line of our program in the guest.
    pub(crate) fn ours(arguments: &[&str]) -> Vec<String> {
        [PROGRAM].iter().chain(arguments).map(|&word| word.to_owned()).collect()
    }

    /// Where our host file for `target` is in the guest.
    pub(crate) fn host_file(target: Target) -> String {
        format!("{SCRIPTS}/{}", target.host_file_name())
    }

    async fn bring_host_file(&self, target: Target) -> Result<()> {
        fs::write(self.host_side("bench").join(target.host_file_name()), target.host_file())?;
        self.must(&["cp", "-rT", "/lab/bench", SCRIPTS], vec![]).await.map(drop)
    }

    /// Runs a command in the guest and counts what it takes.
    pub(crate) async fn run_measured(
        &self,
        command: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<Measured> {
        let mut argv =
            vec!["bash".to_owned(), format!("{SCRIPTS}/guest.sh"), "measure".into(), "/lab/out".into()];
        argv.extend(command);
        let end = self.share.run(&job(argv, env), |_, _| {}).await?;
        let out = self.host_side("out");
        if end.rc != 0 || end.timed_out {
            let said = fs::read_to_string(out.join("stderr")).unwrap_or_default();
            bail!("it ended with {}:{}{}", end.rc, process::last_lines(&said, 20), end.stdout);
        }
        read(&out).with_context(|| format!("cannot read what is in {}", out.display()))
    }

    async fn script(&self, arguments: &[&str], target: Target) -> Result<String> {
        let script = format!("{SCRIPTS}/guest.sh");
        let argv: Vec<&str> = ["bash", &script].into_iter().chain(arguments.iter().copied()).collect();
        self.must(&argv, target.env()).await
    }

    async fn must(&self, argv: &[&str], env: Vec<(String, String)>) -> Result<String> {
        let words = argv.iter().map(|&word| word.to_owned()).collect();
        let JobEnd { rc, timed_out, stdout, .. } = self.share.run(&job(words, env), |_, _| {}).await?;
        ensure!(rc == 0 && !timed_out, "`{}` ended with {rc}: {}", argv.join(" "), stdout.trim());
        Ok(stdout)
    }

    fn host_side(&self, name: &str) -> PathBuf {
        self.share.directory().join(name)
    }
}

fn job(argv: Vec<String>, env: Vec<(String, String)>) -> Job {
    Job { argv, env, limit: LIMIT, merge: true }
}

fn copy_scripts(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Reads what `guest.sh measure` wrote.
fn read(out: &Path) -> Result<Measured> {
    let text = |name: &str| fs::read_to_string(out.join(name)).with_context(|| format!("no {name}"));
    let facts = text("facts")?;
    let facts: BTreeMap<&str, f64> = facts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let fact = |name: &str| facts.get(name).copied().with_context(|| format!("no {name} among the facts"));
    let (before, after) = (cpu(&text("times.before")?)?, cpu(&text("times.after")?)?);
    ensure!(fact("grew")? >= 0.0, "the database was compacted: its transactions cannot be counted");
    let waits = text("trace").ok().map(|record| trace::waits(&record)).transpose()?;
    Ok(Measured {
        seconds: fact("ended")? - fact("began")?,
        user: after.0 - before.0,
        system: after.1 - before.1,
        forks: whole(fact("forks")?),
        processes: counts::processes(&fs::read(out.join("accounts"))?, whole(fact("pid")?))?,
        writes: counts::writes(&text("transactions")?)?,
        restarts: u32::try_from(text("starts")?.lines().count())?,
        waits,
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts that were printed as such"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

/// Seconds of user and system time of ended children: the second line of what bash's `times` prints.
fn cpu(times: &str) -> Result<(f64, f64)> {
    let second = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    let read = || {
        let (user, system) = times.lines().nth(1)?.split_once(' ')?;
        Some((second(user)?, second(system)?))
    };
    read().with_context(|| format!("these are no times: {times}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_children() {
        let (user, system) = cpu("0m0.025s 0m0.041s\n1m0.155s 0m0.310s\n").unwrap();
        assert!((user - 60.155).abs() < 1e-9 && (system - 0.310).abs() < 1e-9);
        assert!(cpu("").is_err());
    }
}
