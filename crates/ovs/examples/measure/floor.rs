//! What no client can beat: the same transactions, their texts made before, and the wait for ovs-vswitchd.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Instant,
};

use serde_json::{Value, json};
use vdpa_ovs::{PortKey, PortName, ovsdb::frame::Splitter};

use crate::{Failure, report::ms};

/// The texts.
pub(crate) struct Floor {
    present: String,
    absent: String,
}

/// How long it took, in ms.
pub(crate) struct Took {
    /// Until ovsdb-server had committed.
    pub(crate) committed: f64,
    /// Until ovs-vswitchd had applied it too.
    pub(crate) applied: f64,
}

impl Floor {
    /// The texts for a bridge with these ports.
    pub(crate) fn new(ports: &[(PortKey, PortName)]) -> Self {
        let mut operations = Vec::new();
        let mut uuids = Vec::new();
        let mut port = |name: &str, kind: &str, ids: Value| {
            let (interface, uuid) = (format!("i{}", uuids.len()), format!("p{}", uuids.len()));
            let row = json!({ "name": name, "type": kind, "external_ids": ids });
            operations
                .push(json!({ "op": "insert", "table": "Interface", "row": row, "uuid-name": interface }));
            let row = json!({ "name": name, "interfaces": ["named-uuid", interface], "external_ids": ids });
            operations.push(json!({ "op": "insert", "table": "Port", "row": row, "uuid-name": uuid }));
            uuids.push(json!(["named-uuid", uuid]));
        };
        port("ovs-sriov", "internal", json!(["map", []]));
        for (key, name) in ports {
            let ids = json!(["map", [["vdpa-owner", "vdpa"], ["vdpa-port", key.to_string()]]]);
            port(name.as_str(), "", ids);
        }
        let ids = json!(["map", [["vdpa-owner", "vdpa"]]]);
        let row = json!({ "name": "ovs-sriov", "ports": ["set", uuids], "external_ids": ids });
        operations.push(json!({ "op": "insert", "table": "Bridge", "row": row, "uuid-name": "b" }));
        Self {
            present: transact(operations, &json!(["named-uuid", "b"])),
            absent: transact(Vec::new(), &json!(["set", []])),
        }
    }

    /// A new connection, the bridge with its ports, and the wait.
    pub(crate) fn add(&self, socket: &Path) -> Result<Took, Failure> {
        run(&self.present, socket)
    }

    /// The same for its deletion.
    pub(crate) fn delete(&self, socket: &Path) -> Result<Took, Failure> {
        run(&self.absent, socket)
    }
}

/// A transaction after which these are all the bridges there are.
fn transact(mut operations: Vec<Value>, bridges: &Value) -> String {
    let root = json!({ "op": "update", "table": "Open_vSwitch", "where": [], "row": { "bridges": bridges } });
    let next =
        json!({ "op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]] });
    let read = json!({ "op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"] });
    operations.extend([root, next, read]);
    operations.insert(0, json!("Open_vSwitch"));
    json!({ "id": 1, "method": "transact", "params": operations }).to_string()
}

fn run(text: &str, socket: &Path) -> Result<Took, Failure> {
    let begin = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    let mut splitter = Splitter::default();
    let reply = call(&mut stream, &mut splitter, text)?;
    let next = reply["result"].as_array().and_then(|results| results.last()?["rows"][0]["next_cfg"].as_i64());
    let next = next.ok_or_else(|| format!("not committed: {reply}"))?;
    let committed = ms(begin.elapsed());
    let until = json!([["cur_cfg", "<", next]]);
    let wait = json!({ "op": "wait", "timeout": 60_000, "table": "Open_vSwitch", "where": until,
                       "columns": ["cur_cfg"], "until": "==", "rows": [] });
    let wait = json!({ "id": 2, "method": "transact", "params": ["Open_vSwitch", wait] }).to_string();
    let reply = call(&mut stream, &mut splitter, &wait)?;
    if reply["result"][0] != json!({}) {
        return Err(format!("not applied: {reply}").into());
    }
    Ok(Took { committed, applied: ms(begin.elapsed()) })
}

fn call(stream: &mut UnixStream, splitter: &mut Splitter, text: &str) -> Result<Value, Failure> {
    stream.write_all(text.as_bytes())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(frame) = splitter.frame()? {
            return Ok(serde_json::from_slice(&frame.text)?);
        }
        match stream.read(&mut buffer)? {
            0 => return Err("the server closed the connection".into()),
            length => splitter.feed(&buffer[..length]),
        }
    }
}
