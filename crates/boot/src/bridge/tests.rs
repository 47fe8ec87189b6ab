//! A bridge from plan to end, on the simulated host: argument vectors, refusals, every program failing in turn.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::platform::Rooted;

use super::*;
use crate::error::{Error, Result, Said};
use crate::programs::Programs;
use crate::{Host, mock};

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        mock::furnish_network(root.0.path()).unwrap();
        root.host(None);
        root
    }

    /// The host, of whose programs the N-th fails.
    fn host(&self, fail_at: Option<u64>) -> Host {
        mock::host_105(self.0.path(), Arc::new(Rooted::new(self.0.path())), fail_at).unwrap()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Every file with its text and every link with its target, but what is told of what is past.
    fn snapshot(&self) -> BTreeMap<String, String> {
        fn walk(at: &Path, found: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let name = path.display().to_string();
                if path.is_symlink() {
                    found.insert(name, fs::read_link(&path).unwrap().display().to_string());
                } else if path.is_dir() {
                    walk(&path, found);
                } else if !name.ends_with("vdpa/bridge.json") {
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.0.path(), &mut found);
        found
    }

    /// What a reboot does away with.
    fn forgets_run(&self) {
        fs::remove_dir_all(self.0.path().join("run/vdpa")).unwrap();
    }
}

fn wanted(over: &str) -> Wanted {
    Wanted {
        over: over.parse().unwrap(),
        name: "br0".parse().unwrap(),
        manager: None,
        confirm_within: Duration::from_mins(1),
        cards: vec!["0000:43:00.0".to_owned(), "enp67s0f0".to_owned()],
        roll_back: ["/usr/bin/vdpa", "host", "bridge", "--roll-back"].map(str::to_owned).to_vec(),
    }
}

async fn refused(host: &Host, wanted: &Wanted) -> Refusal {
    match host.plan_bridge(wanted).await.unwrap_err() {
        Error::Unbridgeable { nic, why } => {
            assert_eq!(nic, wanted.over.as_str());
            assert!(!why.hint(&nic).is_empty() && !why.to_string().ends_with('.'), "{why:?}");
            why
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn network_manager_is_told_all_that_the_nic_had() {
    let root = Root::new();
    let before = root.snapshot();
    let plan = root.host(None).plan_bridge(&wanted("eno2")).await.unwrap();
    assert_eq!(root.snapshot(), before, "a plan changes nothing");
    let said: Vec<String> = plan.make.iter().map(ToString::to_string).collect();
    let nmcli = "nmcli --terse --escape no";
    assert_eq!(
        said,
        [
            format!(
                "{nmcli} connection add save no type bridge con-name vdpa-br0 ifname br0 connection.autoconnect no \
                 bridge.stp no 802-3-ethernet.cloned-mac-address 90:b1:1c:40:59:28 ipv4.addresses 172.21.6.104/24 \
                 ipv4.dad-timeout 0 ipv4.dns 172.21.1.1 ipv4.gateway 172.21.6.254 ipv4.method manual ipv6.method auto \
                 ipv4.route-metric 101"
            ),
            format!(
                "{nmcli} connection add save no type ethernet con-name vdpa-br0-eno2 ifname eno2 \
                 connection.autoconnect no connection.slave-type bridge connection.master br0"
            ),
            format!("{nmcli} --wait 45 connection up id vdpa-br0-eno2"),
        ]
    );
    assert_eq!(
        plan.arm.to_string(),
        "systemd-run --unit=vdpa-host-bridge-rollback '--description=Take the bridge over eno2 back unless it is \
         confirmed' --on-active=60s --timer-property=AccuracySec=1s --property=Restart=on-failure \
         --property=RestartSec=5s --property=StartLimitIntervalSec=0 --collect --quiet -- /usr/bin/vdpa host bridge \
         --roll-back"
    );
}

#[tokio::test]
async fn a_bridge_is_made_confirmed_and_removed_and_the_host_is_as_it_was() {
    let root = Root::new();
    let (host, before) = (root.host(None), root.snapshot());
    let plan = host.plan_bridge(&wanted("eno2")).await.unwrap();
    host.make_bridge(&plan).await.unwrap();
    let record = root.0.path().join("run/vdpa/bridge.json");
    assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(refused(&host, &wanted("eno2")).await, Refusal::Waiting("br0".parse().unwrap()));
    assert!(root.snapshot().values().any(|text| text.contains("\"timer\": [")), "the timer is armed");

    assert_eq!(host.confirm_bridge().await.unwrap().standing, Standing::Confirmed);
    assert!(!root.snapshot().values().any(|text| text.contains("\"timer\": [")), "the timer is disarmed");
    assert!(!root.snapshot().values().any(|text| text.contains("\"saved\": false")), "something is unsaved");
    assert_eq!(
        host.roll_bridge_back().await.unwrap(),
        None,
        "a timer that ran out meanwhile has nothing to do"
    );
    root.forgets_run();
    assert_eq!(refused(&host, &wanted("eno2")).await, Refusal::Made("br0".parse().unwrap()));

    assert!(host.remove_bridge().await.unwrap().is_some());
    assert_eq!(root.snapshot(), before);
    assert_eq!(host.remove_bridge().await.unwrap(), None);
}

#[tokio::test]
async fn what_nobody_confirms_goes_and_a_confirmation_that_comes_late_says_so() {
    let root = Root::new();
    let host = root.host(None);
    let none = host.confirm_bridge().await.unwrap_err();
    assert!(none.to_string().contains("none was made since the last boot"), "{none}");
    let plan = host.plan_bridge(&wanted("eno2")).await.unwrap();
    host.make_bridge(&plan).await.unwrap();
    assert!(host.roll_bridge_back().await.unwrap().is_some());
    let late = host.confirm_bridge().await.unwrap_err();
    assert!(late.to_string().contains("br0 was taken back, as nobody confirmed it within 60 s"), "{late}");
    // And another one can be made.
    host.plan_bridge(&wanted("eno2")).await.unwrap();
}

/// Whichever program fails: before the timer is armed and after, while the bridge is made and while it goes.
#[tokio::test]
async fn whatever_fails_the_host_is_as_it_was_or_the_timer_brings_it_there() {
    let programs = 10;
    for n in 1..=programs {
        let root = Root::new();
        let before = root.snapshot();
        let plan = root.host(None).plan_bridge(&wanted("eno2")).await.unwrap();
        let made = root.host(Some(n)).make_bridge(&plan).await;
        // As the timer does, in a process of its own.
        let back = root.host(None).roll_bridge_back().await.unwrap();
        assert_eq!(made.is_ok(), back.is_some(), "{n}: {made:?}");
        if made.is_ok() {
            let timer = root.host(None).programs;
            timer.run(&Command::new(["systemctl", "stop", "vdpa-host-bridge-rollback.timer"])).await.unwrap();
        }
        assert_eq!(root.snapshot(), before, "{n}: {made:?}");
        assert_eq!(made.is_ok(), n > 4, "{n}: the programs of a bridge that is made: {made:?}");
    }
}

/// Programs that work so many times, and then no more: NetworkManager has gone.
#[derive(Debug)]
struct Leaving {
    programs: Arc<dyn Programs>,
    left: AtomicU64,
}

#[async_trait]
impl Programs for Leaving {
    fn has(&self, name: &str) -> bool {
        self.programs.has(name)
    }

    async fn run(&self, command: &Command) -> Result<String> {
        let one_less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return self.programs.run(command).await;
        }
        let said = Said("Error: NetworkManager is not running.\nexit status: 8".to_owned());
        Err(Error::Program { command: command.to_string(), said })
    }
}

#[tokio::test(start_paused = true)]
async fn where_going_back_fails_too_it_is_said_and_the_timer_brings_the_host_back() {
    // The timer is armed by the first program.
    for works in 1..=3_u64 {
        let root = Root::new();
        let before = root.snapshot();
        let mut host = root.host(None);
        let plan = host.plan_bridge(&wanted("eno2")).await.unwrap();
        host.programs = Arc::new(Leaving { programs: host.programs, left: works.into() });
        match host.make_bridge(&plan).await.unwrap_err() {
            Error::BridgeHalfDone { error, remains } => {
                assert!(error.to_string().starts_with("`nmcli"), "{works}: {error}");
                assert!(remains.contains("NetworkManager is not running"), "{works}: {remains}");
            }
            error => panic!("{works}: {error:?}"),
        }
        assert!(root.snapshot().values().any(|text| text.contains("\"timer\": [")), "{works}: no timer");

        let host = root.host(None);
        assert_eq!(refused(&host, &wanted("eno2")).await, Refusal::Waiting("br0".parse().unwrap()));
        assert!(host.roll_bridge_back().await.unwrap().is_some(), "{works}");
        let timer = Command::new(["systemctl", "stop", "vdpa-host-bridge-rollback.timer"]);
        host.programs.run(&timer).await.unwrap();
        assert_eq!(root.snapshot(), before, "{works}");
    }
}

/// A process that is killed leaves the timer, and the record that it goes by.
#[tokio::test]
async fn one_that_is_killed_on_its_way_is_taken_back_by_its_record() {
    for acts in 0..=3 {
        let root = Root::new();
        let (host, before) = (root.host(None), root.snapshot());
        let plan = host.plan_bridge(&wanted("eno2")).await.unwrap();
        plan.record.save(&host.tree).unwrap();
        for act in &plan.make[..acts] {
            let Act::Run(command) = act else { panic!("{act:?}") };
            host.programs.run(command).await.unwrap();
        }
        assert!(root.host(None).roll_bridge_back().await.unwrap().is_some(), "{acts}");
        assert_eq!(root.snapshot(), before, "{acts}");
    }
}

#[tokio::test]
async fn a_record_that_somebody_else_may_write_is_not_acted_by() {
    let root = Root::new();
    let host = root.host(None);
    let plan = host.plan_bridge(&wanted("eno2")).await.unwrap();
    host.make_bridge(&plan).await.unwrap();
    let record = root.0.path().join("run/vdpa/bridge.json");
    fs::set_permissions(&record, fs::Permissions::from_mode(0o666)).unwrap();
    let error = host.roll_bridge_back().await.unwrap_err();
    assert!(matches!(&error, Error::Record { why, .. } if why.contains("others may write it")), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_bridged_is_refused_with_what_to_do() {
    let root = Root::new();
    let host = root.host(None);
    assert_eq!(refused(&host, &wanted("eno9")).await, Refusal::Unknown);
    assert_eq!(refused(&host, &wanted("eno1")).await, Refusal::Member("baremetal".to_owned()));
    let named = Wanted { name: "baremetal".parse().unwrap(), ..wanted("eno2") };
    assert_eq!(refused(&host, &named).await, Refusal::NameTaken("baremetal".parse().unwrap()));
    let other = Wanted { manager: Some(Manager::Networkd), ..wanted("eno2") };
    assert_eq!(refused(&host, &other).await, Refusal::ManagedBy(Manager::Nm));

    let mut index = 30;
    let mut nic = |name: &str, more: &[(&str, &str)]| {
        index += 1;
        let at = |attribute: &str| format!("sys/class/net/{name}/{attribute}");
        root.put(&at("address"), "02:00:00:00:00:01\n");
        root.put(&at("ifindex"), &format!("{index}\n"));
        root.put(&at("type"), "1\n");
        for (attribute, text) in more {
            root.put(&at(attribute), text);
        }
        wanted(name)
    };
    assert_eq!(
        refused(&host, &nic("wlan0", &[("uevent", "DEVTYPE=wlan\nIFINDEX=9\n")])).await,
        Refusal::Wireless
    );
    let bond = nic("bond0", &[("uevent", "DEVTYPE=bond\n")]);
    assert_eq!(refused(&host, &bond).await, Refusal::NotEthernet("bond".to_owned()));
    let infiniband = nic("ib0", &[("type", "32\n")]);
    assert_eq!(refused(&host, &infiniband).await, Refusal::NotEthernet("ARPHRD 32".to_owned()));
    assert_eq!(refused(&host, &nic("eno3", &[])).await, Refusal::Unmanaged);
    let below = nic("eno4", &[]);
    symlink("../eno4.100", root.0.path().join("sys/class/net/eno4/upper_eno4.100")).unwrap();
    assert_eq!(refused(&host, &below).await, Refusal::Beneath(vec!["eno4.100".to_owned()]));
    let card = |what: &str| Refusal::Card(what.to_owned());
    assert_eq!(refused(&host, &nic("enp67s0f0", &[])).await, card("a card of the host file"));
    let pf = nic("enp1s0", &[("device/sriov_numvfs", "4\n")]);
    assert_eq!(refused(&host, &pf).await, card("a PF with 4 VFs"));
    assert_eq!(refused(&host, &nic("enp1s0v0", &[("device/physfn/x", "")])).await, card("a VF"));
    let port = nic("enp1s0npf0vf0", &[("phys_switch_id", "0c42a1\n")]);
    assert_eq!(refused(&host, &port).await, card("a port of the switch 0c42a1"));

    fs::remove_dir_all(root.0.path().join("run/systemd")).unwrap();
    assert_eq!(refused(&host, &wanted("eno2")).await, Refusal::NoTimer("systemd does not run here"));
}

/// networkd's own files of a NIC, as systemd 252 writes them.
#[tokio::test]
async fn networkd_gets_files_that_come_first_and_the_dhcp_client_keeps_its_name() {
    let root = Root::new();
    root.put("sys/class/net/eno3/address", "02:00:00:00:00:03\n");
    root.put("sys/class/net/eno3/ifindex", "4\n");
    root.put("sys/class/net/eno3/type", "1\n");
    root.put(
        "run/systemd/netif/links/4",
        "ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/etc/systemd/network/10-eno3.network\n\
         NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-eno3.network.d/ntp.conf\"\n",
    );
    root.put("run/systemd/netif/leases/4", "CLIENTID=ffb6220feb00020000ab11d258482fc7eee651\n");
    root.put("etc/systemd/network/10-eno3.network", "[Match]\nName=eno3\n\n[Network]\nDHCP=ipv4\n");
    root.put("etc/systemd/network/10-eno3.network.d/ntp.conf", "[Network]\nNTP=10.0.0.1\n");
    let plan = root.host(None).plan_bridge(&wanted("eno3")).await.unwrap();
    assert_eq!(plan.record.manager, Manager::Networkd);
    let header = "# Written by `vdpa host bridge`, taken back by `vdpa host bridge --remove`.\n";
    let write = |path: &str, text: &str| Act::Write { path: path.into(), text: format!("{header}{text}") };
    assert_eq!(
        plan.make,
        [
            write(
                "/run/systemd/network/0-vdpa-br0.netdev",
                "[NetDev]\nName=br0\nKind=bridge\nMACAddress=02:00:00:00:00:03\n\n[Bridge]\nSTP=no\n"
            ),
            write(
                "/run/systemd/network/0-vdpa-br0.network",
                "[Match]\nName=br0\n\n[Network]\nDHCP=ipv4\n[Network]\nNTP=10.0.0.1\n\n[DHCPv4]\nIAID=3055685611\n"
            ),
            write(
                "/run/systemd/network/0-vdpa-br0-port.network",
                "[Match]\nName=eno3\n\n[Network]\nBridge=br0\nLinkLocalAddressing=no\nLLDP=no\nIPv6AcceptRA=no\n"
            ),
            Act::Run(Command::new(["networkctl", "reload"])),
        ]
    );
    let confirmed: Vec<String> = plan.record.confirm.iter().map(ToString::to_string).collect();
    assert_eq!(confirmed[0], "write /etc/systemd/network/0-vdpa-br0.netdev");
    assert_eq!(confirmed[5], "remove /run/systemd/network/0-vdpa-br0-port.network");
    let back: Vec<String> = plan.record.take_back.iter().map(ToString::to_string).collect();
    assert_eq!(back[6..], ["networkctl delete br0", "networkctl reload"]);
}
