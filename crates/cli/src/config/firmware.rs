//! `firmware = { NUM_OF_VFS = 8, UCTX_EN = true }` in a host file.

use std::collections::BTreeMap;

use toml::{Spanned, Value as Toml};
use vdpa_hw::firmware::{NUM_OF_VFS, SettingName, Value};

use super::parse::Reader;
use super::{ConfigError, NvWanted, Places};

/// Settings as TOML has them.
pub(super) type RawFirmware = BTreeMap<Spanned<String>, Spanned<Toml>>;

impl Reader<'_> {
    /// Settings by name, every mistake with its place.
    pub(super) fn firmware(
        &self,
        raw: RawFirmware,
        places: &mut Places,
    ) -> Result<BTreeMap<SettingName, NvWanted>, ConfigError> {
        let mut settings = BTreeMap::new();
        for (key, value) in raw {
            let name: SettingName = key.get_ref().parse().map_err(|error: vdpa_hw::ParseError| {
                self.wrong(&key.span(), error.to_string(), "`vdpa firmware show` lists a card's settings")
            })?;
            let wanted = match value.get_ref() {
                Toml::Boolean(on) => Some(NvWanted::Exactly(Value::truth(*on))),
                Toml::Integer(number) => {
                    u64::try_from(*number).ok().map(|n| NvWanted::Exactly(Value::Number(n)))
                }
                Toml::String(text) if text == "auto" && name.as_str() == NUM_OF_VFS => {
                    Some(NvWanted::Headroom)
                }
                Toml::String(text) => text.parse().ok().map(NvWanted::Exactly),
                _ => None,
            };
            let Some(wanted) = wanted else {
                let message =
                    format!("{name} is to be {}, which no firmware setting can be", value.get_ref());
                let hint = "write true, false, a number, or a word in quotes as `vdpa firmware show` has it";
                return Err(self.wrong(&value.span(), message, hint));
            };
            places.firmware.insert(name.clone(), self.place(&value.span()));
            settings.insert(name, wanted);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{HostFile, parse};

    fn file(firmware: &str) -> Result<HostFile, ConfigError> {
        let text = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\nfirmware = {{ {firmware} }}\n");
        parse(Path::new("host.toml"), &text)
    }

    #[test]
    fn truth_values_numbers_and_words_are_settings() {
        let nic = &file("SRIOV_EN = true, NUM_OF_VFS = 8, LINK_TYPE_P1 = \"ETH\"").unwrap().nics[0];
        let values = nic.firmware.iter().map(|(name, wanted)| (name.as_str(), wanted.clone()));
        let exactly = |text: &str| NvWanted::Exactly(text.parse().unwrap());
        let expected = [
            ("LINK_TYPE_P1", exactly("ETH")),
            ("NUM_OF_VFS", exactly("8")),
            ("SRIOV_EN", exactly("True(1)")),
        ];
        assert_eq!(values.collect::<Vec<_>>(), expected);
        assert_eq!(nic.places.firmware.len(), 3);
        let auto = file("NUM_OF_VFS = \"auto\"").unwrap();
        assert_eq!(auto.nics[0].firmware.values().next(), Some(&NvWanted::Headroom));
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        for (firmware, at) in [
            ("NUM_OF_VFS = -1", "host.toml:4:27"),
            ("NUM_OF_VFS = [1]", "host.toml:4:27"),
            ("\"A B\" = 1", "host.toml:4:14"),
        ] {
            let error = file(firmware).unwrap_err();
            assert_eq!(error.place.as_ref().unwrap().to_string(), at, "{error}");
        }
    }
}
