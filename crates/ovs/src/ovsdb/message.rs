//! What a frame says: a call, a notification, or a reply (JSON-RPC 1.0; RFC 7047, section 4).

use bytes::Bytes;

use super::{
    frame::Frame,
    json::{Cursor, JsonError},
};

/// A message from the peer. The parts are not parsed, save what it takes to know whom they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It wants an answer. The server has one such method, `echo`.
    Call {
        /// The id to answer with, as JSON.
        id: Bytes,
        /// The method.
        method: String,
        /// Its parameters, as JSON.
        params: Bytes,
    },
    /// It wants none.
    Notification {
        /// The method.
        method: String,
        /// Its parameters, as JSON.
        params: Bytes,
    },
    /// The answer to a call.
    Reply {
        /// The call's id; none if it is not a number of ours.
        id: Option<u64>,
        /// The result, or the error if that is not null, as JSON.
        result: Result<Bytes, Bytes>,
    },
}

impl Message {
    /// Reads a frame. Members that are not the protocol's are passed over; one that comes twice is an error, since
    /// readers of JSON differ in which of them counts.
    pub fn read(frame: &Frame) -> Result<Self, JsonError> {
        let (mut id, mut method, mut params, mut result, mut error) = (None, None, None, None, None);
        for member in &frame.members {
            let mut name = Cursor::new(&frame.text[member.name.clone()]);
            let slot = match &*name.string()? {
                "id" => &mut id,
                "method" => &mut method,
                "params" => &mut params,
                "result" => &mut result,
                "error" => &mut error,
                _ => continue,
            };
            name.end()?;
            if slot.replace(frame.text.slice(member.value.clone())).is_some() {
                return Err(name.error("a member comes twice"));
            }
        }
        let present = |part: Option<Bytes>| part.filter(|text| text.trim_ascii() != b"null");
        let (id, error) = (present(id), present(error));
        let Some(method) = present(method) else {
            let id = id.and_then(|id| std::str::from_utf8(id.trim_ascii()).ok()?.parse().ok());
            let result = error.map_or_else(|| Ok(result.unwrap_or(Bytes::from_static(b"null"))), Err);
            return Ok(Self::Reply { id, result });
        };
        let method = Cursor::new(&method).string()?.into_owned();
        let params = params.unwrap_or(Bytes::from_static(b"[]"));
        Ok(match id {
            Some(id) => Self::Call { id, method, params },
            None => Self::Notification { method, params },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::frame::Splitter;

    fn read(text: &str) -> Result<Message, JsonError> {
        let mut splitter = Splitter::default();
        splitter.feed(text.as_bytes());
        Message::read(&splitter.frame().unwrap().unwrap())
    }

    #[test]
    fn messages_are_told_apart() {
        let call = read(r#"{"method":"echo","params":[1],"id":"echo"}"#).unwrap();
        assert!(matches!(call, Message::Call { id, method, params }
            if id == "\"echo\"" && method == "echo" && params == "[1]"));
        let update = read(r#"{"id":null,"method":"update3","params":["m",{}]}"#).unwrap();
        assert!(matches!(update, Message::Notification { method, .. } if method == "update3"));
        let reply = read(r#"{"id": 7,"result":[],"error":null}"#).unwrap();
        assert_eq!(reply, Message::Reply { id: Some(7), result: Ok("[]".into()) });
        // An error reply may leave the result out.
        let refusal = read(r#"{"error":"canceled","id":7}"#).unwrap();
        assert_eq!(refusal, Message::Reply { id: Some(7), result: Err("\"canceled\"".into()) });
        let unknown = read(r#"{"result":1,"id":"x","error":null}"#).unwrap();
        assert_eq!(unknown, Message::Reply { id: None, result: Ok("1".into()) });
    }

    #[test]
    fn a_member_twice_is_an_error() {
        assert!(read(r#"{"id":1,"result":1,"result":2}"#).is_err());
        assert!(read(r#"{"id":1,"id":2,"result":1}"#).is_err());
        assert!(read(r#"{"id":1,"x":1,"x":2,"result":1}"#).is_ok());
        assert!(read(r"{id:1}").is_err());
    }
}
