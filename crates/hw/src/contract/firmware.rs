//! What every [`Firmware`] does. The card's settings are afterwards as they were.

use crate::error::Error;
use crate::firmware::{Firmware, NUM_OF_VFS, Setting, SettingName, UCTX_EN, Value};
use crate::nouns::PciAddress;

use super::works;

/// Every rule of [`Firmware`], on a card that has the settings `NUM_OF_VFS` and `UCTX_EN`.
pub async fn firmware(firmware: &dyn Firmware, pf: PciAddress) {
    a_setting_is_told_by_its_name_and_among_all(firmware, pf).await;
    what_the_card_does_not_have_is_not_told_and_not_set(firmware, pf).await;
    what_is_set_counts_from_the_next_boot_on(firmware, pf).await;
    several_settings_are_set_at_once(firmware, pf).await;
    a_reset_brings_back_the_default_of_what_is_named(firmware, pf).await;
    a_card_that_is_not_there_is_an_error(firmware).await;
    what_it_takes_is_said(firmware, pf).await;
}

/// A setting that is asked for by name is the one among all of them.
pub async fn a_setting_is_told_by_its_name_and_among_all(firmware: &dyn Firmware, pf: PciAddress) {
    let all = works(firmware.settings(pf, &[]).await, "read all settings");
    let one = works(firmware.settings(pf, &[name(NUM_OF_VFS)]).await, "read one setting");
    assert_eq!(one.settings.len(), 1, "{one:?}");
    assert_eq!(all.get(NUM_OF_VFS), Some(&one.settings[0]));
    assert!(all.settings.len() > 2, "{all:?}");
}

/// A name that the card does not have is left out, and nothing is set where one is among those to be set.
pub async fn what_the_card_does_not_have_is_not_told_and_not_set(firmware: &dyn Firmware, pf: PciAddress) {
    let unknown = name("NO_SUCH_SETTING");
    let told = works(
        firmware.settings(pf, &[unknown.clone(), name(UCTX_EN)]).await,
        "read a setting and one that is not there",
    );
    assert_eq!(told.settings.len(), 1, "{told:?}");
    let told = works(
        firmware.settings(pf, std::slice::from_ref(&unknown)).await,
        "read a setting that is not there",
    );
    assert_eq!(told.settings, []);

    let before = read(firmware, pf, NUM_OF_VFS).await;
    let values = [(unknown.clone(), Value::Number(1)), (name(NUM_OF_VFS), other_number(&before))];
    match firmware.set(pf, &values.into()).await {
        Err(Error::NoSetting { name, .. }) => assert_eq!(name, unknown),
        other => panic!("a setting that is not there is to be refused: {other:?}"),
    }
    assert_eq!(read(firmware, pf, NUM_OF_VFS).await, before, "nothing was set");
}

/// Setting changes the next value alone.
pub async fn what_is_set_counts_from_the_next_boot_on(firmware: &dyn Firmware, pf: PciAddress) {
    let before = read(firmware, pf, NUM_OF_VFS).await;
    let wanted = other_number(&before);
    works(firmware.set(pf, &[(name(NUM_OF_VFS), wanted.clone())].into()).await, "set a number");
    let after = read(firmware, pf, NUM_OF_VFS).await;
    assert!(after.next.as_ref().is_some_and(|next| next.is(&wanted)), "{after:?}");
    assert_eq!((&after.default, &after.current), (&before.default, &before.current));
    restore(firmware, pf, &[before]).await;
}

/// Several settings in one call; a truth value is asked for by number or by word.
pub async fn several_settings_are_set_at_once(firmware: &dyn Firmware, pf: PciAddress) {
    let before = [read(firmware, pf, NUM_OF_VFS).await, read(firmware, pf, UCTX_EN).await];
    let on = before[1].next.as_ref().and_then(Value::number) == Some(1);
    let values =
        [(name(NUM_OF_VFS), other_number(&before[0])), (name(UCTX_EN), Value::Number(u64::from(!on)))];
    works(firmware.set(pf, &values.clone().into()).await, "set two settings");
    for (name, wanted) in &values {
        let now = read(firmware, pf, name.as_str()).await.next;
        assert!(now.as_ref().is_some_and(|now| now.is(wanted)), "{name}: {now:?}");
    }
    let now = read(firmware, pf, UCTX_EN).await.next;
    assert_eq!(now, Some(Value::truth(!on)), "truth values are told by word and number");
    restore(firmware, pf, &before).await;
}

/// A reset of one setting leaves the others.
pub async fn a_reset_brings_back_the_default_of_what_is_named(firmware: &dyn Firmware, pf: PciAddress) {
    let before = [read(firmware, pf, NUM_OF_VFS).await, read(firmware, pf, UCTX_EN).await];
    works(firmware.set(pf, &[(name(NUM_OF_VFS), other_number(&before[0]))].into()).await, "set a number");
    works(firmware.reset(pf, &[name(NUM_OF_VFS)]).await, "reset it");
    let after = read(firmware, pf, NUM_OF_VFS).await;
    assert_eq!(after.next, after.default);
    assert_eq!(read(firmware, pf, UCTX_EN).await, before[1], "the other one is as it was");
    restore(firmware, pf, &before).await;
}

/// A card that is not there is told as such, in the tool's words.
pub async fn a_card_that_is_not_there_is_an_error(firmware: &dyn Firmware) {
    let nowhere = "ffff:ff:1f.7".parse().unwrap_or_else(|error| panic!("{error}"));
    match firmware.settings(nowhere, &[]).await {
        Err(Error::Tool { complaint, .. }) => assert!(complaint.text.contains("Failed to"), "{complaint}"),
        other => panic!("a card that is not there is to be refused: {other:?}"),
    }
}

/// What it takes for a change to be in force is known, or that it is not.
pub async fn what_it_takes_is_said(firmware: &dyn Firmware, pf: PciAddress) {
    let activation = works(firmware.activation(pf).await, "ask what it takes");
    assert!(
        activation.command.is_some() || activation.level.is_some() || activation.why.is_some(),
        "{activation:?}"
    );
}

async fn read(firmware: &dyn Firmware, pf: PciAddress, setting: &str) -> Setting {
    let told = works(firmware.settings(pf, &[name(setting)]).await, "read a setting");
    told.settings.into_iter().next().unwrap_or_else(|| panic!("{pf} has no {setting}"))
}

async fn restore(firmware: &dyn Firmware, pf: PciAddress, before: &[Setting]) {
    let values =
        before.iter().filter_map(|setting| Some((setting.name.clone(), setting.next.clone()?))).collect();
    works(firmware.set(pf, &values).await, "set them back");
    for setting in before {
        assert_eq!(read(firmware, pf, setting.name.as_str()).await, *setting, "it is as it was");
    }
}

/// A number that it is not, and that a card can have.
fn other_number(setting: &Setting) -> Value {
    let now = setting.next.as_ref().and_then(Value::number);
    Value::Number(if now == Some(4) { 2 } else { 4 })
}

fn name(text: &str) -> SettingName {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}
