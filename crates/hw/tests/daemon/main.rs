//! [`RtnlLinks`] against the running kernel: any Linux with user namespaces, `unshare`, `ip` and `tc`.
//!
//! Each test runs the test binary again, alone and in user and network namespaces of its own, so that it
//! may do what it likes and no other test sees it.

use std::process::Command;
use std::time::Duration;

use vdpa_hw::{Link, Links, RtnlLinks};

const LIMIT: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_millis(100);
/// Says to the test binary that it runs in namespaces of its own.
const ALONE: &str = "VDPA_HW_TEST_ALONE";

/// Runs `body` in this process if it is the one in namespaces of its own, or else starts that process.
///
/// `name` is the test's path, and begins with that of this crate.
fn alone(name: &str, namespaces: &[&str], body: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body);
    }
    let (_, name) = name.split_once("::").unwrap();
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(namespaces)
        .arg(binary)
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(ALONE, "1")
        .output()
        .expect("`unshare` of util-linux is needed");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A name that matches no test would pass too.
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Tests, each as root of namespaces of its own.
macro_rules! tests {
    ($($(#[$attribute:meta])* async fn $name:ident() $body:block)+) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            $crate::alone(name, &["--user", "--map-root-user", "--net"], async $body);
        }
    )+};
}

mod links;
mod settled;

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}");
}

async fn named(links: &RtnlLinks, name: &str) -> Link {
    let all = links.links().await.unwrap();
    all.into_iter().find(|link| link.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}
