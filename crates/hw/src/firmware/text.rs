//! The tools' tables.
//!
//! They have had at least four layouts, whose columns start at other places, run into each other where a value is
//! wide, and are left out where the firmware cannot tell. So columns are known by the words of the header and values
//! by white space and closing brackets; where anything stands is of no interest.
//!
//! ```text
//! Device #1:
//! ----------
//!
//! Device type:        ConnectX6DX
//! Device:             43:00.0
//!
//! Configurations:                                     Default             Current         Next Boot
//! *       NUM_OF_VFS                                  0                    8                    16
//!  RO     MEMIC_BAR_SIZE                              0                    0                    0
//! The '*' shows parameters with next value different from default/current value.
//! ```

use super::complaint::MARK;
use super::{Card, Keeper, Setting, Settings, Unreadable, Value};

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Default,
    Current,
    Next,
    /// What is about to be set; not asked for, and not in force before the tool says so.
    New,
}

pub(super) fn read(output: &str, keeper: Keeper) -> Result<Vec<Settings>, Unreadable> {
    let mut cards = Vec::new();
    let mut card = Card::default();
    let mut table: Option<Table<'_>> = None;
    for (number, line) in (1..).zip(output.lines()) {
        if let Some(open) = &mut table {
            match row(line, &open.columns, keeper) {
                Row::Setting(setting) => open.settings.push(setting),
                Row::End => cards.extend(table.take().map(|table| table.close(&mut card)).transpose()?),
                Row::Wrong(why) => return Err(Unreadable::new(number, why, line)),
            }
        } else if let Some(header) = line.trim_start().strip_prefix("Configurations:") {
            let columns = columns(header).ok_or_else(|| {
                Unreadable::new(number, "a column that is none of Default, Current, Next Boot", line)
            })?;
            table = Some(Table { at: (number, line), columns, settings: Vec::new() });
        } else if line.starts_with("Device #") {
            card = Card::default();
        } else {
            describe(&mut card, line);
        }
    }
    cards.extend(table.map(|table| table.close(&mut card)).transpose()?);
    Ok(cards)
}

struct Table<'a> {
    /// Its header.
    at: (usize, &'a str),
    columns: Vec<Column>,
    settings: Vec<Setting>,
}

impl Table<'_> {
    /// What is in it, of `card`, which is done with then.
    fn close(self, card: &mut Card) -> Result<Settings, Unreadable> {
        if self.settings.is_empty() {
            return Err(Unreadable::new(self.at.0, "no setting follows", self.at.1));
        }
        Ok(Settings { card: std::mem::take(card), settings: self.settings, not_asked: None })
    }
}

fn columns(header: &str) -> Option<Vec<Column>> {
    let mut words = header.split_whitespace();
    let mut columns = Vec::new();
    while let Some(word) = words.next() {
        columns.push(match word {
            "Default" => Column::Default,
            "Current" => Column::Current,
            "Next" if words.next() == Some("Boot") => Column::Next,
            "New" => Column::New,
            _ => return None,
        });
    }
    (!columns.is_empty()).then_some(columns)
}

/// A line before the table that says something about the card.
fn describe(card: &mut Card, line: &str) {
    let Some((key, value)) = line.split_once(':') else { return };
    let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty() && value != "N/A");
    match key.trim() {
        "Device type" => card.kind = value,
        "Name" => card.part = value,
        "Description" => card.description = value,
        "Device" | "PCI device" => card.device = value,
        _ => {}
    }
}

enum Row {
    Setting(Setting),
    /// The table is over.
    End,
    Wrong(&'static str),
}

fn row(line: &str, columns: &[Column], keeper: Keeper) -> Row {
    const LEGENDS: [&str; 7] =
        ["The '", MARK, "-W-", "-I-", "Device #", "Device Firmware does not", "Applying..."];
    let rest = line.trim();
    if rest.is_empty() || LEGENDS.iter().any(|legend| rest.starts_with(legend)) {
        return Row::End;
    }
    // `*`, `RO` or both, with or without blanks between.
    let rest = rest.strip_prefix('*').unwrap_or(rest).trim_start();
    let (read_only, rest) = match rest.strip_prefix("RO") {
        Some(rest) if rest.starts_with(char::is_whitespace) => (true, rest.trim_start()),
        _ => (false, rest),
    };
    let (name, values) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let Ok(name) = name.parse() else { return Row::Wrong("no setting's name") };
    let values = cells(values);
    if values.len() != columns.len() {
        return Row::Wrong("not as many values as there are columns");
    }
    let mut setting = Setting { name, default: None, current: None, next: None, read_only, keeper };
    for (column, text) in columns.iter().zip(values) {
        let value = match text {
            "N/A" => None,
            text => match text.parse::<Value>() {
                Ok(value) => Some(value),
                Err(_) => return Row::Wrong("no value"),
            },
        };
        match column {
            Column::Default => setting.default = value,
            Column::Current => setting.current = value,
            Column::Next => setting.next = value,
            Column::New => {}
        }
    }
    Row::Setting(setting)
}

/// The values of a row. One that fills its column has no blank behind it before mstflint 4.22, but a bracket at its end.
fn cells(values: &str) -> Vec<&str> {
    values.split_whitespace().flat_map(|word| word.split_inclusive([')', ']'])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_run_into_each_other_are_told_apart() {
        assert_eq!(
            cells("DEVICE_DEFAULT(0)DEVICE_DEFAULT(0) 8"),
            ["DEVICE_DEFAULT(0)", "DEVICE_DEFAULT(0)", "8"]
        );
        assert_eq!(cells("Array[0..15]Array[0..15]"), ["Array[0..15]", "Array[0..15]"]);
    }

    #[test]
    fn the_new_column_of_a_set_is_not_taken_for_a_value() {
        let text = "Configurations:       Next Boot       New\n  SRIOV_EN   False(0)   True(1)\n\n Apply new Configuration? (y/n) [n] : y\n";
        let cards = read(text, Keeper::Mstconfig).unwrap();
        assert_eq!(cards[0].settings[0].next, Some(Value::truth(false)));
    }

    #[test]
    fn marks_stand_with_and_without_blanks() {
        let text = "Configurations: Current Next Boot\n*RO     A_B   1   2\n *   C_D   1   2\n*E_F 1 2\n RO  ROCE_X  1  1\n";
        let cards = read(text, Keeper::Saved).unwrap();
        let read_only: Vec<_> =
            cards[0].settings.iter().map(|setting| (setting.name.as_str(), setting.read_only)).collect();
        assert_eq!(read_only, [("A_B", true), ("C_D", false), ("E_F", false), ("ROCE_X", true)]);
    }
}
