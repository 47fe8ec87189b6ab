//! The two rtnetlink sockets, one for requests and one to listen with, and the thread they live on.
//!
//! The kernel serves a netlink request inside the sender's `sendmsg`, and takes its time where a driver
//! does (`ndo_open` of a real card) or where someone else holds the RTNL. Both sockets therefore belong
//! to a runtime on a thread of its own: the caller's runtime never stalls, and callers on several runtimes
//! can share one [`Rtnl`]. Requests of many tasks are queued on the one socket and answered in turn, as
//! the RTNL would have it anyway. Each socket is opened when it is first needed; the thread ends when the
//! [`Rtnl`] is dropped.
//!
//! A socket can have one listing under way and answers EBUSY to a second (`__netlink_dump_start` in
//! `net/netlink/af_netlink.c`): listings take turns, and one that its caller has given up on still runs to
//! its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_proto::ConnectionHandle;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, SocketAddr};
use tokio::runtime;
use tokio::sync::{Mutex, OnceCell, broadcast, oneshot};
use tokio::time::{Instant, timeout_at};
use vdpa_netlink::{Errno, Refusal};

use super::record::Record;
use super::wire::{Message, RTM_DELLINK, RTM_NEWLINK};
use crate::error::{Error, Result};
use crate::nouns::IfIndex;

/// How long the kernel may take to answer: bringing up a port of a real card, behind other holders of the
/// RTNL, takes seconds.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// `NLM_F_DUMP_INTR`: the table changed while it was listed.
const INTERRUPTED: u16 = 0x10;

type Unsolicited = UnboundedReceiver<(NetlinkMessage<Message>, SocketAddr)>;

/// What the kernel tells everyone about network devices.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// A device has come, or is not as it was.
    Link(Arc<Record>),
    /// A device has gone, from this network namespace at least.
    Gone(IfIndex),
    /// Something was missed: look again.
    Lost,
}

/// The sockets.
#[derive(Debug, Default)]
pub(super) struct Rtnl {
    background: OnceCell<Background>,
    requests: OnceCell<ConnectionHandle<Message>>,
    listing: Arc<Mutex<()>>,
    news: OnceCell<broadcast::Sender<News>>,
}

/// A thread that drives what is spawned on it, until it is dropped.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) runtime: runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Background {
    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("rtnetlink".to_owned()).spawn(move || {
            // An error is how it ends: the sender was dropped.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, _stop: stop })
    }
}

impl Rtnl {
    /// Messages of the kernel that are kept for a listener who is slow: 127 VFs and their representors
    /// come with about 1000.
    const NEWS: usize = 4096;
    /// The same in the socket, in bytes.
    const BUFFER: usize = 4 << 20;
    /// `RTMGRP_LINK`.
    const LINK_GROUP: u32 = 1;

    /// The thread, started if it is not running.
    pub(super) async fn background(&self) -> Result<&Background> {
        let start = || async { Background::start() };
        self.background
            .get_or_try_init(start)
            .await
            .map_err(|error| Error::io("start a thread".to_owned(), error))
    }

    /// Sends a request and returns what comes before its acknowledgement.
    pub(super) async fn ask(&self, request: Message, intent: &str) -> Result<Vec<Message>> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let answered = converse(self.requests().await?, request, NLM_F_ACK, intent, deadline).await;
        answered.map(|(messages, _)| messages)
    }

    /// Asks for something new: an object that is there already is an error (EEXIST).
    pub(super) async fn create(&self, request: Message, intent: &str) -> Result<()> {
        const NEW: u16 = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let deadline = Instant::now() + ANSWER_LIMIT;
        converse(self.requests().await?, request, NEW, intent, deadline).await.map(|_| ())
    }

    /// Asks for a listing, again and again while it changes under the reader's eyes.
    pub(super) async fn list(&self, request: Message, intent: &'static str) -> Result<Vec<Message>> {
        let (requests, listing) = (self.requests().await?.clone(), Arc::clone(&self.listing));
        let to_its_end = self.background().await?.runtime.spawn(async move {
            let _turn = listing.lock().await;
            let deadline = Instant::now() + ANSWER_LIMIT;
            loop {
                let once = converse(&requests, request.clone(), NLM_F_DUMP, intent, deadline);
                if let (messages, true) = once.await? {
                    return Ok(messages);
                }
                tracing::debug!(intent, "the table changed while it was listed: once more");
            }
        });
        to_its_end.await.unwrap_or_else(|error| Err(Error::io(intent.to_owned(), io::Error::other(error))))
    }

    /// The kernel's news from now on: listen first, then look.
    pub(super) async fn listen(&self) -> Result<broadcast::Receiver<News>> {
        let runtime = &self.background().await?.runtime;
        let open = || async {
            let (news, _) = broadcast::channel(Self::NEWS);
            let (_, unsolicited) = connect(runtime, Self::LINK_GROUP)?;
            runtime.spawn(pass_on(unsolicited, news.clone()));
            Ok::<_, io::Error>(news)
        };
        match self.news.get_or_try_init(open).await {
            Ok(news) => Ok(news.subscribe()),
            Err(error) => Err(Error::io("listen to the kernel's news of links".to_owned(), error)),
        }
    }

    async fn requests(&self) -> Result<&ConnectionHandle<Message>> {
        let runtime = &self.background().await?.runtime;
        let open = || async { connect(runtime, 0).map(|(requests, _)| requests) };
        let opened = self.requests.get_or_try_init(open).await;
        opened.map_err(|error| Error::io("open an rtnetlink socket".to_owned(), error))
    }
}

