//! Calls: a method, its parameters, a time limit.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jsonrpsee_core::{
    client::{Client, ClientBuilder, ClientT, Error as ClientError},
    traits::ToRpcParams,
};
use serde::{
    Serialize,
    ser::{SerializeSeq, Serializer},
};
use serde_json::value::{RawValue, to_raw_value};
use tokio::net::UnixStream;

use super::{
    result::{self, OperationResult},
    transport::{self, TransportError},
    txn::Transaction,
};
use crate::Error;

/// jsonrpsee's own limit on a call. Ours are shorter and per call; this one only has to be out of their way.
const NEVER: Duration = Duration::from_hours(24);

/// A connection to an OVSDB server.
///
/// Any number of calls can be in flight; each ends by its reply, by its limit or by the end of the connection.
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct Rpc {
    client: Client,
    socket: PathBuf,
}

impl Rpc {
    /// Connects to the Unix socket of a server. Needs write permission on the socket.
    pub async fn connect(socket: &Path, limit: Duration) -> Result<Self, Error> {
        match tokio::time::timeout(limit, UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => Ok(Self::over(stream, socket)),
            Ok(Err(source)) => Err(connect_error(socket, source)),
            Err(_) => Err(Error::Timeout { socket: socket.to_owned(), during: "connect".to_owned(), limit }),
        }
    }

    /// Takes over a connected stream; `socket` is its name in errors. Has to be called within a tokio runtime.
    pub fn over(stream: UnixStream, socket: &Path) -> Self {
        let (sender, receiver) = transport::split(stream);
        let client = ClientBuilder::default().request_timeout(NEVER).build_with_tokio(sender, receiver);
        Self { client, socket: socket.to_owned() }
    }

    /// Whether the connection still stands, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Calls a method and gives the result as JSON. `params` must serialize to an array: the server drops the
    /// connection on anything else.
    pub async fn call(
        &self,
        method: &str,
        params: &impl Serialize,
        limit: Duration,
    ) -> Result<Box<RawValue>, Error> {
        let params = to_raw_value(params)
            .map_err(|error| Error::Protocol { during: method.to_owned(), text: error.to_string() })?;
        if !params.get().starts_with('[') {
            let text = "parameters have to be an array".to_owned();
            return Err(Error::Protocol { during: method.to_owned(), text });
        }
        match tokio::time::timeout(limit, self.client.request(method, Params(params))).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(self.call_error(method, error)),
            Err(_) => Err(Error::Timeout { socket: self.socket.clone(), during: method.to_owned(), limit }),
        }
    }

    /// Runs a transaction; gives one result an operation.
    pub async fn transact(&self, txn: &Transaction, limit: Duration) -> Result<Vec<OperationResult>, Error> {
        let reply = self.call("transact", &TransactParams(txn), limit).await?;
        result::read(txn.operations(), reply.get())
    }

    fn call_error(&self, method: &str, error: ClientError) -> Error {
        let protocol = |text: String| Error::Protocol { during: method.to_owned(), text };
        let disconnected = |reason: String| Error::Disconnected {
            socket: self.socket.clone(),
            during: method.to_owned(),
            reason,
        };
        match error {
            ClientError::Call(error) => {
                let text =
                    error.data().map_or_else(|| error.message().to_owned(), |data| data.get().to_owned());
                let error = serde_json::from_str(&text).unwrap_or(text);
                Error::Rpc { method: method.to_owned(), error }
            }
            ClientError::RestartNeeded(error) => match &*error {
                ClientError::Transport(error) => match error.downcast_ref() {
                    Some(TransportError::Frame(error)) => protocol(error.to_string()),
                    Some(TransportError::Message(text)) => protocol(text.clone()),
                    _ => disconnected(error.to_string()),
                },
                error => disconnected(error.to_string()),
            },
            ClientError::Transport(error) => disconnected(error.to_string()),
            ClientError::ServiceDisconnect => disconnected("the connection is closed".to_owned()),
            error => protocol(error.to_string()),
        }
    }
}

/// Tells a socket that nobody serves from one that this user may not use.
pub(crate) fn connect_error(socket: &Path, source: io::Error) -> Error {
    let socket = socket.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { socket, source },
        _ => Error::Connect { socket, source },
    }
}

