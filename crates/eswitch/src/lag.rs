//! Bonds of uplinks in hardware (VF LAG): two ports of a card as one port of its switch.
//!
//! mlx5 makes one of two uplinks when both are in switchdev mode and in one bond of mode active-backup, balance-xor
//! or 802.3ad, alone (`mlx5_lag_check_prereq` and `mlx5_handle_changeupper_event` in its `lag/lag.c`), and tells of it
//! in debugfs since Linux 5.19 (`lag/debugfs.c`). VFs are probed after it: a probed VF has chosen its port.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use vdpa_hw::PciAddress;

use crate::error::{Error, Result};

/// How often to look: debugfs announces nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether a card's ports are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LagState {
    /// They are.
    Active,
    /// They are not.
    Disabled,
}

impl std::fmt::Display for LagState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        })
    }
}

/// Where the state of a card is told, below the sysfs at `root`.
fn file(root: &Path, pf: PciAddress) -> PathBuf {
    root.join(format!("kernel/debug/mlx5/{pf}/lag/state"))
}

/// The state of the card's ports; `None` where its driver tells none.
pub(crate) fn read(root: &Path, pf: PciAddress) -> Result<Option<LagState>> {
    let path = file(root, pf);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == "active" => Ok(Some(LagState::Active)),
        Ok(_) => Ok(Some(LagState::Disabled)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::Permission { intent: format!("read {}", path.display()) })
        }
        Err(source) => Err(Error::Sysfs { path, source }),
    }
}

/// Waits until the state is `wanted`, no longer than `limit`; gives what was seen last.
pub(crate) async fn until(
    root: &Path,
    pf: PciAddress,
    wanted: LagState,
    limit: Duration,
) -> Result<Option<LagState>> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = read(root, pf)?;
        if seen == Some(wanted) || Instant::now() >= deadline {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_read_and_waited_on() {
        let root = tempfile::tempdir().unwrap();
        let pf = "0000:43:00.0".parse().unwrap();
        assert_eq!(read(root.path(), pf).unwrap(), None);
        let path = file(root.path(), pf);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (text, state) in [("disabled\n", LagState::Disabled), ("active\n", LagState::Active)] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(root.path(), pf).unwrap(), Some(state));
        }
        let limit = Duration::from_millis(1);
        assert_eq!(until(root.path(), pf, LagState::Disabled, limit).await.unwrap(), Some(LagState::Active));
    }
}
