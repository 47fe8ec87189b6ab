//! `cargo xtask lab …`: the lab by hand.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

use super::build::Lab;
use super::instance::Instance;
use super::job::{Job, Stream};
use super::vm::{CARDS, Clock};

/// What to do with the lab.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the lab, or find it in the cache
    Build,
    /// Boot a VM that stays up
    Up {
        /// Its name: several may be up at once
        #[arg(long, default_value = "lab")]
        name: String,
        /// What makes time pass in it while its CPU is busy
        #[arg(long, value_enum, default_value_t = Clock::Host)]
        clock: Clock,
    },
    /// Run a command in a VM that is up; exits with the command's status
    ///
    /// The workspace's target directory is `/target` in the VM, read-only.
    Run {
        /// Which VM
        #[arg(long, default_value = "lab")]
        name: String,
        /// Seconds until everything that the command started is killed
        #[arg(long, default_value_t = 120)]
        limit: u64,
        /// NAME=VALUE for the command
        #[arg(long, value_parser = variable)]
        env: Vec<(String, String)>,
        /// The command
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// End a VM that is up
    Down {
        /// Which VM
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// List the VMs that are up
    List,
    /// Remove from the cache what this tree's lab is not made of
    Clean,
}

/// Does it.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Build => {
            let lab = Lab::ready().await?;
            println!("{}", lab.image.display());
        }
        Command::Up { name, clock } => up(&Instance::named(&name)?, clock).await?,
        Command::Run { name, limit, env, argv } => {
            let job = Job { argv, env, limit: Duration::from_secs(limit), merge: false };
            return run_job(&Instance::named(&name)?, &job).await;
        }
        Command::Down { name } => Instance::named(&name)?.down().await?,
        Command::Clean => Lab::clean().await?,
        Command::List => {
            for instance in Instance::all_up()? {
                println!("{}  {}", instance.name(), instance.share()?.directory().display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(instance: &Instance, clock: Clock) -> Result<()> {
    let lab = Lab::ready().await?;
    instance.up(&lab, clock).await?;
    println!("{} is up; its /lab is {}", instance.name(), instance.share()?.directory().display());
    for card in CARDS {
        println!("card {} with up to {} VFs, far end {}", card.pci, card.vfs, card.wire);
    }
    Ok(())
}

async fn run_job(instance: &Instance, job: &Job) -> Result<ExitCode> {
    let end = instance.share()?.run(job, relay).await?;
    if end.timed_out {
        eprintln!("lab: killed at its limit of {} s", job.limit.as_secs());
    }
    Ok(u8::try_from(end.rc).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Prints what a job prints.
fn relay(stream: Stream, bytes: &[u8]) {
    // A reader that went away (`| head`) is no reason to leave the job alone.
    let _ = match stream {
        Stream::Stdout => std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()),
        Stream::Stderr => std::io::stderr().write_all(bytes),
    };
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
