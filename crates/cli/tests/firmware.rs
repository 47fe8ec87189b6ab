//! Firmware settings in a host file: checked, written with `--firmware`, in force after a reset, and brought back.

mod common;

use common::command::{Said, Simulated, vdpa};
use common::{Bench, alike, pf, snapshot};
use vdpa_cli::plan::Change;
use vdpa_hw::mock::{Fuse, Lasting, SimSetting, When, kernel};

/// Ten VFs on a card whose firmware allows eight, and what they need.
const TEN_VFS: &str = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 10\nfirmware = { NUM_OF_VFS = 16 }\n";
/// Two VFs, which the firmware allows, and another setting.
const DEVX_OFF: &str = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\nfirmware = { UCTX_EN = false }\n";

fn may_write() -> Bench {
    Bench::new().may_write_firmware(true)
}

/// A setting's current and next values.
fn setting(bench: &Bench, name: &str) -> (String, String) {
    let name = name.parse().unwrap();
    let SimSetting { current, next, .. } =
        bench.host.machine.observe(|state| state.nv[&pf()].settings[&name].clone());
    (current.to_string(), next.to_string())
}

fn reset_firmware(bench: &Bench) {
    bench.host.machine.meddle(|state| kernel::reset_firmware(state, pf())).unwrap();
}

fn values(current: &str, next: &str) -> (String, String) {
    (current.to_owned(), next.to_owned())
}

#[tokio::test]
async fn without_leave_to_write_setup_says_what_differs_and_touches_nothing() {
    let bench = Bench::new();
    let before = snapshot(&bench.host);
    let failure = bench.setup(TEN_VFS).await.unwrap_err();
    assert_eq!(failure.error.to_string(), "1 firmware setting is not as the host file says");
    assert_eq!(failure.error.details(), ["NUM_OF_VFS of 0000:43:00.0 at the next boot: 8, and is to be 16"]);
    assert!(failure.hint().unwrap().contains("vdpa setup --firmware"));
    assert!(!bench.has_receipt());
    alike(&before, &snapshot(&bench.host), "afterwards");
}

/// Pitfalls 26 and 28: what was written waits for a reset, which is named and not done.
#[tokio::test]
async fn what_is_written_waits_for_a_reset_and_then_setup_goes_on_and_teardown_brings_it_back() {
    let bench = may_write();
    let before = bench.settled_snapshot().await;
    let written = bench.setup(TEN_VFS).await.unwrap();
    assert!(written.changed && written.statements.iter().all(Change::holds));
    assert_eq!(setting(&bench, "NUM_OF_VFS"), values("8", "16"));
    let waits = "0000:43:00.0 needs a firmware reset (level 3: Driver restart and PCI reset): \
                 `mstfwreset -d 0000:43:00.0 -l 3 -y reset`";
    assert_eq!(written.waits_for, [waits]);

    // Nothing has happened since: there is nothing to write, and the rest still waits.
    let again = bench.setup(TEN_VFS).await.unwrap();
    assert!(!again.changed);
    assert_eq!(again.waits_for, [waits]);
    let pending = "NUM_OF_VFS of 0000:43:00.0 is 8 now and 16 from the next boot on";
    assert!(bench.told.notes().iter().any(|note| note == pending), "{:?}", bench.told.notes());

    reset_firmware(&bench);
    let bench = bench.may_write_firmware(false);
    let done = bench.setup(TEN_VFS).await.unwrap();
    assert!(done.changed && done.waits_for.is_empty());
    assert_eq!(bench.host.machine.observe(|state| state.pf(pf()).unwrap().num_vfs), 10);
    assert!(!bench.setup(TEN_VFS).await.unwrap().changed);

    bench.teardown().await.unwrap();
    assert_eq!(setting(&bench, "NUM_OF_VFS"), values("16", "8"));
    assert!(bench.told.notes().iter().any(|note| note == waits), "teardown says what it takes too");
    reset_firmware(&bench);
    alike(&before, &bench.settled_snapshot().await, "after teardown and another reset");
    assert!(!bench.path().join("firmware.json").exists());
}

#[tokio::test]
async fn what_firmware_was_before_outlives_the_receipt() {
    let bench = may_write();
    bench.setup(TEN_VFS).await.unwrap();
    // A reboot: /run is empty, and the firmware is as it was set.
    std::fs::remove_file(bench.path().join("receipt.json")).unwrap();
    reset_firmware(&bench);
    bench.setup(TEN_VFS).await.unwrap();
    bench.teardown().await.unwrap();
    assert_eq!(setting(&bench, "NUM_OF_VFS"), values("16", "8"));
}

