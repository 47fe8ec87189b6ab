//! A generic-netlink family by its name, and what is asked of it.
//!
//! The number of a family is looked up once, however many ask for it at the same time. It is another one when the family's module has been loaded again, since the kernel
//! gives numbers out in turn (`genl_register_family()` in `net/netlink/genetlink.c`): it then does not know the one that is
//! asked by, and the number is looked up anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use tracing::Instrument as _;

use crate::attributes::{Attributes, Malformed};
use crate::conversation::{Conversation, DEFAULT_LIMIT, converse};
use crate::{Errno, Error, Notifications, Tlvs, wire};

/// A generic-netlink family, known by its name: `devlink`, `vdpa`, `ethtool`.
///
/// Making one costs nothing and does no I/O; it may be kept, cloned and used from several tasks.
#[derive(Debug, Clone)]
pub struct Family {
    name: &'static str,
}

/// What the kernel says about a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyInfo {
    /// The message type of its requests, given out at run time.
    pub id: u16,
    /// The version of its interface.
    pub version: u8,
    /// Its multicast groups: name → number.
    pub groups: BTreeMap<String, u32>,
}

/// One request: a command, its attributes, what it is for, and how long it may take.
#[derive(Debug, Clone)]
pub struct Request {
    command: u8,
    attributes: Tlvs,
    intent: String,
    limit: Duration,
}

impl Request {
    /// A request of `command` without attributes, within [`DEFAULT_LIMIT`].
    ///
    /// `intent` says in the caller's words what it is for, so that it reads on after "cannot":
    /// `list the ports of pci/0000:43:00.0`.
    pub fn new(command: u8, intent: impl Into<String>) -> Self {
        Self { command, attributes: Tlvs::new(), intent: intent.into(), limit: DEFAULT_LIMIT }
    }

    /// What it is for.
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// The request with these attributes after those it has.
    #[must_use]
    pub fn with(mut self, attributes: Tlvs) -> Self {
        self.attributes =
            if self.attributes.as_bytes().is_empty() { attributes } else { self.attributes.and(&attributes) };
        self
    }

    /// The request with this time limit. Switching an eswitch with 127 VFs can take more than 60 s.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// One message of an answer, or a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    command: u8,
    attributes: Vec<u8>,
}

impl Message {
    /// A message as a family would send it: for tests of decoders.
    pub fn new(command: u8, attributes: &Tlvs) -> Self {
        Self { command, attributes: attributes.as_bytes().to_vec() }
    }

    pub(crate) fn from_wire(payload: &[u8]) -> Result<Self, Malformed> {
        let (command, attributes) = wire::generic(payload)?;
        Ok(Self { command, attributes: attributes.to_vec() })
    }

    /// Its command. An answer's may differ from its request's (devlink answers GET with NEW).
    pub fn command(&self) -> u8 {
        self.command
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(&self.attributes)
    }
}

impl Family {
    /// The family `name`.
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its number, version and multicast groups; [`Error::NoFamily`] where the kernel lacks it.
    pub async fn info(&self) -> Result<FamilyInfo, Error> {
        let intent = format!("look for the family {}", self.name);
        let waiting =
            tracing::debug_span!("netlink.request", waits_for = "kernel", family = self.name, intent);
        let name = self.name;
        converse(NETLINK_GENERIC, intent, DEFAULT_LIMIT, move |conversation| look_up(conversation, name))
            .instrument(waiting)
            .await
    }

    /// Sends a request and returns what comes before its acknowledgement: nothing for most setters.
    pub async fn request(&self, request: Request) -> Result<Vec<Message>, Error> {
        self.ask(request, wire::ACK).await
    }

    /// Asks for a listing and returns its messages. A listing that changed while it was read is
    /// read again.
    pub async fn dump(&self, request: Request) -> Result<Vec<Message>, Error> {
        self.ask(request, wire::DUMP).await
    }