/// Sends a request and reads its answer; false with a listing that changed meanwhile.
async fn converse(
    requests: &ConnectionHandle<Message>,
    request: Message,
    flags: u16,
    intent: &str,
    deadline: Instant,
) -> Result<(Vec<Message>, bool)> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    let broken = || Error::io(intent.to_owned(), io::ErrorKind::BrokenPipe.into());
    let _waiting = tracing::debug_span!("rtnetlink.request", waits_for = "kernel", intent);
    let mut answer = requests.request(request, SocketAddr::new(0, 0)).map_err(|_| broken())?;
    let (mut messages, mut whole) = (Vec::new(), true);
    loop {
        let next = timeout_at(deadline, answer.next()).await.map_err(|_| Error::Timeout {
            awaited: format!("the kernel's answer to the request to {intent}"),
            limit: ANSWER_LIMIT,
            seen: format!("{} messages", messages.len()),
        })?;
        // The end of the stream is no end of the answer: that is an acknowledgement or NLMSG_DONE.
        let (header, payload) = next.ok_or_else(broken)?.into_parts();
        whole &= header.flags & INTERRUPTED == 0;
        let code = match payload {
            NetlinkPayload::InnerMessage(message) => {
                messages.push(message);
                continue;
            }
            NetlinkPayload::Error(error) => match Refusal::from_rtnetlink(&error) {
                Some(refusal) => return Err(Error::refused(intent.to_owned(), refusal)),
                None => 0,
            },
            NetlinkPayload::Done(done) => done.code,
            _ => continue,
        };
        if code < 0 {
            return Err(Error::refused(intent.to_owned(), Refusal::from(Errno(-code))));
        }
        return Ok((messages, whole));
    }
}

/// Opens a socket in the network namespace of the calling thread and has `runtime` serve it.
fn connect(runtime: &runtime::Handle, groups: u32) -> io::Result<(ConnectionHandle<Message>, Unsolicited)> {
    let _entered = runtime.enter();
    let (mut connection, requests, unsolicited) = netlink_proto::new_connection(NETLINK_ROUTE)?;
    let socket = connection.socket_mut().socket_mut();
    vdpa_netlink::want_extended_acks(socket)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    if groups != 0 {
        enlarge(socket);
    }
    // The end of an answer is to be seen, and with it the error of a listing that broke off.
    connection.set_forward_ack(true);
    connection.set_forward_done(true);
    runtime.spawn(connection);
    Ok((requests, unsolicited))
}

/// More room than `net.core.rmem_max` allows needs `CAP_NET_ADMIN`; with less, news may be lost, which is
/// noticed.
fn enlarge(socket: &netlink_sys::Socket) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
    if set_socket_recv_buffer_size_force(socket, Rtnl::BUFFER).is_err()
        && let Err(error) = set_socket_recv_buffer_size(socket, Rtnl::BUFFER)
    {
        tracing::debug!(%error, "the socket keeps the buffer it has");
    }
}

/// Reads the kernel's news and passes it on to whoever listens.
async fn pass_on(mut unsolicited: Unsolicited, news: broadcast::Sender<News>) {
    while let Some((message, _)) = unsolicited.next().await {
        let item = match message.payload {
            NetlinkPayload::InnerMessage(message) => read(&message),
            NetlinkPayload::Overrun(_) => Some(News::Lost),
            _ => None,
        };
        if let Some(item) = item {
            // An error says that nobody listens now.
            let _ = news.send(item);
        }
    }
}

fn read(message: &Message) -> Option<News> {
    let record = match Record::read(message) {
        Ok(record) => record?,
        Err(error) => {
            tracing::debug!(%error, "a piece of news that cannot be read");
            return Some(News::Lost);
        }
    };
    match message.kind {
        RTM_NEWLINK => Some(News::Link(Arc::new(record))),
        RTM_DELLINK => Some(News::Gone(record.link.index)),
        _ => None,
    }
}
