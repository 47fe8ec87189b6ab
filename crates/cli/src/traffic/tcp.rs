//! A TCP stream, and an end that sends it back: conntrack offloads what ping does not show.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{End, INTERVAL, Plan, Shared};
use crate::error::Error;

/// How long a connection may take to come about.
const LIMIT: Duration = Duration::from_secs(30);
/// A piece of the stream, in bytes: a packet each.
const PIECE: usize = 1000;

/// Sends back whatever comes to the port.
pub(super) async fn serve(at: &End, address: IpAddr, port: u16, shared: Arc<Shared>) -> Result<(), Error> {
    let open = move || {
        let listener = TcpListener::bind(SocketAddr::new(address, port));
        let ready = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        ready.map_err(|error| format!("cannot listen on {address} port {port}: {error}"))
    };
    at.run(open, move |listener| {
        while !shared.is_stopped() {
            match listener.accept() {
                Ok((stream, _)) => echo(stream, &shared),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(INTERVAL),
                Err(error) => return shared.fail(format!("cannot listen on {address} port {port}: {error}")),
            }
        }
    })
    .await
}

fn echo(mut stream: TcpStream, shared: &Shared) {
    let mut buffer = [0; 4096];
    // A stream that breaks is noticed where it is sent.
    if stream.set_nonblocking(false).is_err() || stream.set_read_timeout(Some(INTERVAL)).is_err() {
        return;
    }
    while !shared.is_stopped() {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if stream.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Begins to send a stream.
pub(super) async fn stream(plan: &Plan, port: u16, shared: Arc<Shared>) -> Result<(), Error> {
    let to = SocketAddr::new(plan.to, port);
    let open = move || {
        let connected = TcpStream::connect_timeout(&to, LIMIT).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_millis(1)))?;
            stream.set_write_timeout(Some(LIMIT))?;
            Ok(stream)
        });
        connected.map_err(|error| format!("cannot connect to {to}: {error}"))
    };
    plan.from
        .run(open, move |mut stream| {
            let (mut buffer, mut bytes) = ([0; 4096], 0u64);
            let mut next = Instant::now();
            while !shared.is_stopped() {
                if let Err(error) = stream.write_all(&[0; PIECE]) {
                    return shared.fail(format!("the stream to {to} broke: {error}"));
                }
                shared.sent.fetch_add(1, Ordering::Relaxed);
                next += INTERVAL;
                while Instant::now() < next {
                    match stream.read(&mut buffer) {
                        Ok(0) => return shared.fail(format!("{to} closed the stream")),
                        Ok(length) => {
                            bytes += u64::try_from(length).unwrap_or(0);
                            shared.received.store(bytes / 1000, Ordering::Relaxed);
                        }
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        }
                        Err(error) => return shared.fail(format!("the stream to {to} broke: {error}")),
                    }
                }
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{RealTraffic, Traffic as _};

    /// A port that nobody has; taken again at once, it may be somebody else's by then, once in a blue moon.
    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn a_stream_comes_back() {
        let plan = Plan {
            from: End::Here,
            to: "127.0.0.1".parse().unwrap(),
            tcp: Some(free_port()),
            sink: Some(End::Here),
        };
        let mut flowing = RealTraffic.start(Some(&plan)).await.unwrap();
        let progress = flowing.flow_for(Duration::from_millis(600)).await.unwrap();
        assert!(progress.sent >= 3 && progress.received >= 1, "{progress:?}");
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_named() {
        let port = free_port();
        let plan = Plan { from: End::Here, to: "127.0.0.1".parse().unwrap(), tcp: Some(port), sink: None };
        let error = RealTraffic.start(Some(&plan)).await.err().unwrap().to_string();
        assert!(error.contains(&format!("cannot connect to 127.0.0.1:{port}: ")), "{error}");
    }
}
