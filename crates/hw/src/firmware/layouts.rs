//! The tools' layouts, written down once more as their sources print them, to hold the reader against.
//!
//! `MlxCfg::printConfHeader` and `printSingleParam` of mstflint's `mlxconfig/mlxcfg_ui.cpp`: 4.21 has no blank between
//! values, 4.26 has one from 20 characters on, 4.31 marks what is read-only, later ones have wider names.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Setting, Settings, Value};

/// Which version prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    V4_21,
    V4_26,
    V4_31,
    Wide,
    Json,
}

/// Which columns there are beside the next boot's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    default: bool,
    current: bool,
}

impl Layout {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            Just(Self::V4_21),
            Just(Self::V4_26),
            Just(Self::V4_31),
            Just(Self::Wide),
            Just(Self::Json)
        ]
    }

    fn shows_read_only(self) -> bool {
        !matches!(self, Self::V4_21 | Self::V4_26)
    }
}

impl Columns {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        (any::<bool>(), any::<bool>()).prop_map(|(default, current)| Self { default, current })
    }

    /// What is left of `cards` where only these columns are told, in this layout.
    pub(super) fn left_of(self, cards: &[Settings], layout: Layout) -> Vec<Settings> {
        let mut cards = cards.to_vec();
        for setting in cards.iter_mut().flat_map(|card| &mut card.settings) {
            setting.default = setting.default.take().filter(|_| self.default);
            setting.current = setting.current.take().filter(|_| self.current);
            setting.read_only &= layout.shows_read_only();
        }
        if layout == Layout::Json {
            // An object has each of its keys once: the last one counts, where the first one stands.
            for card in &mut cards {
                let mut once: Vec<Setting> = Vec::new();
                for setting in card.settings.drain(..) {
                    match once.iter_mut().find(|other| other.name == setting.name) {
                        Some(other) => *other = setting,
                        None => once.push(setting),
                    }
                }
                card.settings = once;
            }
        }
        cards
    }
}

/// What `query` prints for several cards.
pub(super) fn print(cards: &[Settings], layout: Layout, columns: Columns) -> String {
    if layout == Layout::Json {
        return json(cards, columns);
    }
    let mut out = String::new();
    for (number, settings) in (1..).zip(cards) {
        let card = &settings.card;
        let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "N/A".to_owned());
        let _ = write!(out, "\nDevice #{number}:\n----------\n\n");
        let lines = [
            ("Device type:", &card.kind),
            ("Name:", &card.part),
            ("Description:", &card.description),
            ("Device:", &card.device),
        ];
        for (key, value) in lines {
            let _ = writeln!(out, "{key:<20}{:<20}", told(value));
        }
        let _ = write!(out, "\n{}\n", header(layout, columns));
        for setting in &settings.settings {
            let _ = writeln!(out, "{}", row(setting, layout, columns));
        }
        out.push_str("The '*' shows parameters with next value different from default/current value.\n");
        if layout.shows_read_only() {
            out.push_str("\nThe 'RO' shows parameters which are for read only and cannot be changed\n");
        }
    }
    out
}

fn header(layout: Layout, columns: Columns) -> String {
    let (name, first, second, third) = match layout {
        Layout::V4_21 => (16, 36, 16, 18),
        Layout::V4_26 => (20, 39, 21, 23),
        _ => (20, 44, 20, 18),
    };
    let mut text = format!("{:<name$}", "Configurations:");
    let heads = [(columns.default, "Default"), (columns.current, "Current"), (true, "Next Boot")];
    for ((_, head), width) in heads.into_iter().filter(|(shown, _)| *shown).zip([first, second, third]) {
        let _ = write!(text, "{head:>width$}");
    }
    text
}

fn row(setting: &Setting, layout: Layout, columns: Columns) -> String {
    let values =
        [(columns.default, &setting.default), (columns.current, &setting.current), (true, &setting.next)];
    let differs = values.iter().any(|(shown, value)| *shown && *value != &setting.next);
    let mark = if differs { '*' } else { ' ' };
    let read_only = if setting.read_only { "RO" } else { "  " };
    let (name, width) = (setting.name.as_str(), if layout == Layout::V4_21 { 16 } else { 20 });
    let mut text = match layout {
        Layout::V4_21 | Layout::V4_26 => format!("{mark}        {name:<36}"),
        Layout::Wide => format!("{mark}{read_only}     {name:<56}"),
        _ => format!("{mark}{read_only}     {name:<44}"),
    };
    // Names that fill their column run into the first value in no version: the value is then moved on by a blank.
    if !text.ends_with(' ') {
        text.push(' ');
    }
    for (at, (_, value)) in values.into_iter().filter(|(shown, _)| *shown).enumerate() {
        let value = value.as_ref().map_or_else(|| "N/A".to_owned(), Value::to_string);
        // Where there is no blank between values, a number that fills its column would be one with the next.
        let blank = at > 0 && (layout != Layout::V4_21 || !text.ends_with([' ', ')', ']']));
        let _ = write!(text, "{}{value:<width$}", if blank { " " } else { "" });
    }
    text
}

fn json(cards: &[Settings], columns: Columns) -> String {
    let value = |value: &Option<Value>| match value {
        None => serde_json::Value::from("N/A"),
        Some(Value::Number(number)) => (*number).into(),
        Some(value) => value.to_string().into(),
    };
    let mut devices = serde_json::Map::new();
    for (number, settings) in (1..).zip(cards) {
        let mut tlvs = serde_json::Map::new();
        for setting in &settings.settings {
            let mut tlv = serde_json::json!({ "read_only": setting.read_only, "next_value": value(&setting.next), "modified": false });
            if columns.default {
                tlv["default_value"] = value(&setting.default);
            }
            if columns.current {
                tlv["current_value"] = value(&setting.current);
            }
            tlvs.insert(setting.name.to_string(), tlv);
        }
        let card = &settings.card;
        devices.insert(
            format!("Device #{number}"),
            serde_json::json!({ "device_type": card.kind, "name": card.part, "description": card.description,
                "device": card.device, "tlv_configuration": tlvs }),
        );
    }
    format!("\n{:#}\n", serde_json::Value::Object(devices))
}
