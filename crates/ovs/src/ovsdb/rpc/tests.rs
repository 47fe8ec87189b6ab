//! Against a server played by the test, which says what no real one does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ovsdb::{frame::Splitter, stream::connect_error};

const LIMIT: Duration = Duration::from_mins(1);

/// The server's end of a connection, played by the test.
struct Server {
    stream: UnixStream,
    splitter: Splitter,
}

impl Server {
    async fn read(&mut self) -> serde_json::Value {
        loop {
            if let Some(frame) = self.splitter.frame().unwrap() {
                return serde_json::from_slice(&frame.text).unwrap();
            }
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(LIMIT, self.stream.read(&mut chunk)).await;
            let length = read.expect("the client says nothing").unwrap();
            assert_ne!(length, 0, "the client hung up");
            self.splitter.feed(&chunk[..length]);
        }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }
}

fn remote(text: &str) -> Remote {
    text.parse().unwrap()
}

fn pair() -> (Rpc, Server) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = Server { stream: theirs, splitter: Splitter::default() };
    (Rpc::over(ours, remote("/db.sock")), server)
}

#[tokio::test]
async fn a_call_has_the_members_of_json_rpc_1_and_no_other() {
    let (rpc, mut server) = pair();
    let serve = async {
        let call = server.read().await;
        let members: Vec<_> = call.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["method", "params", "id"]);
        server.say(&format!(r#"{{"id":{},"result":["Open_vSwitch"],"error":null}}"#, call["id"])).await;
    };
    let (result, ()) = tokio::join!(rpc.call("list_dbs", &[(); 0], LIMIT), serve);
    assert_eq!(result.unwrap(), r#"["Open_vSwitch"]"#);
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
    assert_eq!(result.unwrap(), "[]");
}

#[tokio::test]
async fn replies_may_come_coalesced_and_out_of_order() {
    let (rpc, mut server) = pair();
    let serve = async {
        let first = server.read().await;
        let second = server.read().await;
        let replies = [(&second, "second"), (&first, "first")]
            .map(|(call, text)| format!(r#"{{"id":{},"result":["{text}}}{{\""],"error":null}}"#, call["id"]));
        server.say(&replies.concat()).await;
    };
    let calls = async { tokio::join!(rpc.call("a", &[(); 0], LIMIT), rpc.call("b", &[(); 0], LIMIT)) };
    let ((first, second), ()) = tokio::join!(calls, serve);
    assert_eq!(first.unwrap(), r#"["first}{\""]"#);
    assert_eq!(second.unwrap(), r#"["second}{\""]"#);
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
    assert_eq!((&*first, &*second), (&b"1"[..], &b"3"[..]));
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
    assert_eq!(second.unwrap_err().to_string(), "the server refused b: unknown database: x");
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
        "lost the connection to unix:/db.sock during transact: the server closed the connection"
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
        let (slow, cancel, quick) = (server.read().await, server.read().await, server.read().await);
        assert_eq!(cancel, serde_json::json!({"method": "cancel", "params": [slow["id"]], "id": null}));
        server
            .say(&format!(r#"{{"id":{},"result":1}}{{"id":{},"result":2}}"#, slow["id"], quick["id"]))
            .await;
    };
    let (result, ()) = tokio::join!(rpc.call("quick", &[(); 0], LIMIT), serve);
    assert_eq!(result.unwrap(), "2");
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
    let error = Rpc::connect(&remote("/nonexistent/db.sock"), None, LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(error.to_string(), "cannot connect to unix:/nonexistent/db.sock");
}

#[test]
fn a_socket_one_may_not_use_is_told_from_one_nobody_serves() {
    let error = connect_error(remote("/db.sock"), std::io::ErrorKind::PermissionDenied.into());
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    assert_eq!(error.to_string(), "no permission to connect to unix:/db.sock");
    let error = connect_error(remote("/db.sock"), std::io::ErrorKind::ConnectionRefused.into());
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn parameters_that_are_no_array_are_never_sent() {
    let (rpc, _server) = pair();
    let error = rpc.call("list_dbs", &serde_json::json!({}), LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}
