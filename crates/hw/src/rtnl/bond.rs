//! Making bonds, and putting devices into them: `RTM_NEWLINK` of kind `bond`, `IFLA_MASTER`.

use vdpa_netlink::{Attributes, Errno, Malformed, Tlvs};

use super::RtnlLinks;
use super::record::Record;
use super::wire::{Message, RTM_DELLINK, RTM_NEWLINK, RTM_SETLINK};
use crate::bond::{BOND_ALIAS, Bond, BondMode};
use crate::error::{Error, Result};
use crate::nouns::{IfIndex, NetdevName};

/// The kind of a bond in `IFLA_INFO_KIND`.
pub(super) const KIND: &str = "bond";

const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
/// Within `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// Within `IFLA_INFO_DATA` of a bond.
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_MIIMON: u16 = 3;

/// Milliseconds between looks at the members' links: without any, a bond never notices that one is down
/// (`Documentation/networking/bonding.rst`, which recommends 100).
const MIIMON_MS: u32 = 100;

impl RtnlLinks {
    /// See [`Links::add_bond`](crate::Links::add_bond).
    pub(super) async fn make_bond(&self, name: &NetdevName, mode: BondMode) -> Result<IfIndex> {
        let intent = format!("make the bond {name}");
        let was_there = self.bond_named(name).await?.is_some();
        let answer = self.rtnl.create(add(name, mode), &intent).await;
        let found = self.bond_named(name).await?;
        let bond = match (answer, found) {
            (Ok(()), Some(bond)) => bond,
            // The module makes bonds of its own when it is loaded, and it was loaded for this one (`max_bonds`).
            (Err(Error::Refused { refusal, .. }), Some(bond))
                if refusal.errno == Errno::EEXIST && !was_there && bond.members.is_empty() =>
            {
                let set = Message::about_link(RTM_NEWLINK, bond.index, &settings(mode));
                self.change(bond.index, set, |name| format!("set the mode of {name} to {mode}")).await?;
                bond
            }
            (Err(error), _) => return Err(error),
            (Ok(()), None) => return Err(Error::NoLink(IfIndex(0))),
        };
        self.change(bond.index, mark(bond.index), |name| format!("set the alias of {name}")).await?;
        Ok(bond.index)
    }

    async fn bond_named(&self, name: &NetdevName) -> Result<Option<Bond>> {
        Ok(bonds(&self.look().await?).into_iter().find(|bond| bond.name == *name))
    }
}

/// Makes a bond.
fn add(name: &NetdevName, mode: BondMode) -> Message {
    let attributes = Tlvs::new().string(IFLA_IFNAME, name.as_str()).and(&settings(mode));
    Message::about_link(RTM_NEWLINK, IfIndex(0), &attributes)
}

/// What a bond of ours is set to.
fn settings(mode: BondMode) -> Tlvs {
    let data = Tlvs::new().u8(IFLA_BOND_MODE, mode.number()).u32(IFLA_BOND_MIIMON, MIIMON_MS);
    Tlvs::new().nest(IFLA_LINKINFO, &Tlvs::new().string(IFLA_INFO_KIND, KIND).nest(IFLA_INFO_DATA, &data))
}

/// Marks a device as ours; a new link's alias cannot be set with it (`rtnl_create_link`).
fn mark(bond: IfIndex) -> Message {
    Message::about_link(RTM_SETLINK, bond, &Tlvs::new().string(IFLA_IFALIAS, BOND_ALIAS))
}

/// Removes a device.
pub(super) fn remove(bond: IfIndex) -> Message {
    Message::about_link(RTM_DELLINK, bond, &Tlvs::new())
}

/// Puts a device into a bond, or takes it out of the one it is in.
pub(super) fn set_master(link: IfIndex, bond: Option<IfIndex>) -> Message {
    let master = bond.map_or(0, |bond| bond.0);
    Message::about_link(RTM_SETLINK, link, &Tlvs::new().u32(IFLA_MASTER, master))
}

/// The mode in a bond's `IFLA_LINKINFO`.
pub(super) fn mode(info: Attributes<'_>) -> Result<Option<BondMode>, Malformed> {
    let Some(data) = info.find(IFLA_INFO_DATA)? else { return Ok(None) };
    let mode = data.nest().find(IFLA_BOND_MODE)?.map(|mode| mode.u8()).transpose()?;
    Ok(mode.and_then(BondMode::from_number))
}

/// The bonds among the devices.
pub(super) fn bonds(records: &[Record]) -> Vec<Bond> {
    let is_bond = |record: &&Record| record.kind.as_deref() == Some(KIND);
    let bond = |record: &Record| Bond {
        index: record.link.index,
        name: record.link.name.clone(),
        mode: record.bond_mode,
        ours: record.alias.as_deref() == Some(BOND_ALIAS),
        members: records
            .iter()
            .filter(|other| other.link.master == Some(record.link.index))
            .map(|other| other.link.index)
            .collect(),
    };
    records.iter().filter(is_bond).map(bond).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::HEADER;
    use super::*;

    /// What iproute2 6.1 sends for `ip link add bond7 type bond mode 802.3ad miimon 100`, from the name on.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_bond_is_made_as_iproute2_makes_it() {
        let message = add(&"bond7".parse().unwrap(), BondMode::Lacp);
        let expected: Vec<u8> = [
            &[10, 0, 3, 0, b'b', b'o', b'n', b'd', b'7', 0, 0, 0][..],
            &[36, 0, 18, 0x80][..],
            &[9, 0, 1, 0, b'b', b'o', b'n', b'd', 0, 0, 0, 0][..],
            &[20, 0, 2, 0x80, 5, 0, 1, 0, 4, 0, 0, 0, 8, 0, 3, 0, 100, 0, 0, 0][..],
        ]
        .concat();
        assert_eq!(message.body[HEADER..], expected);
    }
}
