//! `vdpa bench` with what was kept of measurements: read, compared, drawn. Measuring is the daemon tier's.

mod common;

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use common::command::{Said, Simulated, run, vdpa};
use serde_json::{Value, json};

/// A directory with records.
struct Kept {
    directory: tempfile::TempDir,
}

/// A record of two measurements.
fn record(gbits: [f64; 2], through: [&str; 2]) -> Value {
    let run = |streams: u16, gbits: f64, through: &str| {
        let way = json!({ "bits_per_second": gbits * 1e9, "bytes": 1, "retransmits": 3, "datagrams": null, "streams": [] });
        let leg = json!({ "from": "rep0", "to": ["up\u{1b}[2J"], "offloaded": through == "hardware", "hardware_bytes": 0,
                          "software_bytes": 12_345_678, "why": "it is off", "remedy": "switch it on" });
        json!({
            "case": { "kind": "tcp", "direction": "forward", "streams": streams },
            "result": { "throughput": { "version": "iperf 3.12", "forward": way, "reverse": null,
                                        "cpu": { "client": 1.0, "server": 1.0 } } },
            "path": { "through": through, "why": null, "legs": [leg] },
        })
    };
    json!({
        "format": 1,
        "taken": { "host": "cx6-1", "at": 1_700_000_000, "by": "vdpa 0.1.0", "simulated": false },
        "facts": { "kernel": "6.12", "cpu": null, "cpus": 8, "ovs": "3.5.0", "hw_offload": "true", "cards": [] },
        "asked": { "from": "network namespace vm0", "to": "10.0.0.2", "sink": null, "seconds": 10 },
        "runs": [run(1, gbits[0], through[0]), run(8, gbits[1], through[1])],
    })
}

impl Kept {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn keep(&self, name: &str, record: &Value) {
        std::fs::write(self.path(name), record.to_string()).unwrap();
    }

    fn bench(&self, arguments: &[&str]) -> Said {
        run(vdpa(&[&["bench"], arguments].concat()).current_dir(self.directory.path()))
    }
}

#[test]
fn a_record_is_shown_with_which_way_it_went() {
    let kept = Kept::new();
    kept.keep("now.json", &record([23.4, 93.8], ["hardware", "software"]));
    let said = kept.bench(&["--read", "now.json"]).exits(0);
    for line in [
        "✓ TCP forward, 1 stream               23.4 Gbit/s  through hardware",
        "✗ TCP forward, 8 streams              93.8 Gbit/s  NOT through hardware",
        "rep0 → up\u{fffd}[2J: 0.0 MB in hardware, 12.3 MB in software",
        "why: it is off",
        "to do: switch it on",
    ] {
        assert!(said.out.contains(line), "{line}: {said}");
    }
    assert!(said.err.contains("warning: traffic did not go through hardware: 1 of 2 measurements"), "{said}");
    let said = kept.bench(&["--read", "now.json", "--require-hardware", "--json"]).exits(1);
    assert_eq!(said.document()["outcome"], "not-offloaded");
    kept.keep("good.json", &record([23.4, 93.8], ["hardware", "hardware"]));
    let said = kept.bench(&["--read", "good.json", "--require-hardware"]).exits(0);
    assert!(said.out.ends_with("through hardware: 2 measurements\n") && said.err.is_empty(), "{said}");
}

#[test]
fn two_records_are_compared_and_drawn() {
    let kept = Kept::new();
    kept.keep("now.json", &record([23.4, 80.0], ["hardware", "software"]));
    kept.keep("then.json", &record([23.4, 100.0], ["hardware", "hardware"]));
    let both = ["--read", "now.json", "--compare", "then.json"];
    let said = kept.bench(&both).exits(1);
    for line in [
        "× 1.000",
        "× 0.800",
        "1 figure worse by more than 10 %",
        "through hardware then, NOT through hardware now",
    ] {
        assert!(said.out.contains(line), "{line}: {said}");
    }
    let document = kept.bench(&[&both[..], &["--json"]].concat()).exits(1).document();
    assert_eq!(
        (&document["outcome"], &document["comparison"]["figures"][1]["worse"]),
        (&"worse".into(), &true.into())
    );
    let said = kept.bench(&[&both[..], &["--threshold", "25", "--plot", "made/plot.svg"]].concat()).exits(0);
    assert!(said.out.contains("drawn in made/plot.svg"), "{said}");
    let picture = std::fs::read_to_string(kept.path("made/plot.svg")).unwrap();
    roxmltree::Document::parse(&picture).unwrap();
    assert!(picture.contains("23.4 Gbit/s") && picture.contains("class=\"earlier\""), "{picture}");

    let mut other = record([1.0, 1.0], ["hardware", "hardware"]);
    other["runs"] = json!([]);
    kept.keep("empty.json", &other);
    let said = kept.bench(&["--read", "now.json", "--compare", "empty.json", "--json"]).exits(1);
    assert_eq!(said.document()["outcome"], "incomparable");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_measured() {
    let kept = Kept::new();
    std::fs::write(kept.path("other.json"), "{}").unwrap();
    kept.bench(&["--read", "other.json"])
        .exits(2)
        .is_an_error("other.json is no record of `vdpa bench`", "--record FILE");
    kept.bench(&["--read", "none.json"]).exits(2).is_an_error("cannot read none.json", "name a file");
    let compared = ["--from", "here", "--to", "127.0.0.1", "--compare", "other.json"];
    kept.bench(&compared).exits(2).is_an_error("other.json is no record", "--record FILE");
    kept.keep("now.json", &record([1.0, 1.0], ["hardware", "hardware"]));
    let said = kept.bench(&["--read", "now.json", "--plot", "/dev/null"]).exits(1);
    said.is_an_error("cannot write /dev/null", "name a file");
    let kept_nowhere = ["--from", "here", "--to", "127.0.0.1", "--record", "/dev/null"];
    kept.bench(&kept_nowhere).exits(1).is_an_error("cannot write /dev/null", "name a file");
    for wrong in [
        &[][..],
        &["--from", "here"],
        &["--from", "here", "--to", "nowhere"],
        &["--from", "ssh:-oProxyCommand=reboot", "--to", "127.0.0.1"],
        &["--from", "here", "--to", "127.0.0.1", "--ping", "--streams", "2"],
        &["--from", "here", "--to", "127.0.0.1", "--streams", "0"],
        &["--from", "here", "--to", "127.0.0.1", "--udp", "fast"],
        &["--from", "here", "--to", "127.0.0.1", "--threshold", "5"],
        &["--read", "now.json", "--record", "again.json"],
    ] {
        let said = kept.bench(wrong).exits(2);
        assert!(said.err.starts_with("error: "), "{wrong:?}: {said}");
    }
    assert!(Path::new("/dev/null").symlink_metadata().unwrap().file_type().is_char_device());

    let host = Simulated::new();
    let said = host.run(&["bench", "--from", "here", "--to", "127.0.0.1"]).exits(2);
    said.is_an_error("throughput is not of a simulated host", "--simulate");
}
