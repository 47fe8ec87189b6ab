//! How long to wait before a program that failed is started again.
//!
//! systemd does this itself since 254 (`RestartSteps=`); on the systems that people have, with 239 to 252, it starts
//! again after the same time for ever, or gives up. A datapath whose VF is away for a minute, because its card is
//! being reset, has to be back when the VF is.

use std::time::Duration;

/// The longest that is waited.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// A program that has served for so long had no trouble at its start.
const SOUND: Duration = Duration::from_mins(1);

/// How long to wait after so many failures in a row: not at all after the first, so that a crash costs a guest as
/// little as can be, then 1 s, 2 s, 4 s, and so on.
pub(super) fn delay(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1).saturating_mul(1 << (more - 2).min(16)).min(LONGEST),
    }
}

/// How many failures there have been in a row, with this one, of a program that had `served` for some time.
pub(super) fn count(before: u32, served: Option<Duration>) -> u32 {
    if served.is_some_and(|served| served >= SOUND) { 1 } else { before.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_mended_at_once_and_a_crash_loop_slows_down() {
        let seconds: Vec<u64> = (0..9).map(|failures| delay(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn what_served_long_enough_begins_anew() {
        assert_eq!(count(0, None), 1);
        assert_eq!(count(4, Some(Duration::from_secs(59))), 5);
        assert_eq!(count(4, Some(Duration::from_mins(1))), 1);
    }
}
