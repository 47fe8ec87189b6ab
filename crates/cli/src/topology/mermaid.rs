//! The topology as a flowchart of Mermaid, which many wikis draw: <https://mermaid.js.org/syntax/flowchart.html>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::dot::{fill, line};
use super::label::{Label, Tone};
use super::{Card, Topology};

/// A flowchart; `title` stands above it.
pub fn flowchart(topology: &Topology, title: &str) -> String {
    let mut chart = Chart::default();
    let _ = writeln!(chart.text, "---\ntitle: \"{}\"\n---\nflowchart LR", title.replace(['"', '\\'], "'"));
    for (tone, word, _) in Tone::ALL {
        let _ =
            writeln!(chart.text, "  classDef {word} fill:{},stroke:{},color:#0f172a", fill(tone), line(tone));
    }
    if let Some(bridge) = &topology.bridge {
        chart.node("  ", "bridge", &bridge.label());
    }
    for (nth, card) in topology.cards.iter().enumerate() {
        chart.card(nth, card, topology.bridge.is_some());
    }
    chart.text
}

#[derive(Default)]
struct Chart {
    text: String,
    /// How each virtual machine is called here: a name may have anything in it.
    vms: BTreeMap<String, String>,
}

impl Chart {
    fn card(&mut self, nth: usize, card: &Card, bridged: bool) {
        let pf = format!("pf{nth}");
        let _ = writeln!(self.text, "  subgraph card{nth} [\"{}\"]", escaped(&card.pf.to_string()));
        self.node("    ", &pf, &card.label());
        for vf in &card.vfs {
            self.node("    ", &format!("{pf}vf{}", vf.index), &vf.label());
        }
        self.text.push_str("  end\n");
        if let Some(uplink) = &card.uplink {
            self.port(&format!("{pf}uplink"), &pf, &uplink.label(), bridged && uplink.bridged.is_some());
        }
        for vf in &card.vfs {
            let mut end = format!("{pf}vf{}", vf.index);
            if let Some(port) = &vf.representor {
                self.port(&format!("{end}rep"), &end, &port.label(), bridged && port.bridged.is_some());
            }
            if let Some(datapath) = &vf.datapath {
                let id = format!("{end}dp");
                self.node("  ", &id, &datapath.label());
                self.edge(&end, &id);
                end = id;
            }
            if let Some(vm) = &vf.vm {
                let next = format!("vm{}", self.vms.len());
                let id = self.vms.entry(vm.domain.to_string()).or_insert(next).clone();
                self.node("  ", &id, &vm.label());
                self.edge(&end, &id);
            }
        }
    }

    fn port(&mut self, id: &str, of: &str, label: &Label, on_bridge: bool) {
        self.node("  ", id, label);
        if on_bridge {
            self.edge("bridge", id);
        }
        self.edge(id, of);
    }

    fn node(&mut self, indent: &str, id: &str, label: &Label) {
        let (title, detail) = (escaped(&label.title), escaped(&label.detail));
        let _ = writeln!(self.text, "{indent}{id}[\"{title}<br/>{detail}\"]:::{}", label.tone.word());
    }

    fn edge(&mut self, from: &str, to: &str) {
        let _ = writeln!(self.text, "  {from} --- {to}");
    }
}

/// Entities without the ampersand, as Mermaid has them.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '<' | '>' | '&' | '#' | ';' | '`' => format!("#{};", u32::from(c)),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}
