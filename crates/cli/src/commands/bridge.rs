//! `vdpa host bridge`: the bridge that virtual machines are managed by, over the host's own NIC, which goes away by itself
//! unless somebody who still reaches the host confirms it.

mod show;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use vdpa_boot::Host;
use vdpa_boot::bridge::{Manager, Plan, Wanted};
use vdpa_hw::{IfIndex, Links as _, ManagementUse, NetdevName, RtnlLinks};

use super::{Session, prepare, simulation};
use crate::config::{self, HostFile, NicName};
use crate::doctor::session_address;
use crate::error::Error;
use crate::lock::Lock;
use crate::privilege::NET_ADMIN;
use crate::report::Report as _;

pub(super) const HELP: &str = "\
Without --apply it is shown what would be done, and nothing is. Whoever manages the NIC makes the bridge: NetworkManager,
by two profiles beside the NIC's own, or systemd-networkd, by files that come first. The bridge takes the NIC's MAC, so that
a DHCP server gives the same address, and all that is said of its addresses: static ones, gateway, routes, DNS. What
said so before is never edited.

Before anything is changed, a timer of systemd's is armed that takes the bridge back. When the bridge has its
addresses, you have the rest of --confirm-within to say that you still reach the host: `vdpa host bridge --confirm`.
Until then all of it lies below /run, so that a reboot takes it back too.

With --json the outcome is one of changes, done, unchanged, failed, incomplete; beside what every command says there are
  bridge     null, or how it stands (unconfirmed, confirmed, taken-back), name, over, manager, before, and what
             confirms it and takes it back
  mac        the bridge's, which is the NIC's (with --over)
  arm, make  the argument vector that arms the timer, and what makes the bridge (with --over)

Exit codes: 0 done or nothing to do, 1 failed and the host is as it was, 2 what is asked for cannot be,
3 failed and not taken back yet: the timer goes on.

Examples:
  vdpa host bridge --over eno1                      what would be done; changes nothing
  sudo vdpa host bridge --over eno1 --apply
  sudo vdpa host bridge --confirm                   typed where you reach the host by the bridge
  vdpa host bridge                                  how it stands
  sudo vdpa host bridge --remove                    back to the NIC alone
  sudo vdpa vm create cx6.1 --bridge br0 …";

/// How long the timer waits for whoever else is at work on the bridge, before it goes on without waiting.
const BUSY: Duration = Duration::from_mins(1);

/// Options of `host bridge`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Bridge {
    /// The NIC that the host is managed by: the bridge goes over it and takes its addresses.
    #[arg(long, value_name = "NIC")]
    over: Option<NetdevName>,
    /// The bridge.
    #[arg(long, value_name = "NAME", default_value = "br0", requires = "over")]
    name: NetdevName,
    /// Who makes it, nm or networkd [default: whoever manages the NIC].
    #[arg(long, value_name = "MANAGER", requires = "over")]
    manager: Option<Manager>,
    /// How long it stays without `--confirm`: 10s to 60m, counted from when it begins.
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "over")]
    confirm_within: Within,
    /// Do it.
    #[arg(long, requires = "over")]
    apply: bool,
    /// Keep it: the host is reached.
    #[arg(long, conflicts_with_all = ["over", "remove"])]
    confirm: bool,
    /// Take it back, confirmed or not.
    #[arg(long, conflicts_with = "over")]
    remove: bool,
    /// Take it back if it is not confirmed; what the timer starts.
    #[arg(long, hide = true, conflicts_with_all = ["over", "confirm", "remove"])]
    roll_back: bool,
}

/// A time that somebody has to type something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Within(Duration);

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = match text.strip_suffix('m') {
            Some(minutes) => (minutes, 60),
            None => (text.strip_suffix('s').unwrap_or(text), 1),
        };
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match seconds {
            Some(seconds @ 10..=3600) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err("it is from 10s to 60m, as in `90s` or `5m`".to_owned()),
        }
    }
}