#[tokio::test]
async fn a_failure_while_firmware_is_written_leaves_it_as_it_was() {
    let text = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\nfirmware = { UCTX_EN = false, NUM_OF_VFS = 64 }\n";
    for when in [When::Before, When::After] {
        for lasting in [Lasting::Once, Lasting::SameOperation, Lasting::Everything] {
            let bench = may_write();
            let before = bench.settled_snapshot().await;
            bench.host.machine.set_fuse(Some(Fuse::new(1, when, lasting)));
            let failure = bench.setup(text).await.unwrap_err();
            bench.host.machine.set_fuse(None);
            let complete = failure.restored.as_ref().is_none_or(vdpa_cli::engine::Restored::is_complete);
            let case = format!("{when:?} {lasting:?}");
            if !complete {
                assert!(bench.path().join("firmware.json").exists(), "{case}: what was before is gone");
                bench.teardown().await.unwrap_or_else(|failure| panic!("{case}: {}", failure.error.flat()));
            }
            alike(&before, &bench.settled_snapshot().await, &case);
            assert!(!bench.has_receipt() && !bench.path().join("firmware.json").exists(), "{case}");
        }
    }
}

/// Pitfall 26: what is written beside VFs that are there needs them to go first; they stay for now.
#[tokio::test]
async fn what_an_earlier_setup_made_stays_while_firmware_is_written() {
    let bench = may_write();
    bench.setup("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n").await.unwrap();
    let written = bench.setup(DEVX_OFF).await.unwrap();
    assert_eq!(setting(&bench, "UCTX_EN"), values("True(1)", "False(0)"));
    assert_eq!(bench.host.machine.observe(|state| state.pf(pf()).unwrap().num_vfs), 2);
    assert!(
        written.waits_for[0].contains("the VFs of 0000:43:00.0 have to go (`vdpa teardown`)"),
        "{:?}",
        written.waits_for
    );
    assert!(kernel_refuses_reset(&bench));
    bench.teardown().await.unwrap();
    assert_eq!(setting(&bench, "UCTX_EN"), values("True(1)", "True(1)"));
}

#[tokio::test]
async fn what_was_written_stays_when_the_file_speaks_of_it_no_more_until_teardown() {
    let bench = may_write();
    bench.setup(DEVX_OFF).await.unwrap();
    reset_firmware(&bench);
    let bench = bench.may_write_firmware(false);
    bench.setup(DEVX_OFF).await.unwrap();
    bench.setup("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n").await.unwrap();
    assert_eq!(setting(&bench, "UCTX_EN"), values("False(0)", "False(0)"));
    bench.teardown().await.unwrap();
    assert_eq!(setting(&bench, "UCTX_EN"), values("False(0)", "True(1)"));
}

fn kernel_refuses_reset(bench: &Bench) -> bool {
    bench.host.machine.meddle(|state| kernel::reset_firmware(state, pf())).is_err()
}

#[tokio::test]
async fn what_holds_at_the_next_boot_and_not_yet_is_named_and_keeps_nobody() {
    let bench = Bench::new();
    bench.host.machine.meddle(|state| {
        let settings = &mut state.nv.get_mut(&pf()).unwrap().settings;
        settings.get_mut(&"UCTX_EN".parse().unwrap()).unwrap().next = "False(0)".parse().unwrap();
    });
    let done = bench.setup(DEVX_OFF).await.unwrap();
    assert!(done.changed && done.waits_for.is_empty());
    let notes = bench.told.notes();
    assert!(
        notes.contains(
            &"UCTX_EN of 0000:43:00.0 is True(1) now and False(0) from the next boot on".to_owned()
        ),
        "{notes:?}"
    );
    assert!(notes.iter().any(|note| note.starts_with("0000:43:00.0 needs a firmware reset")), "{notes:?}");
    // Who writes nothing brings nothing back.
    bench.teardown().await.unwrap();
    assert_eq!(setting(&bench, "UCTX_EN"), values("True(1)", "False(0)"));
}

/// Pitfall 27: a number of VFs is a least, since each change of it costs a reboot; with it go the settings without which
/// it means nothing.
#[tokio::test]
async fn more_vfs_than_asked_for_are_headroom_and_what_they_need_goes_with_them() {
    let bench = Bench::new();
    bench.setup("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\nfirmware = { NUM_OF_VFS = 4 }\n").await.unwrap();
    assert_eq!(setting(&bench, "NUM_OF_VFS"), values("8", "8"));

    let bench = may_write();
    bench.host.machine.meddle(|state| {
        let settings = &mut state.nv.get_mut(&pf()).unwrap().settings;
        for (name, value) in [("SRIOV_EN", "False(0)"), ("PF_NUM_OF_VF_VALID", "True(1)")] {
            settings.get_mut(&name.parse().unwrap()).unwrap().next = value.parse().unwrap();
        }
    });
    bench.setup(TEN_VFS).await.unwrap();
    assert_eq!(setting(&bench, "SRIOV_EN").1, "True(1)");
    assert_eq!(setting(&bench, "PF_NUM_OF_VF_VALID").1, "False(0)");
}

