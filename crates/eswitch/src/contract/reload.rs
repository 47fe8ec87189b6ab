//! What is true of reloads, and of parameters that wait for one.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vdpa_hw::IfIndex;
use vdpa_netlink::Errno;

use crate::{DevlinkHandle, Eswitch, ParamMode, ParamValue, Reload, ReloadAction};

/// A device to reload, which has a network device, and a truth value that its driver reads when it is loaded.
pub struct Subject<'a> {
    /// What is asked.
    pub eswitch: &'a dyn Eswitch,
    /// The device.
    pub device: DevlinkHandle,
    /// Its parameter of [`ParamMode::Driverinit`], now on.
    pub param: &'a str,
    /// Whether the driver acts by the parameter as on.
    pub in_force: &'a (dyn Fn() -> bool + Sync),
    /// Whether the parameter is what makes the network device.
    pub makes_netdev: bool,
    /// Its network device.
    pub netdev: &'a (dyn Fn() -> Option<IfIndex> + Sync),
    /// How long a reload, and the network device after it, may take.
    pub limit: Duration,
}

/// Every statement, one after the other.
pub async fn all(subject: &Subject<'_>) {
    a_reload_makes_the_network_device_anew(subject).await;
    a_value_counts_from_the_next_reload_on(subject).await;
    a_limit_that_makes_no_sense_is_refused(subject).await;
}

/// A reload tells what it did, has not failed, and what was there is there again under another index.
pub async fn a_reload_makes_the_network_device_anew(subject: &Subject<'_>) {
    let before = netdev(subject).await;
    reload(subject).await;
    let after = netdev(subject).await;
    assert_ne!(before, after);
}

/// A value that was set is shown at once, and acted by after a reload, and not before.
pub async fn a_value_counts_from_the_next_reload_on(subject: &Subject<'_>) {
    for on in [false, true] {
        let value = ParamValue::Bool(on);
        let set = subject.eswitch.set_param(&subject.device, subject.param, ParamMode::Driverinit, &value);
        set.await.expect("set_param");
        assert_eq!(shown(subject).await, Some(value));
        assert_eq!((subject.in_force)(), !on, "{} before the reload", subject.param);
        reload(subject).await;
        assert_eq!((subject.in_force)(), on, "{} after the reload", subject.param);
        assert_eq!(shown(subject).await, Some(ParamValue::Bool(on)));
        if subject.makes_netdev && !on {
            assert_eq!((subject.netdev)(), None);
        } else {
            netdev(subject).await;
        }
    }
}

/// A driver that is loaded again goes down: that cannot be done without a reset.
pub async fn a_limit_that_makes_no_sense_is_refused(subject: &Subject<'_>) {
    let before = netdev(subject).await;
    let gently = Reload { no_reset: true, ..Reload::DRIVER };
    let refused = subject.eswitch.reload(&subject.device, gently, subject.limit).await;
    let errno = refused.err().and_then(|error| error.errno());
    // EOPNOTSUPP of a driver that knows no limits, else EINVAL.
    assert!(matches!(errno, Some(Errno::EOPNOTSUPP | Errno::EINVAL)), "{errno:?}");
    assert_eq!(netdev(subject).await, before);
}

async fn reload(subject: &Subject<'_>) {
    let Subject { eswitch, device, limit, .. } = subject;
    let done = eswitch.reload(device, Reload::DRIVER, *limit).await.expect("reload");
    assert_eq!(done, [ReloadAction::DriverReinit].into());
    assert!(!eswitch.reload_failed(device).await.expect("reload_failed"));
}

async fn shown(subject: &Subject<'_>) -> Option<ParamValue> {
    let params = subject.eswitch.params(&subject.device).await.expect("params");
    let param = params.into_iter().find(|param| param.name == subject.param);
    param.and_then(|param| param.values.get(&ParamMode::Driverinit).cloned())
}

/// The device's network device, as soon as there is one.
async fn netdev(subject: &Subject<'_>) -> IfIndex {
    let deadline = Instant::now() + subject.limit;
    loop {
        if let Some(index) = (subject.netdev)() {
            return index;
        }
        assert!(
            Instant::now() < deadline,
            "{} has no network device after {:?}",
            subject.device,
            subject.limit
        );
        sleep(Duration::from_millis(20)).await;
    }
}
