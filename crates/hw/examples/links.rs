//! Shows the network devices of this host as the library sees them.
//!
//! ```text
//! links                                  every device, what uses it, its VFs
//! links NAME up|down                     brings it up or down
//! links NAME vf INDEX mac MAC            sets what a PF keeps for a VF
//! links NAME vf INDEX trust|spoofchk on|off
//! ```

use std::error::Error;
use std::process::ExitCode;

use vdpa_hw::{IfIndex, Links, RtnlLinks, VfAttributes, VfChange};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(source) = error.source() {
                eprintln!("  {source}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let links = RtnlLinks::default();
    match arguments {
        [] => list(&links).await?,
        [name, state @ ("up" | "down")] => links.set_up(find(&links, name).await?, *state == "up").await?,
        [name, "vf", index, what, value] => {
            let change = match *what {
                "mac" => VfChange { mac: Some(value.parse()?), ..VfChange::default() },
                "trust" => VfChange { trust: Some(*value == "on"), ..VfChange::default() },
                "spoofchk" => VfChange { spoofchk: Some(*value == "on"), ..VfChange::default() },
                _ => return Err("mac, trust or spoofchk".into()),
            };
            links.set_vf_attributes(find(&links, name).await?, index.parse()?, change).await?;
        }
        _ => return Err("see the head of examples/links.rs".into()),
    }
    Ok(())
}

async fn find(links: &RtnlLinks, name: &str) -> Result<IfIndex, Box<dyn Error>> {
    let all = links.links().await?;
    let found = all.iter().find(|link| link.name.as_str() == name);
    Ok(found.ok_or_else(|| format!("no network device {name}"))?.index)
}

async fn list(links: &RtnlLinks) -> Result<(), Box<dyn Error>> {
    let ingress = links.with_ingress_qdisc().await?;
    for link in links.links().await? {
        let state = if link.up { "up" } else { "down" };
        let parent = link.parent.map(|parent| format!(" of {parent}")).unwrap_or_default();
        let filters = if ingress.contains(&link.index) { ", takes tc filters" } else { "" };
        let switch = link.phys_switch_id.map(|id| format!(" of switch {id}")).unwrap_or_default();
        let port = link.phys_port_name.map(|port| format!(", port {port}{switch}")).unwrap_or_default();
        println!("{} {}{parent}: {state}, {}{port}{filters}", link.index, link.name, link.mac);
        for reason in links.management_uses(link.index).await? {
            println!("    {reason}");
        }
        for (vf, VfAttributes { mac, trust, spoofchk }) in links.vf_attributes(link.index).await? {
            println!("    vf {vf}: {mac}, trust {}, spoofchk {}", on(trust), on(spoofchk));
        }
    }
    Ok(())
}

fn on(setting: Option<bool>) -> &'static str {
    match setting {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    }
}