#[tokio::test]
async fn a_kernel_with_parameters_is_asked_before_the_tool() {
    let bench = may_write();
    for port in [pf(), "0000:43:00.1".parse().unwrap()] {
        bench.host.machine.meddle(|state| state.pf_mut(port).unwrap().profile.has_permanent_params = true);
    }
    bench.setup(TEN_VFS).await.unwrap();
    assert_eq!(setting(&bench, "NUM_OF_VFS"), values("8", "16"));
    let journal = bench.host.machine.observe(|state| state.journal.clone());
    assert_eq!(journal, ["devlink_param pci/0000:43:00.0 total_vfs"]);
}

#[tokio::test]
async fn mistakes_of_the_file_are_shown_where_they_stand() {
    let bench = Bench::new();
    let failure = bench.setup(&TEN_VFS.replace("NUM_OF_VFS", "NUM_OF_VFZ")).await.unwrap_err();
    assert!(
        failure.error.details().iter().any(|line| line.contains("host.toml:3:7")),
        "{:?}",
        failure.error.details()
    );
    let failure = bench
        .setup(&TEN_VFS.replace("vfs = 10", "vfs = 2").replace("NUM_OF_VFS", "NUM_OF_VFZ"))
        .await
        .unwrap_err();
    assert!(failure.error.is_usage());
    assert_eq!(failure.error.to_string(), "the firmware of 0000:43:00.0 has no setting NUM_OF_VFZ");
    assert!(failure.error.details()[0].contains("host.toml:4:27"), "{:?}", failure.error.details());
}

fn line<'a>(said: &'a Said, with: &str) -> Vec<&'a str> {
    let line =
        said.out.lines().find(|line| line.contains(with)).unwrap_or_else(|| panic!("no {with}:\n{said}"));
    line.trim_start_matches("[simulated] ").split_whitespace().collect()
}

#[test]
fn settings_are_shown_set_and_reset() {
    let host = Simulated::new();
    let shown = host.run(&["firmware", "show"]).exits(0);
    assert!(
        shown.out.contains("0000:43:00.0 (enp67s0f0) and 0000:43:00.1 (enp67s0f1), which are one card"),
        "{shown}"
    );
    assert_eq!(line(&shown, "NUM_OF_VFS "), ["NUM_OF_VFS", "0", "8", "8"]);
    assert!(shown.out.lines().all(|line| line.starts_with("[simulated] ")), "{shown}");

    let set =
        host.run(&["firmware", "set", "--pci", "0000:43:00.1", "NUM_OF_VFS=16", "UCTX_EN=true"]).exits(0);
    assert_eq!(line(&set, "NUM_OF_VFS "), ["*", "NUM_OF_VFS", "0", "8", "16"]);
    assert!(set.out.contains("NUM_OF_VFS: 8 → 16 from the next boot on"), "{set}");
    assert!(set.out.contains("-l 3 -y reset`"), "{set}");
    let again = host.run(&["firmware", "set", "NUM_OF_VFS=16"]).exits(0);
    assert!(again.out.contains("unchanged"), "{again}");

    let (_, shown) = host.json(&["firmware", "show", "NUM_OF_VFS"]);
    let card = &shown["cards"][0];
    assert_eq!(
        (&shown["outcome"], &card["pci"], &card["ports"][1]["netdev"]),
        (&"done".into(), &"0000:43:00.0".into(), &"enp67s0f1".into())
    );
    let expected = serde_json::json!([{ "name": "NUM_OF_VFS", "default": "0", "current": "8", "next": "16",
                                        "read_only": false, "keeper": "simulated" }]);
    assert_eq!(card["settings"], expected);
    assert_eq!((&card["pending"][0], &card["activation"]["need"]), (&"NUM_OF_VFS".into(), &"reset".into()));

    let reset = host.run(&["firmware", "reset", "NUM_OF_VFS"]).exits(0);
    assert!(reset.out.contains("NUM_OF_VFS: 16 → 0 from the next boot on"), "{reset}");
    host.run(&["firmware", "reset", "--all"]).exits(0);
    assert!(host.run(&["firmware", "reset", "--all"]).exits(0).out.contains("unchanged"));
}

#[test]
fn what_has_no_effect_is_said() {
    let host = Simulated::new();
    let off =
        host.run(&["firmware", "set", "SRIOV_EN=false", "NUM_OF_VFS=8", "PF_NUM_OF_VF_VALID=true"]).exits(0);
    assert!(off.out.contains("NUM_OF_VFS has no effect while SRIOV_EN is False"), "{off}");
    assert!(off.out.contains("NUM_OF_VFS does not count while PF_NUM_OF_VF_VALID is True"), "{off}");
}

