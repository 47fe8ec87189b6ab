//! Reading what the firmware tools print, whichever of them and whatever their version.

use thiserror::Error;

use super::{Complaint, Keeper, Settings, json, text};

/// Output that is not as any tool prints it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {why}: `{text}`")]
pub struct Unreadable {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
    /// The line, as far as it is worth showing.
    pub text: String,
}

impl Unreadable {
    /// The most characters of a line that are shown.
    const SHOWN: usize = 80;

    /// `text` is the line at `line`.
    pub(super) fn new(line: usize, why: &'static str, text: &str) -> Self {
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self { line, why, text: text.trim().chars().take(Self::SHOWN).map(printable).collect() }
    }
}

/// Why there are no settings in what a tool printed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotRead {
    /// It is not as any tool prints it.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It is an error of the tool.
    #[error(transparent)]
    Complaint(#[from] Complaint),
}

/// The settings in what `mstconfig query` or `mlxconfig query` printed, card by card.
///
/// Text in every layout from mstflint 4.9 on, with or without `-e`, and the JSON of `-j`, which the tools have from 4.31
/// on. What stands before and between the tables is passed over, so that it may be a whole terminal session; in a table,
/// a line that is no setting is an error. An error of the tool counts only where there is nothing else: some settings may
/// not be readable beside others that are.
pub fn read(output: &str, keeper: Keeper) -> Result<Vec<Settings>, NotRead> {
    let is_json = output.trim_start().starts_with('{');
    let cards = if is_json { json::read(output, keeper) } else { text::read(output, keeper) };
    match (cards, Complaint::in_output(output)) {
        (Ok(cards), _) if !cards.is_empty() => Ok(cards),
        // Errors come behind the header of a table that then has no rows.
        (_, Some(complaint)) => Err(complaint.into()),
        (Ok(_), None) => {
            let first = output.lines().next().unwrap_or_default();
            Err(Unreadable::new(1, "no table of configurations follows", first).into())
        }
        (Err(unreadable), None) => Err(unreadable.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layouts::{Columns, Layout, print};
    use super::super::{Card, Setting, Value};
    use super::*;

    fn captured(text: &str) -> Settings {
        let mut cards = read(text, Keeper::Saved).unwrap();
        assert_eq!(cards.len(), 1);
        cards.remove(0)
    }

    /// A setting's values by column, `-` for what is not told.
    fn values(settings: &Settings, name: &str) -> [String; 3] {
        let setting = settings.get(name).unwrap_or_else(|| panic!("no {name}"));
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
        [&setting.default, &setting.current, &setting.next].map(text)
    }

    #[test]
    fn every_layout_tells_the_same() {
        let expected = captured(include_str!("../../tests/firmware/made/query-e.4.31.txt"));
        assert_eq!(expected.card.kind.as_deref(), Some("ConnectX6DX"));
        assert_eq!(expected.card.device.as_deref(), Some("0000:43:00.0"));
        assert!(expected.card.description.as_ref().is_some_and(|text| text.ends_with("No Crypto")));
        assert_eq!(expected.settings.len(), 12);
        assert_eq!(values(&expected, "NUM_OF_VFS"), ["0", "8", "16"]);
        assert_eq!(values(&expected, "EXP_ROM_UEFI_x86_ENABLE"), ["False(0)", "-", "False(0)"]);
        assert_eq!(values(&expected, "HOST_CHAINING_DESCRIPTORS")[2], "Array[0..7]");
        let pending: Vec<_> =
            expected.settings.iter().filter(|s| s.is_pending()).map(|s| s.name.as_str()).collect();
        assert_eq!(pending, ["NUM_OF_VFS"]);
        assert!(expected.get("MEMIC_BAR_SIZE").is_some_and(|setting| setting.read_only));
        let wide = captured(include_str!("../../tests/firmware/made/query-e.wide.txt"));
        assert_eq!(wide, expected);

        let mut json = captured(include_str!("../../tests/firmware/made/query-e.4.31.json"));
        json.settings.sort_by_key(|setting| expected.settings.iter().position(|s| s.name == setting.name));
        assert_eq!(json, expected);

        // Older ones do not tell what cannot be set.
        let mut older = expected;
        older.settings[0].read_only = false;
        assert_eq!(captured(include_str!("../../tests/firmware/made/query-e.4.21.txt")), older);
        assert_eq!(captured(include_str!("../../tests/firmware/made/query-e.4.26.txt")), older);
    }

    #[test]
    fn columns_that_the_firmware_cannot_tell_are_left_out() {
        for text in [
            include_str!("../../tests/firmware/made/query.4.21.txt"),
            include_str!("../../tests/firmware/made/query.4.31.txt"),
        ] {
            assert_eq!(values(&captured(text), "NUM_OF_VFS"), ["-", "-", "16"]);
        }
        let no_current = captured(include_str!("../../tests/firmware/made/query-e-no-current.4.31.txt"));
        assert_eq!(values(&no_current, "NUM_OF_VFS"), ["0", "-", "16"]);
        assert!(!no_current.get("NUM_OF_VFS").unwrap().is_pending());
    }

    #[test]
    fn what_was_about_to_be_set_is_not_what_is() {
        let session = captured(include_str!("../../tests/firmware/made/set.4.21.txt"));
        assert_eq!(values(&session, "NUM_OF_VFS"), ["-", "-", "8"]);
        assert_eq!(session.settings.len(), 2);
    }

    #[test]
    fn what_could_be_read_counts_beside_what_could_not() {
        let partial = captured(include_str!("../../tests/firmware/made/partial.4.31.txt"));
        assert_eq!(partial.settings.len(), 12);
        let elements = captured(include_str!("../../tests/firmware/made/array.4.31.txt"));
        assert_eq!(elements.settings[7].name.as_str(), "HOST_CHAINING_DESCRIPTORS[7]");
        assert_eq!(elements.card, Card::default());
    }

    #[test]
    fn what_is_garbage_is_shown_with_its_line() {
        let header = "Configurations:                  Default  Current  Next Boot\n";
        for (row, why) in [
            ("        NUM_OF_VFS  8  8\n", "as many values as there are columns"),
            ("        NUM_OF_VFS  8  8  8  8\n", "as many values as there are columns"),
            ("   \u{1b}[31m%$&/(  8  8  8\n", "no setting's name"),
            ("        NUM_OF_VFS  8  (8)  8\n", "no value"),
        ] {
            let error = read(&format!("\nDevice #1:\n{header}{row}"), Keeper::Saved).unwrap_err();
            let NotRead::Unreadable(error) = error else { panic!("{error:?}") };
            assert_eq!(error.line, 4, "{error}");
            assert!(error.why.contains(why), "{error}");
            assert!(!error.text.contains('\u{1b}'), "no control character reaches a terminal");
        }
        let error = read("Segmentation fault\n", Keeper::Saved).unwrap_err();
        assert_eq!(error.to_string(), "line 1: no table of configurations follows: `Segmentation fault`");
        let error = read("Configurations:   Yesterday\n", Keeper::Saved).unwrap_err();
        assert!(error.to_string().contains("column"), "{error}");
        let error = read(&format!("Device #1:\n{header}"), Keeper::Saved).unwrap_err();
        assert!(error.to_string().starts_with("line 2: no setting follows"), "{error}");
    }

    #[test]
    fn json_that_is_cut_short_or_another_programs_is_shown_with_its_line() {
        let error = read("{\n  \"Device #1\": {\n", Keeper::Saved).unwrap_err();
        assert!(error.to_string().starts_with("line 3: not JSON"), "{error}");
        let error = read("{\"a\": 1}", Keeper::Saved).unwrap_err();
        assert!(error.to_string().contains("tlv_configuration"), "{error}");
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0..u64::from(u32::MAX)).prop_map(Value::Number),
            ("[A-Z][A-Z0-9_]{0,19}", 0..16_u64).prop_map(|(name, number)| Value::Named { name, number }),
            any::<bool>().prop_map(Value::truth),
            (0..2_u32, 2..512_u32).prop_map(|(first, last)| Value::Array { first, last }),
        ]
    }

    fn setting() -> impl Strategy<Value = Setting> {
        let value = || proptest::option::weighted(0.9, value());
        let name = "[A-Z][A-Z0-9_]{2,40}(_P[12])?".prop_map(|name| name.parse().unwrap());
        (name, value(), value(), value(), any::<bool>()).prop_map(
            |(name, default, current, next, read_only)| Setting {
                name,
                default,
                current,
                next,
                read_only,
                keeper: Keeper::Saved,
            },
        )
    }

    fn cards() -> impl Strategy<Value = Vec<Settings>> {
        let card = (
            "[A-Za-z0-9]{1,12}",
            "[A-Z0-9_-]{1,16}",
            "[A-Za-z][A-Za-z0-9 ;/()-]{0,80}[A-Za-z0-9]",
            "0000:[0-9a-f]{2}:00\\.0",
        );
        let card = card.prop_map(|(kind, part, description, device)| Card {
            device: Some(device),
            kind: Some(kind),
            part: Some(part),
            description: Some(description),
        });
        let settings = proptest::collection::vec(setting(), 1..20);
        let card = (card, settings).prop_map(|(card, settings)| Settings { card, settings, not_asked: None });
        proptest::collection::vec(card, 1..3)
    }

    proptest! {
        #[test]
        fn what_the_tools_print_is_read_back(cards in cards(), layout in Layout::any(), columns in Columns::any()) {
            let printed = print(&cards, layout, columns);
            prop_assert_eq!(read(&printed, Keeper::Saved).unwrap(), columns.left_of(&cards, layout), "{}", printed);
        }

        #[test]
        fn what_we_print_is_read_back(cards in cards()) {
            let printed: String = cards.iter().map(Settings::to_string).collect();
            prop_assert_eq!(read(&printed, Keeper::Saved).unwrap(), cards, "{}", printed);
        }

        #[test]
        fn no_text_panics(text in "(Device #1:\n|Configurations: Default Next Boot\n|[*RO ]{0,3}[A-Z_]{0,9} [0-9()A-Za-z\\[\\].]{0,9} .{0,9}\n){0,6}") {
            let _ = read(&text, Keeper::Saved);
        }
    }
}
