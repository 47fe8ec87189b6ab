//! The kernel first, then the tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Activation, Firmware, Need, SettingName, Settings, Value};
use crate::error::{Error, Result};
use crate::nouns::PciAddress;

/// Two that know a card's settings: each setting is asked of the first, and of the second where the first has none such.
///
/// The kernel has parameters for few settings, but needs no program, and works under kernel lockdown.
pub struct Layered {
    first: Arc<dyn Firmware>,
    second: Arc<dyn Firmware>,
}

impl Layered {
    /// `first` before `second`.
    pub fn new(first: Arc<dyn Firmware>, second: Arc<dyn Firmware>) -> Self {
        Self { first, second }
    }

    /// Those of `names` that the first has, and the others.
    async fn split(
        &self,
        pf: PciAddress,
        names: Vec<SettingName>,
    ) -> Result<(Vec<SettingName>, Vec<SettingName>)> {
        let known = self.first.settings(pf, &names).await?;
        Ok(names.into_iter().partition(|name| known.get(name.as_str()).is_some()))
    }
}

#[async_trait]
impl Firmware for Layered {
    async fn settings(&self, pf: PciAddress, names: &[SettingName]) -> Result<Settings> {
        let first = self.first.settings(pf, names).await?;
        let missing: Vec<SettingName> =
            names.iter().filter(|name| first.get(name.as_str()).is_none()).cloned().collect();
        if !names.is_empty() && missing.is_empty() {
            return Ok(first);
        }
        let mut second = match self.second.settings(pf, &missing).await {
            Ok(second) => second,
            Err(error) if first.settings.is_empty() => return Err(error),
            Err(error) => return Ok(Settings { not_asked: Some(error.in_full()), ..first }),
        };
        for setting in first.settings {
            match second.settings.iter_mut().find(|other| other.name == setting.name) {
                // The second may know more of it, as long as both speak of the same value.
                Some(other) if other.next == setting.next => other.keeper = setting.keeper,
                Some(other) => *other = setting,
                None => second.settings.push(setting),
            }
        }
        Ok(second)
    }

