//! Whose a key of the switch's `other_config` is.
//!
//! A key has no owner: a row of ours carries a tag, this is a setting of the whole switch. So what we set is written
//! down beside it, in the `external_ids` of the same row and in the same transaction, with what it read before. That
//! outlives a reboot, as the setting itself does. Where somebody has set it since, what is written down is void.

use std::collections::BTreeMap;

use crate::Setting;

/// The key of hardware offload.
pub(crate) const HW_OFFLOAD: &str = "hw-offload";

/// The key in the switch's `external_ids` that holds what we set `hw-offload` to; nothing where we took it away. Other
/// keys have theirs after the same pattern: `vdpa-KEY`.
pub const HW_OFFLOAD_TAG: &str = "vdpa-hw-offload";

/// The key in the switch's `external_ids` that holds what `hw-offload` read before; absent where it was. Other keys
/// have theirs after the same pattern: `vdpa-KEY-before`.
pub const HW_OFFLOAD_BEFORE_TAG: &str = "vdpa-hw-offload-before";

/// A key as it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owned {
    /// Its name.
    pub(crate) key: String,
    /// What it reads, to the letter.
    pub(crate) value: Option<String>,
    /// What it read before we set it; `None` where what it reads is not ours.
    pub(crate) before: Option<Setting>,
}

impl Owned {
    /// What the row's two columns say of a key.
    pub(crate) fn read(
        key: &str,
        other_config: &BTreeMap<String, String>,
        external_ids: &BTreeMap<String, String>,
    ) -> Self {
        let value = other_config.get(key).cloned();
        let [tag, before_tag] = tags(key);
        let ours = external_ids.get(&tag);
        let holds = ours.is_some_and(|ours| *ours == value.clone().unwrap_or_default());
        let before = external_ids.get(&before_tag).cloned().map_or(Setting::Unset, Setting::Set);
        Self { key: key.to_owned(), value, before: holds.then_some(before) }
    }

    /// Every key but that of hardware offload that is ours, with what it read before.
    pub(crate) fn all_before(
        other_config: &BTreeMap<String, String>,
        external_ids: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Setting> {
        let keys = external_ids.keys().filter_map(|tag| tag.strip_prefix("vdpa-"));
        let ours = keys.filter(|key| *key != HW_OFFLOAD).filter_map(|key| {
            let before = Self::read(key, other_config, external_ids).before?;
            // `vdpa-KEY-before` is not a key's own tag, unless somebody has a key of that name.
            let is_other =
                key.strip_suffix("-before").is_some_and(|of| external_ids.contains_key(&tags(of)[0]));
            (!is_other).then(|| (key.to_owned(), before))
        });
        ours.collect()
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
        Self { key: self.key.clone(), value, before: (!is_restored).then_some(before) }
    }

    /// What the row's `external_ids` are to hold of it, and nothing else of ours.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let Some(before) = &self.before else { return BTreeMap::new() };
        let [tag, before_tag] = tags(&self.key);
        let ours = (tag, self.value.clone().unwrap_or_default());
        let before = before.over(None).map(|text| (before_tag, text.to_owned()));
        std::iter::once(ours).chain(before).collect()
    }
}

/// The keys in `external_ids` that say of a key of `other_config` what we set it to, and what it read before.
pub(crate) fn tags(key: &str) -> [String; 2] {
    [format!("vdpa-{key}"), format!("vdpa-{key}-before")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: Option<&str>) -> Owned {
        Owned { key: HW_OFFLOAD.to_owned(), value: value.map(str::to_owned), before: None }
    }

    /// What is read back of what was written.
    fn written(owned: &Owned) -> Owned {
        let config = owned.value.iter().map(|value| (HW_OFFLOAD.to_owned(), value.clone())).collect();
        Owned::read(HW_OFFLOAD, &config, &owned.ids())
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
            assert!(back.ids().is_empty());
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
        let theirs = BTreeMap::from([(HW_OFFLOAD.to_owned(), "false".to_owned())]);
        assert_eq!(Owned::read(HW_OFFLOAD, &theirs, &ours.ids()), reading(Some("false")));
    }

    #[test]
    fn hardware_offload_is_tagged_as_ever_and_other_keys_alike() {
        assert_eq!(tags(HW_OFFLOAD), [HW_OFFLOAD_TAG, HW_OFFLOAD_BEFORE_TAG]);
        let extra = Owned { key: "dpdk-extra".into(), value: Some("--no-huge".into()), before: None };
        let ours = extra.with(&Setting::Set("--no-huge -a 0000:43:00.0".into()));
        let init = Owned { key: "dpdk-init".into(), ..Owned::default() }.with(&Setting::Set("true".into()));
        let config = [&ours, &init].map(|owned| (owned.key.clone(), owned.value.clone().unwrap())).into();
        let ids = ours.ids().into_iter().chain(init.ids()).collect();
        let before = Owned::all_before(&config, &ids);
        assert_eq!(
            before,
            BTreeMap::from([
                ("dpdk-extra".to_owned(), Setting::Set("--no-huge".to_owned())),
                ("dpdk-init".to_owned(), Setting::Unset),
            ])
        );
    }
}
