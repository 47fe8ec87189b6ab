//! Shows every bridge with its ports, whose they are, and what does not work.
//!
//! ```sh
//! cargo run -p vdpa-ovs --example bridge [SOCKET]
//! ```

use std::{env, error::Error, process::ExitCode};

use vdpa_ovs::{BridgeName, DEFAULT_SOCKET, Ovsdb, Owner, Vswitch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let socket = env::args().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
    match show(&Ovsdb::new(socket)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(source) = error.source() {
                eprintln!("  {source}");
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn show(switch: &Ovsdb) -> Result<(), vdpa_ovs::Error> {
    let mut header = false;
    for name in switch.bridges().await? {
        // A name that Linux would not take cannot be observed, and is shown for what it is.
        let Ok(bridge) = name.parse::<BridgeName>() else {
            println!("{name:?}: not a name for a bridge");
            continue;
        };
        let seen = switch.observe(&bridge).await?;
        if !header {
            header = true;
            let version = seen.versions.ovs.as_deref().unwrap_or("of unknown version");
            let offload = seen.hw_offload.as_deref().unwrap_or("unset");
            println!(
                "Open vSwitch {version}, hw-offload {offload}, applied {}/{}",
                seen.cur_cfg, seen.next_cfg
            );
        }
        let Some(state) = seen.bridge else { continue };
        let owner = if state.owner == Owner::Ours { "ours" } else { "foreign" };
        println!("{bridge} ({owner})");
        for port in &state.ports {
            let state = match (&port.error, port.ofport) {
                (Some(error), _) => error.clone(),
                (None, Some(ofport)) => format!("port {ofport}"),
                (None, None) => "not looked at by ovs-vswitchd".to_owned(),
            };
            println!("  {:<15} {}  {state}", port.name, port.key);
        }
        for name in &state.foreign_ports {
            println!("  {name:<15} (foreign)");
        }
    }
    Ok(())
}