#[test]
fn mistakes_of_the_command_line_end_in_what_to_type() {
    let host = Simulated::new();
    host.run(&["firmware", "set", "NUM_OF_VFZ=8"])
        .exits(2)
        .is_an_error("has no setting NUM_OF_VFZ", "vdpa firmware show --pci");
    host.run(&["firmware", "set", "NUM_OF_VFS=8", "NUM_OF_VFS=9"])
        .exits(2)
        .is_an_error("twice", "NUM_OF_VFS");
    host.run(&["firmware", "show", "--pci", "0000:99:00.0"]).exits(2).is_an_error("0000:99:00.0", "lspci");
    host.run(&["firmware", "set", "MEMIC_BAR_SIZE=1"])
        .exits(1)
        .is_an_error("cannot set MEMIC_BAR_SIZE=1", "root");
    assert!(host.run(&["firmware", "set", "NUM_OF_VFS"]).exits(2).err.contains("NUM_OF_VFS=16"));
    assert!(host.run(&["firmware", "reset"]).exits(2).err.contains("<NAME>"));
}

#[test]
fn a_setup_that_waits_for_its_firmware_exits_with_10() {
    let host = Simulated::new();
    let file = host.host_file(TEN_VFS).display().to_string();
    let refused = host.run(&["setup", "--config", &file]).exits(1);
    refused.is_an_error("1 firmware setting is not as the host file says", "vdpa setup --firmware");
    let planned = host.run(&["plan", "--config", &file]).exits(0);
    assert!(planned.out.contains("NUM_OF_VFS of 0000:43:00.0 at the next boot"), "{planned}");
    let (said, waits) = host.json(&["setup", "--firmware", "--config", &file]);
    said.exits(10);
    assert_eq!(waits["outcome"], "reset-needed");
    assert!(waits["notes"].to_string().contains("mstfwreset"), "{waits:#}");
    // After a reboot the receipt is gone, and what firmware was is not.
    std::fs::remove_file(host.path().join("receipt.json")).unwrap();
    let down = host.run(&["teardown"]).exits(0);
    assert!(down.out.contains("1 statement restored"), "{down}");
    assert!(!host.path().join("firmware.json").exists());
    let (_, shown) = host.json(&["firmware", "show", "NUM_OF_VFS"]);
    assert_eq!(shown["cards"][0]["pending"], serde_json::json!([]));
}

#[test]
fn saved_output_is_shown_and_what_is_shown_can_be_read_again() {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/../hw/tests/firmware/made/");
    let from = |name: &str| {
        common::command::run(&mut vdpa(&["firmware", "show", "--from", &format!("{captures}{name}")]))
    };
    let text = from("query-e.4.21.txt").exits(0);
    assert_eq!(line(&text, "NUM_OF_VFS "), ["*", "NUM_OF_VFS", "0", "8", "16"]);
    assert!(text.out.contains("one setting changes from the next boot on: NUM_OF_VFS"), "{text}");
    let json = from("query-e.4.31.json").exits(0);
    assert_eq!(line(&json, "NUM_OF_VFS "), line(&text, "NUM_OF_VFS "));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ours.txt");
    std::fs::write(&file, &text.out).unwrap();
    let file = file.display().to_string();
    let again = common::command::run(&mut vdpa(&["firmware", "show", "--from", &file])).exits(0);
    assert_eq!(again.out, text.out);
    let only =
        common::command::run(&mut vdpa(&["firmware", "show", "--from", &file, "UCTX_EN", "--json"])).exits(0);
    assert_eq!(only.document()["cards"][0]["settings"].as_array().unwrap().len(), 1);

    std::fs::write(&file, "Device #1:\nConfigurations:   Next Boot\n   NUM_OF_VFS  8\n   what is this\n")
        .unwrap();
    let garbage = common::command::run(&mut vdpa(&["firmware", "show", "--from", &file])).exits(2);
    garbage.is_an_error("holds no firmware settings", "mstconfig -d ADDRESS -e query");
    assert!(
        garbage.err.contains("  line 4: not as many values as there are columns: `what is this`"),
        "{garbage}"
    );
    std::fs::write(&file, "-E- Failed to open the device\n").unwrap();
    let complaint = common::command::run(&mut vdpa(&["firmware", "show", "--from", &file])).exits(2);
    assert!(complaint.err.contains("  Failed to open the device"), "{complaint}");
    common::command::run(&mut vdpa(&["firmware", "show", "--from", "/no/such/file"]))
        .exits(2)
        .is_an_error("/no/such/file", "-");
}
