use std::time::Duration;

use vdpa_hw::mock::{Machine, hosts};
use vdpa_hw::{Pci as _, PciAddress};

use super::*;

async fn host_with_vfs() -> Machine {
    let machine = Machine::new(hosts::host_105());
    let pf: PciAddress = "0000:43:00.0".parse().unwrap();
    machine.set_vf_count(pf, 2, Duration::from_mins(1)).await.unwrap();
    machine
}

async fn said(machine: &Machine, line: &str) -> Printed {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let object = if words[0] == "dev" { Object::Dev } else { Object::MgmtDev };
    run(machine, object, &words[1..], Style::default()).await
}

#[tokio::test]
async fn a_device_is_made_shown_changed_and_deleted() {
    let machine = host_with_vfs().await;
    let done = Printed { success: true, ..Printed::default() };
    let shows = |stdout: &str| Printed { stdout: stdout.to_owned(), ..done.clone() };
    let add = "dev add name vdpa0 mgmtdev pci/0000:43:00.2 mac e4:11:22:33:55:60 mtu 9000 max_vqp 4";
    assert_eq!(said(&machine, add).await, done);
    let device = "vdpa0: type network mgmtdev pci/0000:43:00.2 vendor_id 5555 max_vqs 9 max_vq_size 256\n";
    assert_eq!(said(&machine, "dev").await, shows(device));
    assert_eq!(said(&machine, "dev s vdpa0 word").await, shows(device));
    assert_eq!(said(&machine, "dev set name vdpa0 mac e4:11:22:33:55:61").await, done);
    let config = "vdpa0: mac e4:11:22:33:55:61 link up link_announce false max_vq_pairs 4 mtu 9000 \n";
    assert_eq!(said(&machine, "dev config show").await, shows(config));
    let json = r#"{"config":{"vdpa0":{"mac":"e4:11:22:33:55:61","link ":"up","link_announce ":false,"max_vq_pairs":4,"mtu":9000}}}"#;
    assert_eq!(said(&machine, "dev -j config show vdpa0").await, shows(&format!("{json}\n")));
    assert_eq!(said(&machine, "dev del vdpa0").await, done);
    assert_eq!(said(&machine, "dev -jp show").await, shows("{\n    \"dev\": {}\n}\n"));
}

#[tokio::test]
async fn refusals_are_the_kernels_own_words_and_json_is_closed() {
    let machine = host_with_vfs().await;
    let missing = said(&machine, "dev -j show nosuch").await;
    let words = "Error: vdpa: device not found.\nkernel answers: No such device\n";
    assert_eq!((missing.stdout.as_str(), missing.stderr.as_str()), ("{\"dev\":{}}\n", words));
    assert!(!missing.success);
    let unasked = said(&machine, "dev --json foo").await;
    assert_eq!((unasked.stdout.as_str(), unasked.stderr.as_str()), ("\n", "Command \"foo\" not found\n"));
}

#[tokio::test]
async fn what_iproute2_bends_is_refused_and_nothing_is_made() {
    let machine = host_with_vfs().await;
    for bad in [
        "mac 00:11:22:33:44",
        "mac 1:2:3:4:5:6:7",
        "mac 10.0.0.1",
        "mac +1:2:3:4:5:6",
        "mtu +1500",
        "mtu 65536",
        "max_vqp",
        "device_features zz",
    ] {
        let line = format!("dev add name a/b mgmtdev pci/0000:43:00.2 {bad}");
        let line = if bad == "max_vqp" { line } else { line.replace("a/b", "vdpa0") };
        let outcome = said(&machine, &line).await;
        assert!(!outcome.success && !outcome.stderr.is_empty(), "{line}: {outcome:?}");
    }
    assert_eq!(said(&machine, "dev show").await.stdout, "");
}

#[test]
fn options_stand_anywhere_and_end_at_two_dashes() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let given = words("show -jp a");
    let (kept, style) = options::take(&given, Style::default()).unwrap();
    assert_eq!((kept, style), (vec!["show", "a"], Style { json: true, pretty: true }));
    let given = words("show -- -j");
    let (kept, style) = options::take(&given, Style::default()).unwrap();
    assert_eq!((kept, style), (vec!["show", "-j"], Style::default()));
    assert_eq!(options::take(&words("--Ver"), Style::default()), Err(Special::Version));
    let Err(Special::Halt(halt)) = options::take(&words("-jx"), Style::default()) else { panic!() };
    assert!(halt.failed && halt.stderr.starts_with("vdpa: invalid option -- 'x'\nUnknown option.\nUsage: "));
}