/// Parameters that are JSON already.
struct Params(Box<RawValue>);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

/// The database's name and the operations, in one array.
struct TransactParams<'a>(&'a Transaction);

impl Serialize for TransactParams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let operations = self.0.operations();
        let mut array = serializer.serialize_seq(Some(1 + operations.len()))?;
        array.serialize_element(self.0.database())?;
        for operation in operations {
            array.serialize_element(operation)?;
        }
        array.end()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::ovsdb::frame::Splitter;

    const LIMIT: Duration = Duration::from_secs(10);

    /// The server's end of a connection, played by the test.
    struct Server {
        stream: UnixStream,
        splitter: Splitter,
    }

    impl Server {
        async fn read(&mut self) -> serde_json::Value {
            loop {
                if let Some(frame) = self.splitter.pop() {
                    return serde_json::from_slice(&frame).unwrap();
                }
                let mut chunk = [0; 4096];
                let read = tokio::time::timeout(LIMIT, self.stream.read(&mut chunk)).await;
                let length = read.expect("the client says nothing").unwrap();
                assert_ne!(length, 0, "the client hung up");
                self.splitter.feed(&chunk[..length]).unwrap();
            }
        }

        async fn say(&mut self, text: &str) {
            self.stream.write_all(text.as_bytes()).await.unwrap();
        }
    }

    fn pair() -> (Rpc, Server) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = Server { stream: theirs, splitter: Splitter::default() };
        (Rpc::over(ours, Path::new("db.sock")), server)
    }

    #[tokio::test]
    async fn a_call_has_the_members_of_json_rpc_1_and_no_other() {
        let (rpc, mut server) = pair();
        let serve = async {
            let call = server.read().await;
            let members: Vec<_> = call.as_object().unwrap().keys().cloned().collect();
            assert_eq!(members, ["id", "method", "params"]);
            server.say(&format!(r#"{{"id":{},"result":["Open_vSwitch"],"error":null}}"#, call["id"])).await;
        };
        let (result, ()) = tokio::join!(rpc.call("list_dbs", &[(); 0], LIMIT), serve);
        assert_eq!(result.unwrap().get(), r#"["Open_vSwitch"]"#);
    }

    #[tokio::test]
    async fn an_echo_of_the_server_is_answered_also_while_a_call_waits() {
        let (rpc, mut server) = pair();
        let serve = async {
            let call = server.read().await;
            server.say(r#"{"id":"echo","method":"echo","params":["a",{"b":1}]}"#).await;
            let answer = server.read().await;
            assert_eq!(answer, serde_json::json!({"id": "echo", "result": ["a", {"b": 1}], "error": null}));
            server.say(&format!(r#"{{"id":{},"result":[]}}"#, call["id"])).await;
        };
        let (result, ()) = tokio::join!(rpc.call("list_dbs", &[(); 0], LIMIT), serve);
        assert_eq!(result.unwrap().get(), "[]");
    }

    #[tokio::test]
    async fn replies_may_come_coalesced_and_out_of_order() {
        let (rpc, mut server) = pair();
        let serve = async {
            let first = server.read().await;
            let second = server.read().await;
            let replies = [(&second, "second"), (&first, "first")].map(|(call, text)| {
                format!(r#"{{"id":{},"result":["{text}}}{{\""],"error":null}}"#, call["id"])
            });
            server.say(&replies.concat()).await;
        };
        let calls = async { tokio::join!(rpc.call("a", &[(); 0], LIMIT), rpc.call("b", &[(); 0], LIMIT)) };
        let ((first, second), ()) = tokio::join!(calls, serve);
        assert_eq!(first.unwrap().get(), r#"["first}{\""]"#);
        assert_eq!(second.unwrap().get(), r#"["second}{\""]"#);
    }

    #[tokio::test]
    async fn replies_to_no_call_and_notifications_nobody_asked_for_do_no_harm() {
        let (rpc, mut server) = pair();
        let serve = async {
            let call = server.read().await;
            let id = &call["id"];
            server.say(r#"{"id":4711,"result":[]}{"id":null,"result":[]}{"id":"x","error":"e"}"#).await;
            server.say(r#"{"id":null,"method":"update","params":[null,{}]}"#).await;
            server.say(&format!(r#"{{"id":{id},"result":1}}{{"id":{id},"result":2}}"#)).await;
            let call = server.read().await;
            server.say(&format!(r#"{{"id":{},"result":3}}"#, call["id"])).await;
        };
        let calls = async {
            (rpc.call("a", &[(); 0], LIMIT).await.unwrap(), rpc.call("b", &[(); 0], LIMIT).await.unwrap())
        };
        let ((first, second), ()) = tokio::join!(calls, serve);
        assert_eq!((first.get(), second.get()), ("1", "3"));
    }

    #[tokio::test]
    async fn an_error_is_taken_as_text_and_as_an_object() {
        let (rpc, mut server) = pair();
        let serve = async {
            let call = server.read().await;
            server.say(&format!(r#"{{"id":{},"error":"unknown method"}}"#, call["id"])).await;
            let call = server.read().await;
            let error = r#"{"error":"unknown database","details":"x"}"#;
            server.say(&format!(r#"{{"id":{},"result":null,"error":{error}}}"#, call["id"])).await;
        };
        let calls = async { (rpc.call("a", &[(); 0], LIMIT).await, rpc.call("b", &[(); 0], LIMIT).await) };
        let ((first, second), ()) = tokio::join!(calls, serve);
        assert_eq!(first.unwrap_err().to_string(), "the server refused a: unknown method");
        assert_eq!(
            second.unwrap_err().to_string(),
            r#"the server refused b: {"error":"unknown database","details":"x"}"#
        );
    }

    #[tokio::test]
    async fn a_connection_that_ends_leaves_the_outcome_unknown() {
        let (rpc, mut server) = pair();
        let serve = async move {
            server.read().await;
            drop(server);
        };
        let (result, ()) = tokio::join!(rpc.call("transact", &[(); 0], LIMIT), serve);
        let error = result.unwrap_err();
        assert!(error.outcome_unknown(), "{error:?}");
        assert_eq!(
            error.to_string(),
            "lost the connection to db.sock during transact: the server closed the connection"
        );
        assert!(!rpc.is_connected());
        let again = rpc.call("transact", &[(); 0], LIMIT).await.unwrap_err();
        assert!(matches!(again, Error::Disconnected { .. }), "{again:?}");
    }

    #[tokio::test]
    async fn a_late_reply_harms_no_later_call() {
        let (rpc, mut server) = pair();
        let short = rpc.call("slow", &[(); 0], Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(short, Error::Timeout { .. }), "{short:?}");
        let serve = async {
            let (slow, quick) = (server.read().await, server.read().await);
            server
                .say(&format!(r#"{{"id":{},"result":1}}{{"id":{},"result":2}}"#, slow["id"], quick["id"]))
                .await;
        };
        let (result, ()) = tokio::join!(rpc.call("quick", &[(); 0], LIMIT), serve);
        assert_eq!(result.unwrap().get(), "2");
    }

    #[tokio::test]
    async fn garbage_is_named_as_such() {
        let (rpc, mut server) = pair();
        let serve = async {
            server.read().await;
            server.say("HTTP/1.1 400 Bad Request\r\n").await;
        };
        let (result, ()) = tokio::join!(rpc.call("list_dbs", &[(); 0], LIMIT), serve);
        assert_eq!(
            result.unwrap_err().to_string(),
            "unexpected answer to list_dbs: byte 0x48 where a JSON object should begin"
        );
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let error = Rpc::connect(Path::new("/nonexistent/db.sock"), LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert_eq!(error.to_string(), "cannot connect to /nonexistent/db.sock");
    }

    #[test]
    fn a_socket_one_may_not_use_is_told_from_one_nobody_serves() {
        let error = connect_error(Path::new("db.sock"), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert_eq!(error.to_string(), "no permission to connect to db.sock");
        let error = connect_error(Path::new("db.sock"), io::ErrorKind::ConnectionRefused.into());
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn parameters_that_are_no_array_are_never_sent() {
        let (rpc, _server) = pair();
        let error = rpc.call("list_dbs", &serde_json::json!({}), LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    }
}