/// Carries out the command.
pub(super) async fn run(session: &Session, options: &Bridge) -> super::Result {
    let host = host(session)?;
    let changes = options.apply || options.confirm || options.remove || options.roll_back;
    if !changes {
        return match &options.over {
            Some(over) => {
                let plan = host.plan_bridge(&wanted(session, options, over)?).await.map_err(Error::from)?;
                say_session(session, &plan).await;
                Ok(show::planned(session, &plan))
            }
            None => Ok(show::standing(session, host.bridge().map_err(Error::from)?.as_ref())),
        };
    }
    session.require("host bridge", &[NET_ADMIN])?;
    // A terminal that goes away because the network does ends nothing here.
    session.listen_for_signals();
    let _lock = lock(session, options.roll_back).await?;
    if options.confirm {
        let record = host.confirm_bridge().await.map_err(Error::from)?;
        return Ok(show::confirmed(session, &record));
    }
    if options.remove || options.roll_back {
        let record = if options.remove { host.remove_bridge().await } else { host.roll_bridge_back().await };
        return Ok(show::taken_back(session, record.map_err(Error::from)?.as_ref()));
    }
    let Some(over) = &options.over else { return Ok(show::standing(session, None)) };
    let plan = host.plan_bridge(&wanted(session, options, over)?).await.map_err(Error::from)?;
    say_session(session, &plan).await;
    host.make_bridge(&plan).await.map_err(Error::from)?;
    Ok(show::made(session, &plan))
}

fn host(session: &Session) -> Result<Host, Error> {
    let Some(simulated) = simulation(&session.common)? else { return Ok(Host::new("/")) };
    vdpa_boot::mock::furnish_network(&simulated.root())?;
    Ok(prepare::simulated(session, &simulated)?.0)
}

fn wanted(session: &Session, options: &Bridge, over: &NetdevName) -> Result<Wanted, Error> {
    let program =
        std::env::current_exe().map_err(|source| Error::Run { path: "/proc/self/exe".into(), source })?;
    let program = program.into_os_string().into_string().map_err(|path| Error::Unspeakable(path.into()))?;
    let words = ["host", "bridge", "--roll-back"].map(str::to_owned);
    Ok(Wanted {
        over: over.clone(),
        name: options.name.clone(),
        manager: options.manager,
        confirm_within: options.confirm_within.0,
        cards: cards(session)?,
        roll_back: std::iter::once(program).chain(words).collect(),
    })
}

/// The cards of the host file, where there is one.
fn cards(session: &Session) -> Result<Vec<String>, Error> {
    let usual = Path::new(config::DEFAULT_PATH);
    let file = if session.is_simulated() {
        config::parse(Path::new("host 105"), crate::host::HOST_FILE)?
    } else if usual.exists() {
        config::read(usual)?
    } else {
        HostFile::default()
    };
    let name = |nic: &NicName| match nic {
        NicName::Pci(address) => address.to_string(),
        NicName::Netdev(name) => name.to_string(),
    };
    Ok(file.nics.iter().map(|nic| name(&nic.pf)).collect())
}

/// The lock of whoever works on the bridge. It is not that of `setup`, which may be at work for minutes when the timer runs
/// out. The timer waits for it, and goes on without it rather than leave a host that nobody reaches.
async fn lock(session: &Session, waits: bool) -> Result<Option<Lock>, Error> {
    let take = || Lock::take(&session.run_directory().join("bridge"));
    if !waits {
        return take().map(Some);
    }
    let free = async {
        loop {
            match take() {
                Ok(lock) => return Some(lock),
                Err(error) => tracing::info!(%error, "waiting"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    Ok(tokio::time::timeout(BUSY, free).await.unwrap_or_default())
}

/// Says so where the session that this is typed in goes over the NIC.
async fn say_session(session: &Session, plan: &Plan) {
    if session.is_simulated() {
        return;
    }
    let files = std::sync::Arc::new(vdpa_hw::platform::Rooted::new("/"));
    let Ok(Some(address)) = session_address(files).await else { return };
    let uses = RtnlLinks::new("/").management_uses(IfIndex(plan.index)).await.unwrap_or_default();
    if uses.iter().any(|found| matches!(found, ManagementUse::Address(found) if *found == address)) {
        session.output.warn(&format!(
            "this SSH session is connected to {address}, which moves from {} to {}: it stands still meanwhile, and if it does \
             not come back, the host is as it was after {} s",
            plan.record.over, plan.record.name, plan.record.confirm_within_s
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_unit_and_its_bounds() {
        for (text, seconds) in [("60", 60), ("10s", 10), ("5m", 300), ("60m", 3600)] {
            assert_eq!(text.parse(), Ok(Within(Duration::from_secs(seconds))));
        }
        for text in ["", "s", "9s", "61m", "-1", "1h", "307445734561825861m"] {
            assert!(text.parse::<Within>().is_err(), "{text}");
        }
    }
}
