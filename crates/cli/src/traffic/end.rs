//! Where packets are sent from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::Error;

/// Where named network namespaces are (ip-netns(8)).
const NETNS: &str = "/run/netns";

/// Where packets are sent from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A named network namespace.
    Namespace(String),
    /// The network namespace of a process: a container's, a VM's pod.
    Process(u32),
    /// This one: the routes decide by which device.
    Here,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "here" {
            return Ok(Self::Here);
        }
        if let Some(pid) = text.strip_prefix("pid:") {
            return pid.parse().map(Self::Process).map_err(|_| format!("`{pid}` is no process id"));
        }
        let name = text.strip_prefix("netns:").unwrap_or(text);
        if name.is_empty() || name.contains('/') {
            return Err(format!("`{text}` names no end: a network namespace, `pid:N`, or `here`"));
        }
        Ok(Self::Namespace(name.to_owned()))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "network namespace {name}"),
            Self::Process(pid) => write!(f, "the network namespace of process {pid}"),
            Self::Here => f.write_str("this network namespace"),
        }
    }
}

impl End {
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Namespace(name) => Some(Path::new(NETNS).join(name)),
            Self::Process(pid) => Some(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            Self::Here => None,
        }
    }

    /// Runs `open` and then `work` on a thread that lives at this end; returns when `open` has succeeded.
    ///
    /// A thread of its own, because it keeps the namespace that it has entered.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        open: impl FnOnce() -> Result<T, String> + Send + 'static,
        work: impl FnOnce(T) + Send + 'static,
    ) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        let path = self.path();
        let end = self.to_string();
        let body = move || {
            let entered = path
                .as_deref()
                .map_or(Ok(()), |path| enter(path).map_err(|why| format!("cannot enter {end}: {why}")));
            match entered.and_then(|()| open()) {
                Ok(opened) => {
                    // Nobody listens any more if the caller was cancelled: then nothing is sent either.
                    if tell.send(Ok(())).is_ok() {
                        work(opened);
                    }
                }
                Err(why) => drop(tell.send(Err(why))),
            }
        };
        let spawned = std::thread::Builder::new().name("traffic".to_owned()).spawn(body);
        spawned.map_err(|error| Error::Traffic { why: error.to_string() })?;
        let opened = told.await.unwrap_or_else(|_| Err("the thread that was to send has ended".to_owned()));
        opened.map_err(|why| Error::Traffic { why })
    }

    /// Starts a program that lives at this end, and dies with the value returned; within, why it could not be started.
    ///
    /// # Errors
    /// [`Error::Traffic`] where the end cannot be entered.
    pub(crate) async fn spawn(&self, mut command: Command) -> Result<io::Result<Child>, Error> {
        let (give, given) = oneshot::channel();
        let runtime = Handle::current();
        command.kill_on_drop(true);
        // A child has the network namespace of the thread that makes it.
        let open = move || {
            let _inside = runtime.enter();
            Ok(command.spawn())
        };
        self.run(open, move |child| drop(give.send(child))).await?;
        given
            .await
            .map_err(|_| Error::Traffic { why: "the thread that was to start it has ended".to_owned() })
    }
}

fn enter(path: &Path) -> Result<(), String> {
    let namespace = std::fs::File::open(path).map_err(|error| error.to_string())?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_namespaces_processes_or_here() {
        assert_eq!("vm0".parse(), Ok(End::Namespace("vm0".into())));
        assert_eq!("netns:here".parse(), Ok(End::Namespace("here".into())));
        assert_eq!("pid:17".parse(), Ok(End::Process(17)));
        assert_eq!("here".parse(), Ok(End::Here));
        for wrong in ["", "pid:x", "../etc", "netns:"] {
            assert!(wrong.parse::<End>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn an_end_that_is_not_there_is_named() {
        let end = End::Namespace("no-such-namespace".into());
        let error = end.run(|| Ok(()), |()| ()).await.unwrap_err();
        assert!(error.to_string().contains("cannot enter network namespace no-such-namespace"), "{error}");
    }
}
