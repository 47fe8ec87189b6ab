//! The topology in the language of Graphviz: <https://graphviz.org/doc/info/lang.html>.

use std::fmt::Write as _;

use super::label::{Label, Tone};
use super::{Card, Topology};

/// A graph; `title` stands above it.
pub fn graph(topology: &Topology, title: &str) -> String {
    let mut graph = String::from("graph vdpa {\n");
    let _ = writeln!(graph, "  rankdir=LR; labelloc=t; label=\"{}\";", escaped(title));
    graph.push_str("  node [shape=box style=\"rounded,filled\" fontname=\"sans-serif\" fontsize=10];\n");
    graph.push_str("  edge [fontname=\"sans-serif\" fontsize=9];\n");
    if let Some(bridge) = &topology.bridge {
        node(&mut graph, "  ", "bridge", &bridge.label());
    }
    for (nth, card) in topology.cards.iter().enumerate() {
        add(&mut graph, nth, card, topology.bridge.is_some());
    }
    graph.push_str("}\n");
    graph
}

fn add(graph: &mut String, nth: usize, card: &Card, bridged: bool) {
    let label = card.label();
    let pf = format!("pf{nth}");
    let _ = writeln!(graph, "  subgraph cluster_{nth} {{");
    let _ = writeln!(graph, "    label=\"{}\"; style=rounded; color=\"{}\";", card.pf, line(label.tone));
    node(graph, "    ", &pf, &label);
    for vf in &card.vfs {
        node(graph, "    ", &format!("{pf}vf{}", vf.index), &vf.label());
    }
    graph.push_str("  }\n");
    let port = |graph: &mut String, id: &str, to: &str, label: &Label, on_bridge: bool| {
        node(graph, "  ", id, label);
        edge(graph, id, to, Tone::Plain);
        if bridged && on_bridge {
            edge(graph, "bridge", id, label.tone);
        }
    };
    if let Some(uplink) = &card.uplink {
        port(graph, &format!("{pf}uplink"), &pf, &uplink.label(), uplink.bridged.is_some());
    }
    for vf in &card.vfs {
        let id = format!("{pf}vf{}", vf.index);
        if let Some(representor) = &vf.representor {
            port(graph, &format!("{id}rep"), &id, &representor.label(), representor.bridged.is_some());
        }
        let datapath = vf.datapath.as_ref().map(|datapath| (format!("{id}dp"), datapath.label()));
        if let Some((datapath, label)) = &datapath {
            node(graph, "  ", datapath, label);
            edge(graph, &id, datapath, label.tone);
        }
        if let Some(vm) = &vf.vm {
            let (name, label) = (format!("vm {}", vm.domain), vm.label());
            node(graph, "  ", &name, &label);
            edge(graph, datapath.as_ref().map_or(&id, |(datapath, _)| datapath), &name, label.tone);
        }
    }
}

fn node(graph: &mut String, indent: &str, id: &str, label: &Label) {
    let (fill, line) = (fill(label.tone), line(label.tone));
    let _ = writeln!(
        graph,
        "{indent}\"{}\" [label=\"{}\" fillcolor=\"{fill}\" color=\"{line}\"];",
        escaped(id),
        text(label)
    );
}

fn edge(graph: &mut String, from: &str, to: &str, tone: Tone) {
    let _ = writeln!(graph, "  \"{}\" -- \"{}\" [color=\"{}\"];", escaped(from), escaped(to), line(tone));
}

fn text(label: &Label) -> String {
    format!("{}\\n{}", escaped(&label.title), escaped(&label.detail))
}

/// In a double-quoted string only the quote has to be escaped; a backslash begins a line break or a name's place.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

pub(super) fn fill(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "#dcfce7",
        Tone::Plain => "#f1f5f9",
        Tone::Slow => "#fef3c7",
        Tone::Bad => "#fee2e2",
    }
}

pub(super) fn line(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "#15803d",
        Tone::Plain => "#64748b",
        Tone::Slow => "#b45309",
        Tone::Bad => "#b91c1c",
    }
}
