//! Whether a picture can be looked at: well formed, everything in its place, text in its box.

use roxmltree::{Document, Node};

/// A box in a picture, with the texts in it.
struct Drawn<'a> {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    texts: Vec<(f64, f64, f64, &'a str)>,
}

impl Drawn<'_> {
    fn overlaps(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {node:?}"))
}

/// Panics where a picture cannot be looked at.
pub(crate) fn is_sound(svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"));
    let root = document.root_element();
    let (width, height) = (number(root, "width"), number(root, "height"));
    let groups = root.children().filter(|node| node.has_tag_name("g"));
    let boxes: Vec<Drawn<'_>> = groups
        .filter(|group| !group.attribute("class").unwrap_or_default().contains("frame"))
        .filter_map(|group| {
            let rect = group.children().find(|node| node.has_tag_name("rect"))?;
            // The legend's.
            (number(rect, "height") > 20.0).then(|| drawn(group, rect))
        })
        .collect();
    assert!(!boxes.is_empty());
    for (nth, one) in boxes.iter().enumerate() {
        assert!(one.x >= 0.0 && one.y >= 0.0 && one.x + one.width <= width && one.y + one.height <= height);
        for (x, y, size, text) in &one.texts {
            // The widest of the fonts named has 0.61 of its size for a character.
            #[allow(clippy::cast_precision_loss, reason = "a text of some dozen characters")]
            let end = x + text.chars().count() as f64 * size * 0.61;
            assert!(
                *x >= one.x && end <= one.x + one.width && *y <= one.y + one.height,
                "{text:?} leaves its box"
            );
        }
        for other in &boxes[nth + 1..] {
            assert!(!one.overlaps(other), "{:?} lies on {:?}", one.texts, other.texts);
        }
    }
    for path in root.children().filter(|node| node.has_tag_name("path")) {
        let d = path.attribute("d").unwrap();
        let (from, to) = d.strip_prefix('M').unwrap().split_once('H').unwrap();
        let (x, _) = from.split_once(' ').unwrap();
        assert!(x.parse::<f64>().unwrap() < to.parse::<f64>().unwrap(), "{d} goes to the left");
    }
}

fn drawn<'a>(group: Node<'a, '_>, rect: Node<'a, '_>) -> Drawn<'a> {
    let texts = group.children().filter(|node| node.has_tag_name("text")).map(|text| {
        let size = if text.attribute("class") == Some("title") { 13.0 } else { 11.0 };
        (number(text, "x"), number(text, "y"), size, text.text().unwrap_or_default())
    });
    Drawn {
        x: number(rect, "x"),
        y: number(rect, "y"),
        width: number(rect, "width"),
        height: number(rect, "height"),
        texts: texts.collect(),
    }
}
