//! Reading the bonds of a host file.

use std::collections::BTreeSet;

use toml::Spanned;
use vdpa_hw::BondMode;
use vdpa_ovs::BridgeName;

use super::parse::Reader;
use super::raw::RawBond;
use super::{BondSpec, ConfigError, Nic, NicName, Place};

/// How many ports of a card are one: mlx5's cards have two (`MLX5_MAX_PORTS` is more, for cards of another kind).
const PORTS: usize = 2;

impl Reader<'_> {
    pub(super) fn bonds(
        &self,
        raw: Vec<RawBond>,
        nics: &[Nic],
        bridge: &BridgeName,
    ) -> Result<Vec<BondSpec>, ConfigError> {
        let (mut bonds, mut names, mut bonded) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for bond in raw {
            let name = bond.name.get_ref().clone();
            if name.as_str() == bridge.as_str() || !names.insert(name.clone()) {
                let message = format!("two things are to have the name {name}");
                return Err(self.wrong(&bond.name.span(), message, "give the bond a name of its own"));
            }
            let mode = *bond.mode.get_ref();
            if !matches!(mode, BondMode::ActiveBackup | BondMode::BalanceXor | BondMode::Lacp) {
                let message = format!("{name} is to be a bond of mode {mode}");
                let hint = "the card can be active-backup, balance-xor or 802.3ad";
                return Err(self.wrong(&bond.mode.span(), message, hint));
            }
            let mut members = Vec::new();
            for nic in bond.nics.get_ref() {
                let member = self.member(nic, nics)?;
                if !bonded.insert(member.to_string()) {
                    let message = format!("{member} is to be in two bonds, or in one twice");
                    return Err(self.wrong(&nic.span(), message, "name it once"));
                }
                members.push(member);
            }
            if members.len() != PORTS {
                let message = format!("{name} is to be a bond of {}", members.len());
                return Err(self.wrong(&bond.nics.span(), message, "name the two ports of one card"));
            }
            let place = Some(Place::of(self.path, self.source, &bond.name.span()));
            bonds.push(BondSpec { name, mode, nics: members, place });
        }
        Ok(bonds)
    }

    /// The card that a bond's list means: by the name in the card's own table.
    fn member(&self, text: &Spanned<String>, nics: &[Nic]) -> Result<NicName, ConfigError> {
        let name = nics.iter().map(|nic| &nic.pf).find(|name| name.to_string() == *text.get_ref());
        name.cloned().ok_or_else(|| {
            let message = format!("{} is in a bond and not described", text.get_ref());
            let hint = "write it as its `[[nic]]` has it, after `pci` or `netdev`";
            self.wrong(&text.span(), message, hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    const TWO: &str = r#"[[nic]]
pci = "0000:43:00.0"
vfs = 1
[[nic]]
netdev = "enp67s0f1"
vfs = 1
[[bond]]
name = "bond0"
mode = "802.3ad"
nics = ["0000:43:00.0", "enp67s0f1"]
"#;

    #[test]
    fn a_bond_is_read_and_its_mistakes_are_shown_where_they_stand() {
        let bonds = parse(Path::new("host.toml"), TWO).unwrap().bonds;
        assert_eq!((bonds[0].name.as_str(), bonds[0].nics.len()), ("bond0", 2));
        for (from, to, line, message) in [
            ("802.3ad", "balance-rr", 9, "mode balance-rr"),
            ("\"bond0\"", "\"ovs-sriov\"", 8, "name ovs-sriov"),
            (", \"enp67s0f1\"]", "]", 10, "a bond of 1"),
            (", \"enp67s0f1\"]", ", \"enp67s0f0\"]", 10, "enp67s0f0 is in a bond and not described"),
            (", \"enp67s0f1\"]", ", \"0000:43:00.0\"]", 10, "in one twice"),
        ] {
            let error = parse(Path::new("host.toml"), &TWO.replacen(from, to, 1)).unwrap_err();
            assert!(error.message.contains(message), "{error:?}");
            assert_eq!(error.place.map(|place| place.line), Some(line));
        }
    }
}
