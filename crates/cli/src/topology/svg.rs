//! The topology as a picture: SVG 1.1, drawn by nobody else, light or dark as the viewer is.
//!
//! ```text
//!  ┌────────┐   ┌────────┐   ╭ card ──────╮
//!  │ bridge │───│ uplink │───│            │
//!  │        │   └────────┘   │            │
//!  │        │   ┌────────┐   │ ┌────────┐ │   ┌──────────┐   ┌────┐
//!  │        │───│ repr.  │───│─│ VF 0   │─│───│ datapath │───│ VM │
//!  │        │   └────────┘   │ └────────┘ │   └──────────┘   │    │
//! ```
//!
//! Each VF has a row, and so no line crosses another. A virtual machine with several VFs in a row is one box beside
//! them; one with VFs in several places is drawn at each.

mod canvas;

use std::ops::Range;

use self::canvas::{Canvas, width};
pub(crate) use self::canvas::{advance, escaped};
use super::label::{Label, Tone};
use super::{Card, Topology, VfPart};

/// Around everything.
const MARGIN: u32 = 24;
/// The title's height.
const HEAD: u32 = 40;
/// A box's height.
const BOX: u32 = 42;
/// From one row to the next.
const ROW: u32 = 52;
/// Between columns.
const GAP: u32 = 36;
/// Between cards.
const BETWEEN: u32 = 28;
/// Between a card's frame and its VFs.
const PAD: u32 = 12;
/// The legend's height.
const LEGEND: u32 = 40;

/// A picture; `title` stands above it.
pub fn picture(topology: &Topology, title: &str) -> String {
    let columns = Columns::of(topology);
    let mut canvas = Canvas::default();
    let mut top = MARGIN + HEAD;
    let mut bridged: Vec<u32> = Vec::new();
    for card in &topology.cards {
        draw(&mut canvas, &columns, card, top, topology.bridge.is_some(), &mut bridged);
        top += height(card) + BETWEEN;
    }
    let mut bottom = top.saturating_sub(BETWEEN);
    if let Some(bridge) = &topology.bridge {
        // From the first port to the last, and as high as its own text at least.
        let first = bridged.first().map_or(MARGIN + HEAD, |row| row - BOX / 2);
        let end = bridged.last().map_or(0, |row| row + BOX / 2).max(first + BOX);
        canvas.boxed(columns.bridge.start, first, width_of(&columns.bridge), end - first, &bridge.label());
        bottom = bottom.max(end);
    }
    if topology.cards.is_empty() {
        let nothing = Label {
            title: "no card".to_owned(),
            detail: "no function can have VFs".to_owned(),
            tone: Tone::Plain,
        };
        canvas.boxed(columns.ports.start, MARGIN + HEAD, width(&nothing), BOX, &nothing);
        bottom = bottom.max(MARGIN + HEAD + BOX);
    }
    let legend = canvas.legend(MARGIN, bottom + LEGEND / 2);
    let right = columns.vms.end.max(legend).max(MARGIN + canvas::title_width(title));
    canvas.document(right + MARGIN, bottom + LEGEND + MARGIN, title, (MARGIN, MARGIN + HEAD / 2))
}

/// Where each column is, from left to right.
struct Columns {
    bridge: Range<u32>,
    ports: Range<u32>,
    /// VFs, within the frames of their cards.
    vfs: Range<u32>,
    datapaths: Range<u32>,
    vms: Range<u32>,
}

impl Columns {
    /// As wide as the widest text in each; a column of nothing takes no place.
    fn of(topology: &Topology) -> Self {
        let widest =
            |labels: &mut dyn Iterator<Item = Label>| labels.map(|label| width(&label)).max().unwrap_or(0);
        let cards = || topology.cards.iter();
        let vfs = || cards().flat_map(|card| &card.vfs);
        let ports = cards().filter_map(|card| card.uplink.as_ref());
        let mut ports = ports.chain(vfs().filter_map(|vf| vf.representor.as_ref())).map(super::Port::label);
        let frame =
            widest(&mut cards().map(Card::label)).max(widest(&mut vfs().map(VfPart::label)) + 2 * PAD);
        let mut left = MARGIN;
        let mut column = |width: u32, gap: u32| {
            let at = left..left + width;
            left = if width > 0 { at.end + gap } else { left };
            at
        };
        Self {
            bridge: column(widest(&mut topology.bridge.iter().map(super::Bridge::label)), GAP),
            ports: column(widest(&mut ports), GAP),
            vfs: column(frame, GAP),
            datapaths: column(
                widest(&mut vfs().filter_map(|vf| vf.datapath.as_ref()).map(super::Datapath::label)),
                GAP,
            ),
            vms: column(widest(&mut vfs().filter_map(|vf| vf.vm.as_ref()).map(super::Vm::label)), 0),
        }
    }
}

fn width_of(column: &Range<u32>) -> u32 {
    column.end - column.start
}

fn height(card: &Card) -> u32 {
    let rows = u32::try_from(card.vfs.len()).unwrap_or(u32::MAX);
    BOX + if rows > 0 { rows * ROW + PAD } else { 0 }
}

/// A card with all that is in its rows. Adds the middles of the rows that are on the bridge.
fn draw(canvas: &mut Canvas, columns: &Columns, card: &Card, top: u32, bridge: bool, bridged: &mut Vec<u32>) {
    let frame = columns.vfs.clone();
    canvas.frame(frame.start, top, width_of(&frame), height(card), &card.label());
    let rows = (0..card.vfs.len()).map(|nth| top + ROW * (u32::try_from(nth).unwrap_or(0) + 1));
    let rows: Vec<u32> = rows.collect();
    let mut port = |canvas: &mut Canvas, port: &super::Port, at: u32, to: u32| {
        let (label, middle) = (port.label(), at + BOX / 2);
        if bridge && port.bridged.is_some() {
            canvas.line(columns.bridge.end, columns.ports.start, middle, label.tone);
            bridged.push(middle);
        }
        canvas.line(columns.ports.end, to, middle, Tone::Plain);
        canvas.boxed(columns.ports.start, at, width_of(&columns.ports), BOX, &label);
    };
    if let Some(uplink) = &card.uplink {
        port(canvas, uplink, top, frame.start);
    }
    for (vf, &at) in card.vfs.iter().zip(&rows) {
        let (left, right, middle) = (frame.start + PAD, frame.end - PAD, at + BOX / 2);
        if let Some(representor) = &vf.representor {
            port(canvas, representor, at, left);
        }
        canvas.boxed(left, at, right - left, BOX, &vf.label());
        let mut end = right;
        if let Some(datapath) = &vf.datapath {
            let label = datapath.label();
            canvas.line(end, columns.datapaths.start, middle, label.tone);
            canvas.boxed(columns.datapaths.start, at, width_of(&columns.datapaths), BOX, &label);
            end = columns.datapaths.end;
        }
        if let Some(vm) = &vf.vm {
            canvas.line(end, columns.vms.start, middle, vm.label().tone);
        }
    }
    let mut next = 0;
    for run in card.vfs.chunk_by(|one, other| domain(one).is_some() && domain(one) == domain(other)) {
        let (first, last) = (next, next + run.len() - 1);
        next += run.len();
        if let Some(vm) = &run[0].vm {
            let (from, to) = (rows[first], rows[last] + BOX);
            canvas.boxed(columns.vms.start, from, width_of(&columns.vms), to - from, &vm.label());
        }
    }
}

fn domain(vf: &VfPart) -> Option<&vdpa_vm::DomainName> {
    vf.vm.as_ref().map(|vm| &vm.domain)
}
