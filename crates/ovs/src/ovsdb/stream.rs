//! Connections: a Unix socket, TCP, TLS over it.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{remote::Remote, tls::Tls};
use crate::Error;

/// A connection's two directions.
pub(super) struct Stream {
    pub(super) input: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) output: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Stream {
    /// Connects; `limit` is for all of it, the names' look-up and TLS's handshake too.
    pub(super) async fn connect(remote: &Remote, tls: Option<&Tls>, limit: Duration) -> Result<Self, Error> {
        match tokio::time::timeout(limit, connect(remote, tls)).await {
            Ok(stream) => stream,
            Err(_) => Err(Error::Timeout { remote: remote.clone(), during: "connect".to_owned(), limit }),
        }
    }

    /// A connected Unix socket.
    pub(super) fn unix(stream: UnixStream) -> Self {
        let (input, output) = stream.into_split();
        Self { input: Box::new(input), output: Box::new(output) }
    }
}

async fn connect(remote: &Remote, tls: Option<&Tls>) -> Result<Stream, Error> {
    let failed = |source| connect_error(remote.clone(), source);
    match remote {
        Remote::Unix(path) => Ok(Stream::unix(UnixStream::connect(path).await.map_err(failed)?)),
        Remote::Tcp(host) => {
            let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(failed)?;
            // Every message is written at once, so there is nothing to gather and everything to lose.
            stream.set_nodelay(true).map_err(failed)?;
            let (input, output) = stream.into_split();
            Ok(Stream { input: Box::new(input), output: Box::new(output) })
        }
        Remote::Ssl(host) => {
            let Some(tls) = tls else {
                return Err(Error::Tls { remote: remote.clone(), text: Tls::MISSING.to_owned() });
            };
            let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            tls.over(stream, host, remote).await
        }
    }
}

pub(crate) fn connect_error(remote: Remote, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::PermissionDenied {
        Error::PermissionDenied { remote, source }
    } else {
        Error::Connect { remote, source }
    }
}
