//! `docs/outcome.schema.json` is what programs are promised: documents of every command are held against it.

mod common;

use common::command::{Simulated, run, vdpa};
use serde_json::Value;

/// What of `value` is not as `schema` has it: the words of JSON Schema that the file uses, and no other.
fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in schema.as_object().unwrap().keys() {
        let known = ["$schema", "title", "description", "type", "required", "properties", "items", "enum"];
        assert!(known.contains(&word.as_str()), "{at}: this test does not know `{word}`");
    }
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("{at}: no type is {other}"),
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) if kinds.iter().any(is) => {}
        kind @ Value::String(_) if is(kind) => {}
        kind => found.push(format!("{at} is {value} and not of type {kind}")),
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|_| !value.is_null())
        && !allowed.contains(value)
    {
        found.push(format!("{at} is {value}"));
    }
    if let Some(object) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten();
        let missing = required.filter(|name| !object.contains_key(name.as_str().unwrap()));
        found.extend(missing.map(|name| format!("{at} has no {name}")));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = object.get(name) {
                found.extend(violations(schema, value, &format!("{at}.{name}")));
            }
        }
    }
    if let (Some(values), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, value) in values.iter().enumerate() {
            found.extend(violations(schema, value, &format!("{at}[{index}]")));
        }
    }
    found
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/outcome.schema.json")).unwrap()
}

#[track_caller]
fn holds(document: &Value) {
    assert_eq!(violations(&schema(), document, "document"), Vec::<String>::new(), "{document:#}");
}

#[test]
fn documents_of_every_command_are_as_promised() {
    let host = Simulated::new();
    for (arguments, code) in [
        (&["plan"][..], 0),
        (&["plan", "--detailed-exitcode"], 10),
        (&["setup", "--fail-at", "14"], 1),
        (&["setup"], 0),
        (&["setup"], 0),
        (&["status"], 0),
        (&["topology"], 0),
        (&["stats"], 0),
        (&["verify"], 0),
        (&["firmware", "show"], 0),
        (&["vm", "list"], 0),
        (&["service", "install", "--dry-run"], 0),
        (&["teardown"], 0),
        (&["setup", "--config", "/nonexistent"], 2),
        (&["setup", "--pci", "ffff:ff:1f.7", "--vfs", "1"], 2),
    ] {
        let (said, document) = host.json(arguments);
        said.exits(code);
        holds(&document);
    }
    let (_, document) = host.json(&["doctor"]);
    holds(&document);
    holds(&run(&mut vdpa(&["no-such-command", "--json"])).exits(2).document());
}

#[test]
fn what_is_not_as_promised_is_found() {
    let host = Simulated::new();
    let (_, mut document) = host.json(&["plan"]);
    document["exit_code"] = 7.into();
    document["statements"][0]["holds"] = "yes".into();
    document.as_object_mut().unwrap().remove("notes");
    let found = violations(&schema(), &document, "document");
    assert_eq!(
        found,
        [
            "document has no \"notes\"",
            "document.exit_code is 7",
            "document.statements[0].holds is \"yes\" and not of type \"boolean\"",
        ]
    );
}