    async fn set(&self, pf: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need> {
        let (first, second) = self.split(pf, values.keys().cloned().collect()).await?;
        let of = |names: &[SettingName]| -> BTreeMap<SettingName, Value> {
            names.iter().filter_map(|name| Some((name.clone(), values.get(name)?.clone()))).collect()
        };
        // The second first: it is the one that may not know a name, and then nothing has been set.
        let mut need = Need::Nothing;
        if !second.is_empty() {
            need = self.second.set(pf, &of(&second)).await?;
        }
        if !first.is_empty() {
            need = need.max(self.first.set(pf, &of(&first)).await?);
        }
        Ok(need)
    }

    /// By the second, since only it knows the defaults; what the first keeps beside it (a number of VFs for each PF) is set
    /// to them.
    async fn reset(&self, pf: PciAddress, names: &[SettingName]) -> Result<Need> {
        let need = self.second.reset(pf, names).await?;
        let kept = self.first.settings(pf, names).await?;
        if kept.settings.is_empty() {
            return Ok(need);
        }
        let kept: Vec<SettingName> = kept.settings.into_iter().map(|setting| setting.name).collect();
        let told = self.second.settings(pf, &kept).await?;
        let defaults: BTreeMap<SettingName, Value> =
            told.settings.into_iter().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        if defaults.is_empty() { Ok(need) } else { Ok(need.max(self.first.set(pf, &defaults).await?)) }
    }

    async fn activation(&self, pf: PciAddress) -> Result<Activation> {
        match self.second.activation(pf).await {
            Err(Error::NoFirmwareTool { .. }) => self.first.activation(pf).await,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keeper, Setting};
    use super::*;
    use std::sync::Mutex;

    /// Knows some settings by heart.
    struct Known(Mutex<BTreeMap<SettingName, Value>>, Option<Keeper>);

    impl Known {
        fn new(settings: &[(&str, &str)], keeper: Keeper) -> Arc<Self> {
            let settings =
                settings.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Arc::new(Self(Mutex::new(settings.collect()), Some(keeper)))
        }

        fn missing() -> Arc<Self> {
            Arc::new(Self(Mutex::default(), None))
        }

        fn get(&self, name: &str) -> String {
            self.0.lock().unwrap()[&name.parse().unwrap()].to_string()
        }
    }

    #[async_trait]
    impl Firmware for Known {
        async fn settings(&self, _: PciAddress, names: &[SettingName]) -> Result<Settings> {
            let Some(keeper) = self.1 else { return Err(Error::NoFirmwareTool { intent: "ask".to_owned() }) };
            let settings = self.0.lock().unwrap().clone().into_iter();
            let settings = settings.filter(|(name, _)| names.is_empty() || names.contains(name));
            let settings = settings.map(|(name, value)| Setting {
                name,
                default: (keeper == Keeper::Mstconfig).then_some(Value::Number(0)),
                current: None,
                next: Some(value),
                read_only: false,
                keeper,
            });
            Ok(Settings { settings: settings.collect(), ..Settings::default() })
        }

        async fn set(&self, _: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need> {
            self.0.lock().unwrap().extend(values.clone());
            Ok(Need::Nothing)
        }

        async fn reset(&self, _: PciAddress, names: &[SettingName]) -> Result<Need> {
            self.0.lock().unwrap().extend(names.iter().map(|name| (name.clone(), Value::Number(0))));
            Ok(Need::Nothing)
        }

        async fn activation(&self, _: PciAddress) -> Result<Activation> {
            match self.1 {
                Some(keeper) => Ok(Activation::reboot(keeper.to_string())),
                None => Err(Error::NoFirmwareTool { intent: "ask".to_owned() }),
            }
        }
    }

    fn pf() -> PciAddress {
        "0000:43:00.0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_setting_belongs_to_the_first_that_has_it() {
        let kernel = Known::new(&[("NUM_OF_VFS", "8")], Keeper::Devlink);
        let tool = Known::new(&[("NUM_OF_VFS", "4"), ("UCTX_EN", "False(0)")], Keeper::Mstconfig);
        let both = Layered::new(kernel.clone(), tool.clone());
        let settings = both.settings(pf(), &[]).await.unwrap();
        let told: Vec<_> = settings
            .settings
            .iter()
            .map(|s| (s.name.as_str(), s.keeper, s.next.clone().unwrap().to_string()))
            .collect();
        assert_eq!(
            told,
            [
                ("NUM_OF_VFS", Keeper::Devlink, "8".to_owned()),
                ("UCTX_EN", Keeper::Mstconfig, "False(0)".to_owned())
            ]
        );
        let values = [("NUM_OF_VFS", "16"), ("UCTX_EN", "True(1)")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        both.set(pf(), &values.into()).await.unwrap();
        assert_eq!(
            (kernel.get("NUM_OF_VFS"), tool.get("NUM_OF_VFS"), tool.get("UCTX_EN")),
            ("16".into(), "4".into(), "True(1)".into())
        );
    }

    #[tokio::test]
    async fn a_default_that_only_the_second_knows_is_set_by_the_first_too() {
        let kernel = Known::new(&[("NUM_OF_VFS", "8")], Keeper::Devlink);
        let tool = Known::new(&[("NUM_OF_VFS", "4"), ("UCTX_EN", "False(0)")], Keeper::Mstconfig);
        let both = Layered::new(kernel.clone(), tool.clone());
        both.reset(pf(), &["NUM_OF_VFS".parse().unwrap()]).await.unwrap();
        assert_eq!((kernel.get("NUM_OF_VFS"), tool.get("NUM_OF_VFS")), ("0".into(), "0".into()));
        assert_eq!(tool.get("UCTX_EN"), "False(0)");
    }

    #[tokio::test]
    async fn without_a_tool_the_kernels_part_is_what_there_is() {
        let kernel = Known::new(&[("NUM_OF_VFS", "8")], Keeper::Devlink);
        let settings = Layered::new(kernel, Known::missing()).settings(pf(), &[]).await.unwrap();
        assert_eq!(settings.settings.len(), 1);
        assert!(settings.not_asked.unwrap().contains("mstconfig"));
        let neither = Layered::new(Known::new(&[], Keeper::Devlink), Known::missing());
        assert!(matches!(neither.settings(pf(), &[]).await, Err(Error::NoFirmwareTool { .. })));
    }
}
