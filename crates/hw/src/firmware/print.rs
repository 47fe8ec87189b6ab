//! Settings as text, in the tools' own layout: what is printed here can be read again, by [`read`](super::read) and by
//! whatever reads `mstconfig query`.

use std::fmt;

use super::{Setting, Settings, Value};

/// The least width of a name's column.
const NAMES: usize = 44;
/// The width of a value's column.
const VALUES: usize = 20;

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let card = &self.card;
        let lines = [
            ("Device type:", &card.kind),
            ("Name:", &card.part),
            ("Description:", &card.description),
            ("Device:", &card.device),
        ];
        writeln!(f, "Device #1:\n----------\n")?;
        for (key, value) in lines {
            writeln!(f, "{key:VALUES$}{}", value.as_deref().unwrap_or("N/A"))?;
        }
        let told = |value: fn(&Setting) -> &Option<Value>| {
            self.settings.iter().any(|setting| value(setting).is_some())
        };
        let columns: Vec<Column> = COLUMNS.into_iter().filter(|(_, value)| told(*value)).collect();
        // A table needs a column, also where no value is told.
        let columns = if columns.is_empty() { vec![COLUMNS[2]] } else { columns };
        let names =
            self.settings.iter().map(|setting| setting.name.as_str().len()).max().unwrap_or(0).max(NAMES);
        write!(f, "\n{:1$}", "Configurations:", names + MARKS)?;
        for (header, _) in &columns {
            write!(f, " {header:VALUES$}")?;
        }
        for setting in &self.settings {
            let mark = if setting.is_pending() { '*' } else { ' ' };
            let read_only = if setting.read_only { "RO" } else { "  " };
            write!(f, "\n{mark}{read_only}     {:names$}", setting.name)?;
            for (_, value) in &columns {
                let text = value(setting).as_ref().map_or_else(|| "N/A".to_owned(), Value::to_string);
                write!(f, " {text:VALUES$}")?;
            }
        }
        writeln!(f, "\n{LEGEND}")
    }
}

/// Says what the marks mean, and ends the table as the tools' own line does.
const LEGEND: &str = "The '*' shows settings that change with the next boot, 'RO' those that cannot be set.";

/// The width of the marks ahead of a name.
const MARKS: usize = 8;

type Column = (&'static str, fn(&Setting) -> &Option<Value>);

const COLUMNS: [Column; 3] = [
    ("Default", |setting| &setting.default),
    ("Current", |setting| &setting.current),
    ("Next Boot", |setting| &setting.next),
];
