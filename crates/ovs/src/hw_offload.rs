//! Whose `other_config:hw-offload` is.
//!
//! The key has no owner: a row of ours carries a tag, this is a setting of the whole switch. So what we set is written
//! down beside it, in the `external_ids` of the same row and in the same transaction, with what it read before. That
//! outlives a reboot, as the setting itself does. Where somebody has set it since, what is written down is void.

use std::collections::BTreeMap;

use crate::Setting;

/// The key in the switch's `other_config`.
pub(crate) const KEY: &str = "hw-offload";

/// The key in the switch's `external_ids` that holds what we set it to; nothing where we took it away.
pub const HW_OFFLOAD_TAG: &str = "vdpa-hw-offload";

/// The key in the switch's `external_ids` that holds what it read before; absent where it was.
pub const HW_OFFLOAD_BEFORE_TAG: &str = "vdpa-hw-offload-before";

/// The setting as it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HwOffload {
    /// To the letter.
    pub(crate) value: Option<String>,
    /// What it read before we set it; `None` where what it reads is not ours.
    pub(crate) before: Option<Setting>,
}

impl HwOffload {
    /// What the row's two columns say.
    pub(crate) fn read(
        other_config: &BTreeMap<String, String>,
        external_ids: &BTreeMap<String, String>,
    ) -> Self {
        let value = other_config.get(KEY).cloned();
        let ours = external_ids.get(HW_OFFLOAD_TAG);
        let holds = ours.is_some_and(|ours| *ours == value.clone().unwrap_or_default());
        let before = external_ids.get(HW_OFFLOAD_BEFORE_TAG).cloned().map_or(Setting::Unset, Setting::Set);
        Self { value, before: holds.then_some(before) }
    }

    /// How it will read.
    pub(crate) fn with(&self, setting: &Setting) -> Self {
        if *setting == Setting::AsIs {
            return self.clone();
        }
        let value = setting.over(self.value.as_deref()).map(str::to_owned);
        let found = || self.value.clone().map_or(Setting::Unset, Setting::Set);
        let before = self.before.clone().unwrap_or_else(found);
        // As it was before us, it is nobody's again; already so, it never became ours.
        let is_restored = before.over(None) == value.as_deref();
        Self { value, before: (!is_restored).then_some(before) }
    }

    /// What the row's `external_ids` are to hold of it, and nothing else of ours.
    pub(crate) fn tags(&self) -> BTreeMap<&'static str, String> {
        let Some(before) = &self.before else { return BTreeMap::new() };
        let ours = (HW_OFFLOAD_TAG, self.value.clone().unwrap_or_default());
        let before = before.over(None).map(|text| (HW_OFFLOAD_BEFORE_TAG, text.to_owned()));
        std::iter::once(ours).chain(before).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: Option<&str>) -> HwOffload {
        HwOffload { value: value.map(str::to_owned), before: None }
    }

    /// What is read back of what was written.
    fn written(offload: &HwOffload) -> HwOffload {
        let config = offload.value.iter().map(|value| (KEY.to_owned(), value.clone())).collect();
        let ids = offload.tags().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        HwOffload::read(&config, &ids)
    }

    #[test]
    fn what_we_set_is_ours_until_it_is_as_before() {
        let on = Setting::Set("true".into());
        for (first, before) in [(None, Setting::Unset), (Some("false"), Setting::Set("false".into()))] {
            let ours = reading(first).with(&on);
            assert_eq!(written(&ours), ours);
            assert_eq!(ours.before, Some(before.clone()));
            // Again, as after a reboot, and by way of another value: what was there first stays.
            assert_eq!(ours.with(&on), ours);
            assert_eq!(ours.with(&Setting::Set("no".into())).before, Some(before.clone()));
            let back = ours.with(&before);
            assert_eq!(back, reading(first));
            assert!(back.tags().is_empty());
        }
    }

    #[test]
    fn what_was_so_already_is_not_ours() {
        let on = reading(Some("true"));
        assert_eq!(on.with(&Setting::Set("true".into())), on);
    }

    #[test]
    fn what_somebody_set_since_is_theirs() {
        let ours = reading(None).with(&Setting::Set("true".into()));
        let ids = ours.tags().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let theirs = BTreeMap::from([(KEY.to_owned(), "false".to_owned())]);
        assert_eq!(HwOffload::read(&theirs, &ids), reading(Some("false")));
    }
}
