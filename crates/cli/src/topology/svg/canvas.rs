//! Boxes, lines and text, and the colours that they have.

use std::fmt::Write as _;

use crate::topology::label::{Label, Tone};

/// A character's width in thousandths of a font's size: monospace fonts agree on it.
const ADVANCE: u32 = 610;
/// The sizes of titles and details.
const TITLE: u32 = 13;
const DETAIL: u32 = 11;
/// Between a box's edge and its text.
const INSET: u32 = 10;
/// The longest text that is drawn, in characters; all of it is in the box's tooltip.
const LONGEST: usize = 56;

/// The colours of each tone (fill, line) and of paper, ink and faint ink: light, then dark.
const LIGHT: ([(Tone, [&str; 2]); 4], [&str; 3]) = (
    [
        (Tone::Good, ["#dcfce7", "#15803d"]),
        (Tone::Plain, ["#f1f5f9", "#64748b"]),
        (Tone::Slow, ["#fef3c7", "#b45309"]),
        (Tone::Bad, ["#fee2e2", "#b91c1c"]),
    ],
    ["#ffffff", "#0f172a", "#475569"],
);
const DARK: ([(Tone, [&str; 2]); 4], [&str; 3]) = (
    [
        (Tone::Good, ["#14321f", "#4ade80"]),
        (Tone::Plain, ["#1e293b", "#94a3b8"]),
        (Tone::Slow, ["#3a2a0b", "#fbbf24"]),
        (Tone::Bad, ["#3f1518", "#f87171"]),
    ],
    ["#0b1220", "#e2e8f0", "#a3b1c6"],
);

/// What is drawn so far: lines below boxes.
#[derive(Default)]
pub(super) struct Canvas {
    frames: String,
    lines: String,
    boxes: String,
}

/// How wide a box with this text is.
pub(super) fn width(label: &Label) -> u32 {
    let text = |text: &str, size| advance(cut(text).chars().count(), size);
    text(&label.title, TITLE).max(text(&label.detail, DETAIL)) + 2 * INSET
}

/// How wide a picture's title is.
pub(super) fn title_width(title: &str) -> u32 {
    advance(title.chars().count(), TITLE + 3)
}

/// How wide so many characters are at a size.
pub(crate) fn advance(characters: usize, size: u32) -> u32 {
    (u32::try_from(characters).unwrap_or(u32::MAX / ADVANCE / size) * size * ADVANCE).div_ceil(1000)
}

impl Canvas {
    /// A box with text, whose title is at its top.
    pub(super) fn boxed(&mut self, x: u32, y: u32, width: u32, height: u32, label: &Label) {
        let _ = write!(
            self.boxes,
            "<g class=\"{}\"><title>{}: {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>",
            label.tone.word(),
            escaped(&label.title),
            escaped(&label.detail)
        );
        texts(&mut self.boxes, x, y, label);
        self.boxes.push_str("</g>\n");
    }

    /// A frame around boxes, with its text at its top.
    pub(super) fn frame(&mut self, x: u32, y: u32, width: u32, height: u32, label: &Label) {
        let _ = write!(
            self.frames,
            "<g class=\"{} frame\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>",
            label.tone.word()
        );
        texts(&mut self.frames, x, y, label);
        self.frames.push_str("</g>\n");
    }

    /// A level line.
    pub(super) fn line(&mut self, from: u32, to: u32, y: u32, tone: Tone) {
        let _ = writeln!(self.lines, "<path class=\"{}\" d=\"M{from} {y}H{to}\"/>", tone.word());
    }

    /// What the tones mean; gives where it ends.
    pub(super) fn legend(&mut self, x: u32, y: u32) -> u32 {
        let mut left = x;
        for (_, word, meaning) in Tone::ALL {
            let (box_top, text_left) = (y + 2, left + 20);
            let _ = writeln!(
                self.boxes,
                "<g class=\"{word}\"><rect x=\"{left}\" y=\"{box_top}\" width=\"14\" height=\"14\" rx=\"3\"/>\
                 <text class=\"detail\" x=\"{text_left}\" y=\"{}\">{meaning}</text></g>",
                y + 13
            );
            left = text_left + advance(meaning.len(), DETAIL) + 20;
        }
        left
    }

    /// The whole picture.
    pub(super) fn document(&self, width: u32, height: u32, title: &str, (x, y): (u32, u32)) -> String {
        let title = escaped(title);
        let Self { frames, lines, boxes } = self;
        let style =
            format!("{}\n@media (prefers-color-scheme: dark) {{\n{}\n}}", style(&LIGHT), style(&DARK));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n<style>\n\
             text {{ font-family: ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; }}\n\
             .title {{ font-size: {TITLE}px; font-weight: 600; }}\n.detail {{ font-size: {DETAIL}px; }}\n\
             .head {{ font-size: {}px; font-weight: 600; }}\n\
             rect {{ stroke-width: 1.2px; }}\npath {{ stroke-width: 2px; fill: none; }}\n{style}\n</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"head\" x=\"{x}\" y=\"{y}\">{title}</text>\n{frames}{lines}{boxes}</svg>\n",
            TITLE + 3
        )
    }
}

fn texts(out: &mut String, x: u32, y: u32, label: &Label) {
    for (class, text, below) in [("title", &label.title, 18), ("detail", &label.detail, 33)] {
        let (x, y, text) = (x + INSET, y + below, escaped(&cut(text)));
        let _ = write!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
    }
}

fn style((tones, [paper, ink, faint]): &([(Tone, [&str; 2]); 4], [&str; 3])) -> String {
    let mut style =
        format!(".paper {{ fill: {paper}; }}\ntext {{ fill: {ink}; }}\n.detail {{ fill: {faint}; }}");
    for (tone, [fill, line]) in tones {
        let word = tone.word();
        let _ = write!(style, "\n.{word} rect {{ fill: {fill}; stroke: {line}; }}");
        let _ = write!(style, "\n.{word}.frame rect {{ fill: {paper}; }}\npath.{word} {{ stroke: {line}; }}");
    }
    style
}

/// Not longer than is drawn.
fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// As XML 1.0 has it in section 2.4; what is no character of it becomes a replacement character.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_cut() {
        assert_eq!(escaped("a<b>&\"c\"\u{1}"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}");
        let long = "ä".repeat(100);
        assert_eq!(cut(&long).chars().count(), LONGEST);
        assert_eq!(cut("short"), "short");
    }
}