    /// Joins the multicast group `group`. What happens after this has returned will be read from it:
    /// subscribe first, then look at the state.
    pub async fn subscribe(&self, group: &str) -> Result<Notifications, Error> {
        let info = self.info().await?;
        let intent = format!("listen to {} {group}", self.name);
        let Some(number) = info.groups.get(group) else {
            return Err(Error::NoGroup { intent, family: self.name.into(), group: group.into() });
        };
        Notifications::join(info.id, *number, intent)
    }

    async fn ask(&self, request: Request, flags: u16) -> Result<Vec<Message>, Error> {
        let Request { command, attributes, intent, limit } = request;
        let name = self.name;
        if attributes.is_too_long() {
            return Err(Error::TooLong { intent });
        }
        let waiting =
            tracing::debug_span!("netlink.request", waits_for = "kernel", family = name, command, intent);
        converse(NETLINK_GENERIC, intent, limit, move |conversation| {
            let ask = |conversation: &mut Conversation, info: &FamilyInfo| {
                conversation.until_steady(|generic| exchange(generic, info, command, flags, &attributes))
            };
            let known = look_up_once(conversation, name)?;
            let answer = ask(conversation, &known);
            match &answer {
                // What was asked about is not there; or the family is not, under this number.
                Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::ENOENT => {
                    let info = look_up(conversation, name)?;
                    if info == known { answer } else { ask(conversation, &info) }
                }
                _ => answer,
            }
        })
        .instrument(waiting)
        .await
    }
}

/// The families that have been looked up.
static KNOWN: Mutex<BTreeMap<&'static str, FamilyInfo>> = Mutex::new(BTreeMap::new());

