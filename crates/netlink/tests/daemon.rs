//! The client against the running kernel: any Linux, no privilege.

use std::time::Duration;

use vdpa_netlink::{Culprit, Errno, Error, Family, Request, RouteMessage, Tlvs};

/// `CTRL_CMD_GETFAMILY` of the controller, which every kernel has.
const GETFAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

#[tokio::test]
async fn a_family_is_found_by_its_name_with_its_groups() {
    let controller = Family::new("nlctrl").info().await.unwrap();
    assert_eq!(controller.id, 0x10, "GENL_ID_CTRL in include/uapi/linux/genetlink.h");
    assert!(controller.groups.contains_key("notify"), "{controller:?}");
}

#[tokio::test]
async fn a_family_that_the_kernel_lacks_is_named() {
    let error = Family::new("vdpa-no-such").info().await.unwrap_err();
    assert!(matches!(&error, Error::NoFamily { name, .. } if name == "vdpa-no-such"), "{error:?}");
    assert!(error.to_string().contains("`vdpa-no-such`"), "{error}");
}

#[tokio::test]
async fn a_request_is_answered() {
    let request = Request::new(GETFAMILY, "ask for nlctrl").with(Tlvs::new().string(FAMILY_NAME, "nlctrl"));
    let answer = Family::new("nlctrl").request(request).await.unwrap();
    assert_eq!(answer.len(), 1);
    let id = answer[0].attributes().require(FAMILY_ID, "CTRL_ATTR_FAMILY_ID").unwrap();
    assert_eq!(id.u16(), Ok(0x10));
}

#[tokio::test]
async fn a_listing_is_read_to_its_end() {
    let families = Family::new("nlctrl").dump(Request::new(GETFAMILY, "list the families")).await.unwrap();
    let names: Vec<_> = families
        .iter()
        .map(|message| message.attributes().require(FAMILY_NAME, "CTRL_ATTR_FAMILY_NAME").unwrap().string())
        .collect();
    assert!(names.iter().any(|name| name == "nlctrl"), "{names:?}");
    assert!(names.len() > 1, "{names:?}");
}

/// A name is a string of at most 15 characters (`ctrl_policy_family` in net/netlink/genetlink.c).
#[tokio::test]
async fn a_refusal_quotes_the_kernel_and_points_at_the_attribute() {
    let request =
        Request::new(GETFAMILY, "ask for too much").with(Tlvs::new().string(FAMILY_NAME, &"x".repeat(99)));
    let error = Family::new("nlctrl").request(request).await.unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL), "{error:?}");
    assert_eq!(error.to_string(), "cannot ask for too much");
    let Error::Refused { refusal, culprit, .. } = error else { panic!("{error:?}") };
    assert_eq!(refusal.to_string(), "kernel: Attribute failed policy validation (EINVAL)");
    // Behind the netlink header and the generic-netlink header.
    assert_eq!(culprit, Some(Culprit::At(20)));
}

#[tokio::test]
async fn many_requests_at_once_get_each_its_own_answer() {
    let asked = (0..32).map(|n| {
        let name = if n % 2 == 0 { "nlctrl" } else { "vdpa-no-such" };
        tokio::spawn(async move { (n, Family::new(name).info().await) })
    });
    for task in asked.collect::<Vec<_>>() {
        let (n, answer) = task.await.unwrap();
        assert_eq!(answer.is_ok(), n % 2 == 0, "{n}: {answer:?}");
    }
}

#[tokio::test]
async fn a_subscription_is_silent_while_nothing_happens() {
    let mut notifications = Family::new("nlctrl").subscribe("notify").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), notifications.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn a_group_that_the_family_lacks_is_named() {
    let error = Family::new("nlctrl").subscribe("config").await.unwrap_err();
    assert!(matches!(&error, Error::NoGroup { group, .. } if group == "config"), "{error:?}");
}

#[tokio::test]
async fn no_time_is_no_answer() {
    let request = Request::new(GETFAMILY, "list at once").within(Duration::ZERO);
    let error = Family::new("nlctrl").dump(request).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn rtnetlink_lists_the_loopback_device() {
    const RTM_GETLINK: u16 = 18;
    const RTM_NEWLINK: u16 = 16;
    const IFLA_IFNAME: u16 = 3;
    let links = RouteMessage::new(RTM_GETLINK, &[0; 16], &Tlvs::new()).dump("list the links").await.unwrap();
    let lo = links.iter().find(|link| {
        link.attributes(16).find(IFLA_IFNAME).unwrap().is_some_and(|name| name.string() == "lo")
    });
    assert_eq!(lo.map(RouteMessage::kind), Some(RTM_NEWLINK), "{links:?}");
}

#[tokio::test]
async fn rtnetlink_refuses_with_an_errno() {
    const RTM_GETLINK: u16 = 18;
    let nowhere = [[0; 4], 0x7fff_fff0u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
    let error = RouteMessage::new(RTM_GETLINK, &nowhere, &Tlvs::new()).request("ask").await.unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENODEV), "{error:?}");
}
