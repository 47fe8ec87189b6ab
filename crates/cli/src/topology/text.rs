//! The topology as a tree, for a terminal.

use anstyle::{AnsiColor, Style};

use super::Topology;
use super::label::{Label, Tone};

/// Lines, coloured; who prints them takes the colours away where there is no terminal.
pub fn lines(topology: &Topology) -> Vec<String> {
    let mut lines = Vec::new();
    for card in &topology.cards {
        lines.push(line("", "", &card.label()));
        let last = card.vfs.len();
        if let Some(uplink) = &card.uplink {
            lines.push(line(if last == 0 { "└─ " } else { "├─ " }, "uplink ", &uplink.label()));
        }
        for (nth, vf) in card.vfs.iter().enumerate() {
            let (branch, bar) = if nth + 1 == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(line(branch, "", &vf.label()));
            let parts = [
                vf.representor.as_ref().map(|port| ("representor ", port.label())),
                vf.datapath.as_ref().map(|datapath| ("datapath ", datapath.label())),
                vf.vm.as_ref().map(|vm| ("VM ", vm.label())),
            ];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            for (at, (what, label)) in parts.iter().enumerate() {
                let branch = if at + 1 == parts.len() { "└─ " } else { "├─ " };
                lines.push(line(&format!("{bar}{branch}"), what, label));
            }
        }
    }
    if topology.cards.is_empty() {
        lines.push("no card that can have VFs".to_owned());
    }
    if let Some(bridge) = &topology.bridge {
        lines.push(line("", "bridge ", &bridge.label()));
        for (nth, port) in bridge.other_ports.iter().enumerate() {
            let branch = if nth + 1 == bridge.other_ports.len() { "└─ " } else { "├─ " };
            lines.push(format!("{branch}other port {port}"));
        }
    }
    lines
}

fn line(branch: &str, what: &str, label: &Label) -> String {
    let style = match label.tone {
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Slow => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Plain => Style::new(),
    };
    format!("{branch}{what}{style}{}{style:#}  {}", label.title, label.detail)
}
