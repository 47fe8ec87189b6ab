//! What it takes for a changed setting to be in force.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::read::Unreadable;

/// What has to happen, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Nothing: the values that count are in force.
    Nothing,
    /// The card's firmware is reset, and its driver started anew.
    Reset,
    /// The host is rebooted.
    Reboot,
    /// The host is without power for a moment.
    PowerCycle,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Reset => "a firmware reset",
            Self::Reboot => "a reboot",
            Self::PowerCycle => "a power cycle",
        })
    }
}

impl Need {
    /// What the tool says after it has set something.
    ///
    /// "Please reboot machine to load new configurations." is said of whatever a reset would do too: whether one does,
    /// the levels tell. "Please power cycle machine …" means that the firmware could not be prepared for less.
    pub(super) fn said_in(output: &str) -> Self {
        if output.contains("power cycle") { Self::PowerCycle } else { Self::Nothing }
    }
}

/// What it takes, and how it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// What has to happen.
    pub need: Need,
    /// The level of the reset, as the tool counts them, and its words for it.
    pub level: Option<ResetLevel>,
    /// What to type for it; this program never does it by itself.
    pub command: Option<String>,
    /// Why it is not less, where nothing could tell what is possible.
    pub why: Option<String>,
}

impl Activation {
    /// What has to happen in any case, where it cannot be found out whether less would do.
    pub fn reboot(why: impl Into<String>) -> Self {
        Self { need: Need::Reboot, level: None, command: None, why: Some(why.into()) }
    }

    /// The least that `levels` allow, of those that load settings.
    ///
    /// Settings are loaded when the card's PCI link has been down: from level 3 on (`mstfwreset`'s manual page). Level 0
    /// keeps the link up and is for a new firmware image alone.
    pub(super) fn least(levels: &[ResetLevel], reset: impl Fn(u8) -> String) -> Self {
        const LOADS_SETTINGS: u8 = 3;
        const WARM_REBOOT: u8 = 4;
        const COLD_REBOOT: u8 = 5;
        let usable = levels.iter().filter(|level| level.supported && level.level >= LOADS_SETTINGS);
        let Some(level) = usable.min_by_key(|level| level.level) else {
            return Self::reboot("no reset level that loads settings is supported now");
        };
        let (need, command) = match level.level {
            COLD_REBOOT.. => (Need::PowerCycle, None),
            WARM_REBOOT => (Need::Reboot, None),
            n => (Need::Reset, Some(reset(n))),
        };
        Self { need, level: Some(level.clone()), command, why: None }
    }

    /// The same, if `need` is not more.
    #[must_use]
    pub fn at_least(self, need: Need) -> Self {
        if need > self.need { Self { need, level: None, command: None, why: None } } else { self }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.need.fmt(f)?;
        if let Some(level) = &self.level {
            write!(f, " (level {}: {})", level.level, level.description)?;
        }
        if let Some(command) = &self.command {
            write!(f, ": `{command}`")?;
        }
        if let Some(why) = &self.why {
            write!(f, " ({why})")?;
        }
        Ok(())
    }
}

/// A level of reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetLevel {
    /// Its number.
    pub level: u8,
    /// What it does, in the tool's words.
    pub description: String,
    /// Whether it can be done now.
    pub supported: bool,
}

/// The levels in what `mstfwreset -d … query` printed.
///
/// Lines are `3: Driver restart and PCI reset      -Supported     (default)`, below a heading that has changed over
/// the years; the table of reset types behind it has lines of the same form.
pub fn reset_levels(output: &str) -> Result<Vec<ResetLevel>, Unreadable> {
    let mut levels = Vec::new();
    let table =
        (1..).zip(output.lines()).take_while(|(_, line)| !line.to_ascii_lowercase().contains("reset-types"));
    for (number, line) in table {
        let Some((level, rest)) = line.trim().split_once(':') else { continue };
        let Ok(level) = level.trim().parse() else { continue };
        let (description, state) = rest
            .rsplit_once('-')
            .ok_or_else(|| Unreadable::new(number, "a level without its state", line))?;
        let supported = match state.trim().trim_end_matches("(default)").trim() {
            "Supported" => true,
            "Not Supported" => false,
            _ => return Err(Unreadable::new(number, "a level that is neither supported nor not", line)),
        };
        levels.push(ResetLevel { level, description: description.trim().to_owned(), supported });
    }
    if levels.is_empty() {
        return Err(Unreadable::new(1, "no reset level follows", output.lines().next().unwrap_or_default()));
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(level: u8) -> String {
        format!("mstfwreset -d 0000:43:00.0 -l {level} -y reset")
    }

    /// Made by mstflint 4.21.0's own `CmdRegMfrl.query_text` from a register that allows 0, 3 and 4.
    #[test]
    fn the_levels_of_mstfwreset_are_read() {
        let levels = reset_levels(include_str!("../../tests/firmware/4.21.0/fwreset-query.stdout")).unwrap();
        assert_eq!(
            levels.iter().map(|level| (level.level, level.supported)).collect::<Vec<_>>(),
            [(0, true), (3, true), (4, true)]
        );
        assert_eq!(levels[1].description, "Driver restart and PCI reset");
        let activation = Activation::least(&levels, command);
        assert_eq!(
            activation.to_string(),
            "a firmware reset (level 3: Driver restart and PCI reset): `mstfwreset -d 0000:43:00.0 -l 3 -y reset`"
        );
    }

    /// Pitfall 28: some cards cannot be reset by the tool; what is left is a reboot, which is said and not done.
    #[test]
    fn a_card_that_cannot_be_reset_needs_a_reboot() {
        let text = "Reset-levels:\n0: Driver stays up  -Supported (default)\n3: Driver restart and PCI reset -Not Supported\n4: Warm Reboot -Supported\n";
        let levels = reset_levels(text).unwrap();
        let activation = Activation::least(&levels, command);
        assert_eq!((activation.need, &activation.command), (Need::Reboot, &None));
        assert_eq!(Activation::least(&levels[..1], command).need, Need::Reboot);
        assert_eq!(activation.at_least(Need::PowerCycle).need, Need::PowerCycle);
    }

    #[test]
    fn what_is_no_table_of_levels_is_shown_with_its_line() {
        assert_eq!(reset_levels("hello\n").unwrap_err().line, 1);
        assert_eq!(reset_levels("Reset-levels:\n3: whatever\n").unwrap_err().line, 2);
        assert_eq!(reset_levels("Reset-levels:\n3: PCI reset -Perhaps\n").unwrap_err().line, 2);
    }
}
