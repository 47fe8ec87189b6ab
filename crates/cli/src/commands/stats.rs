//! `vdpa stats`: what the parts of each VF have counted.

use std::time::Duration;

use clap::Args;
use vdpa_hw::Vf;

use super::{Result, Session};
use crate::report::Outcome;
use crate::stats::{Look, lines, look};

const HELP: &str = "\
Who counts: the dpdk-vdpa process of a VF (asked at its prompt) or the kernel's vDPA driver, for each virtqueue, once a
guest is connected; the VF's representor, with what the card has forwarded where its driver counts that; and what of it
has passed the host's CPU. Names are the drivers' own. With --watch there is a look every second, or as often as it says,
and how fast each counter grows; with --json then a document a look.

Examples:
  vdpa stats
  vdpa stats 0000:43:00.0/vf0 --all
  vdpa stats --watch
  vdpa stats --watch=5 --count 12 --json | jq '.vfs[].sources[] | select(.source == \"slow-path\")'";

/// Options of `stats`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Stats {
    /// Only these VFs.
    #[arg(value_name = "PF/vfN")]
    pub vfs: Vec<Vf>,
    /// Show the counters that are 0 too.
    #[arg(short, long)]
    pub all: bool,
    /// Look again and again, every so many seconds.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub watch: Option<u16>,
    /// Look so many times and end.
    #[arg(short = 'n', long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
}

/// Looks, and shows what was counted.
pub(super) async fn run(session: &Session, options: &Stats) -> Result {
    let (access, _) = session.known()?;
    let host = session.host(&access)?;
    let mut last = look(&host, &options.vfs).await?;
    let Some(seconds) = options.watch else {
        show(session, options, &last);
        return Ok(told(&last));
    };
    let mut left = options.count;
    loop {
        show(session, options, &last);
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(told(&last));
        }
        session.output.document(&told(&last));
        tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
        last = look(&host, &options.vfs).await?.since(&last);
        session.output.line("\n");
    }
}

fn show(session: &Session, options: &Stats, look: &Look) {
    for line in lines(look, options.all) {
        session.output.line(line);
    }
}

fn told(look: &Look) -> Outcome {
    Outcome::done("stats", "shown").with("vfs", &look.vfs)
}
