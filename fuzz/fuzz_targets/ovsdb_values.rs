//! Values: our reader and serde's agree, what is read is written and read again, and an update that cannot be applied
//! leaves no trace.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use vdpa_ovs::{
    ovsdb::{AnyTable, Column, Table, Uuid, Value, json::Cursor},
    row,
};

row! {
    struct Everything in "T" {
        integer: i64 = "i",
        real: Option<f64> = "r",
        boolean: bool = "b",
        texts: BTreeSet<String> = "t",
        refs: BTreeSet<Uuid> = "u",
        map: BTreeMap<String, i64> = "m",
    }
}

fn all<T>(bytes: &[u8], read: impl FnOnce(&mut Cursor<'_>) -> Result<T, vdpa_ovs::ovsdb::json::JsonError>) -> Option<T> {
    let mut cursor = Cursor::new(bytes);
    let value = read(&mut cursor).ok()?;
    cursor.end().ok().map(|()| value)
}

fn round<T: Column + std::fmt::Debug>(bytes: &[u8]) {
    if let Some(value) = all(bytes, T::read) {
        // A NUL in text is read and not sent.
        let Ok(text) = serde_json::to_vec(&value.to_value()) else { return };
        assert_eq!(all(&text, T::read), Some(value));
    }
}

fuzz_target!(|bytes: &[u8]| {
    // What serde takes, ours takes and takes for the same; and it passes over all JSON there is.
    if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        all(bytes, |cursor| cursor.skip()).expect("sound JSON can be passed over");
    }
    let ours = all(bytes, Value::read);
    if let (Some(ours), Ok(serde)) = (&ours, serde_json::from_slice::<Value>(bytes)) {
        assert_eq!(*ours, serde);
    }
    if let Some(value) = ours
        && let Ok(text) = serde_json::to_vec(&value)
    {
        assert_eq!(all(&text, Value::read), Some(value));
    }
    round::<i64>(bytes);
    round::<Option<f64>>(bytes);
    round::<bool>(bytes);
    round::<BTreeSet<String>>(bytes);
    round::<BTreeSet<Uuid>>(bytes);
    round::<BTreeMap<String, i64>>(bytes);

    let uuid = "7b316e1d-d832-45ef-a03d-6a1212d7d15d";
    let first = format!(r#"{{"{uuid}":{{"insert":{{"i":1,"t":["set",["a"]],"m":["map",[["a",1]]]}}}}}}"#);
    let mut table = Table::<Everything>::default();
    let mut record = table.recorder();
    table.update(&mut Cursor::new(first.as_bytes()), &mut *record).expect("a sound update");
    let before = table.clone();
    let mut record = table.recorder();
    // Whether it can be applied or not, what it did is recorded.
    let _ = table.update(&mut Cursor::new(bytes), &mut *record);
    let mut difference = table.recorder();
    table.since(&before, &mut *difference);
    assert!(difference.is_empty() || !record.is_empty(), "a change was not recorded");
    record.revert(&mut table);
    let mut rest = table.recorder();
    table.since(&before, &mut *rest);
    assert!(rest.is_empty(), "an update was not taken back");
});