fn known(name: &'static str) -> Option<FamilyInfo> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

/// Held by who looks one up for the first time.
static LOOKING: Mutex<()> = Mutex::new(());

/// What is known of a family. Who asks while another looks it up waits for that.
fn look_up_once(conversation: &mut Conversation, name: &'static str) -> Result<FamilyInfo, Error> {
    if let Some(known) = known(name) {
        return Ok(known);
    }
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    known(name).map_or_else(|| look_up(conversation, name), Ok)
}

/// Asks the controller about a family. Source: `enum` of `CTRL_ATTR_*` in
/// `include/uapi/linux/genetlink.h`.
fn look_up(conversation: &mut Conversation, name: &'static str) -> Result<FamilyInfo, Error> {
    const GETFAMILY: u8 = 3;
    const FAMILY_NAME: u16 = 2;
    let controller = FamilyInfo { id: 0x10, version: 2, groups: BTreeMap::new() };
    let named = Tlvs::new().string(FAMILY_NAME, name);
    let answer =
        exchange(conversation, &controller, GETFAMILY, wire::ACK, &named).map_err(|error| match error {
            Error::Refused { intent, refusal, .. } if refusal.errno == Errno::ENOENT => {
                Error::NoFamily { intent, name: name.to_owned() }
            }
            other => other,
        })?;
    let message = answer.unwrap_or_default().into_iter().next();
    let read = message.ok_or(Malformed::Absent { kind: 1, name: "CTRL_ATTR_FAMILY_ID" });
    let info = read
        .and_then(|message| family_info(message.attributes()))
        .map_err(|source| Error::malformed(conversation.intent(), source))?;
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(name, info.clone());
    Ok(info)
}

/// Sends one request and reads its answer to the end; `None` if the listing changed meanwhile.
fn exchange(
    conversation: &mut Conversation,
    family: &FamilyInfo,
    command: u8,
    flags: u16,
    attributes: &Tlvs,
) -> Result<Option<Vec<Message>>, Error> {
    let payload = [&[command, family.version, 0, 0], attributes.as_bytes()].concat();
    let Some(answer) = conversation.exchange(family.id, flags, &payload)? else { return Ok(None) };
    let of_family = answer.iter().filter(|(kind, _)| *kind == family.id);
    let messages = of_family.map(|(_, payload)| Message::from_wire(payload)).collect::<Result<_, _>>();
    messages.map(Some).map_err(|source| Error::malformed(conversation.intent(), source))
}

/// Reads the controller's answer.
fn family_info(attributes: Attributes<'_>) -> Result<FamilyInfo, Malformed> {
    const FAMILY_ID: u16 = 1;
    const VERSION: u16 = 3;
    const MCAST_GROUPS: u16 = 7;
    const GROUP_NAME: u16 = 1;
    const GROUP_ID: u16 = 2;
    let id = attributes.require(FAMILY_ID, "CTRL_ATTR_FAMILY_ID")?.u16()?;
    let version = attributes.require(VERSION, "CTRL_ATTR_VERSION")?.u32()?;
    let mut groups = BTreeMap::new();
    if let Some(list) = attributes.find(MCAST_GROUPS)? {
        for group in list.nest() {
            let group = group?.nest();
            let name = group.require(GROUP_NAME, "CTRL_ATTR_MCAST_GRP_NAME")?.string();
            groups.insert(name, group.require(GROUP_ID, "CTRL_ATTR_MCAST_GRP_ID")?.u32()?);
        }
    }
    // The header has eight bits for it; the kernel takes any version.
    Ok(FamilyInfo { id, version: u8::try_from(version).unwrap_or(u8::MAX), groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_read_with_its_groups() {
        let config = Tlvs::new().u32(2, 9).string(1, "config");
        let groups = Tlvs::new().nest(1, &config);
        let answer = Tlvs::new().string(2, "devlink").u16(1, 0x1c).u32(3, 1).nest(7, &groups);
        let info = family_info(Attributes::new(answer.as_bytes())).unwrap();
        assert_eq!(info, FamilyInfo { id: 0x1c, version: 1, groups: [("config".to_owned(), 9)].into() });
    }

    #[test]
    fn a_family_without_a_number_is_malformed() {
        let error = family_info(Attributes::new(Tlvs::new().u32(3, 1).as_bytes())).unwrap_err();
        assert_eq!(error, Malformed::Absent { kind: 1, name: "CTRL_ATTR_FAMILY_ID" });
    }

    #[tokio::test]
    async fn a_number_that_the_kernel_does_not_know_any_more_is_looked_up_anew() {
        const GETFAMILY: u8 = 3;
        const CONTROLLER: &str = "nlctrl";
        let gone = FamilyInfo { id: 0x3ff, version: 2, groups: BTreeMap::new() };
        KNOWN.lock().unwrap().insert(CONTROLLER, gone);
        let controller = Family::new(CONTROLLER);
        let ask = |name: &str| {
            let named = Tlvs::new().string(2, name);
            controller.request(Request::new(GETFAMILY, format!("ask about {name}")).with(named))
        };
        let answer = ask(CONTROLLER).await.unwrap();
        assert_eq!(family_info(answer[0].attributes()).unwrap().id, 0x10);
        assert_eq!(known(CONTROLLER).unwrap().id, 0x10);
        let error = ask("nobody").await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { refusal, .. } if refusal.errno == Errno::ENOENT),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn who_asks_while_a_family_is_looked_up_waits_for_what_is_found() {
        const GETFAMILY: u8 = 3;
        const OTHERS: &str = "looked up by others";
        let (find, finds) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let _looking = LOOKING.lock().unwrap();
            finds.recv().unwrap();
            // The kernel knows no such family: whoever looks it up anew is told so.
            KNOWN
                .lock()
                .unwrap()
                .insert(OTHERS, FamilyInfo { id: 0x10, version: 2, groups: BTreeMap::new() });
        });
        while LOOKING.try_lock().is_ok() {
            std::thread::yield_now();
        }
        let named = Tlvs::new().string(2, "nlctrl");
        let asked = tokio::spawn(async move {
            Family::new(OTHERS).request(Request::new(GETFAMILY, "ask meanwhile").with(named)).await
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!asked.is_finished());
        find.send(()).unwrap();
        other.join().unwrap();
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(family_info(answer[0].attributes()).unwrap().id, 0x10);
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_written_is_not_sent() {
        let request = Request::new(1, "ask too much").with(Tlvs::new().bytes(1, &vec![0; 1 << 16]));
        let error = Family::new("nlctrl").request(request).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
    }
}
