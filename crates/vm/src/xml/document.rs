//! A domain's XML as text with a tree over it: the tree says where things stand, the text is edited.
//!
//! The rule that makes edits reversible: the white space *before* a node belongs to it. A new node goes
//! right behind what precedes it, white space of its own in front; taking it out takes out that white
//! space too, and the text is byte for byte what it was.

use std::ops::Range;

use roxmltree::{Node, ParsingOptions};

use super::element::Layout;
use crate::{Error, Result};

/// A parsed domain document.
pub(crate) struct Document<'a> {
    text: &'a str,
    tree: roxmltree::Document<'a>,
}

/// The bytes of `range`, to be replaced by `text`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

impl Splice {
    pub(crate) fn apply(&self, document: &str) -> String {
        let Range { start, end } = self.range;
        [&document[..start], &self.text, &document[end..]].concat()
    }
}

impl<'a> Document<'a> {
    /// Reads a domain's XML.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let tree = roxmltree::Document::parse_with_options(text, options).map_err(|error| {
            let (line, column) = (error.pos().row, error.pos().col);
            let why = error.to_string();
            let why = why.strip_suffix(&format!(" at {}", error.pos())).unwrap_or(&why).to_owned();
            Error::Malformed { line, column, why }
        })?;
        let root = tree.root_element().tag_name();
        if root.name() != "domain" || root.namespace().is_some() {
            return Err(Error::NotADomain(format!("its root element is <{}>", root.name())));
        }
        Ok(Self { text, tree })
    }

    /// The `<domain>` element.
    pub(crate) fn domain(&self) -> Node<'_, 'a> {
        self.tree.root_element()
    }

    /// The element that `path` leads to from `<domain>`, by the first child of each name.
    pub(crate) fn at(&self, path: &[&str]) -> Option<Node<'_, 'a>> {
        path.iter().try_fold(self.domain(), |node, name| child(node, name))
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// A part of the text.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a str {
        &self.text[range]
    }

    /// Whether an element is an empty-element tag: `<devices/>`.
    pub(crate) fn is_empty_tag(&self, node: Node<'_, 'a>) -> bool {
        self.start_tag(node).1
    }

    /// The text of `node` as it stands in the document.
    pub(crate) fn verbatim(&self, node: Node<'_, 'a>) -> &'a str {
        &self.text[node.range()]
    }

    /// The splice that makes a new last child of `parent`.
    ///
    /// `write` gets the layout for it. An empty-element tag (`<devices/>`) is opened for it.
    pub(crate) fn append(&self, parent: Node<'_, 'a>, write: impl Fn(&Layout) -> String) -> Result<Splice> {
        let range = own_range(parent)?;
        let layout = self.layout_in(parent);
        let new = write(&layout);
        let (tag_end, is_empty) = self.start_tag(parent);
        if is_empty {
            let name = self.qualified_name(parent);
            let close =
                self.indent(parent).map(|indent| format!("{}{indent}", self.newline())).unwrap_or_default();
            let text = format!(">{}{new}{close}</{name}>", layout.separator);
            return Ok(Splice { range: tag_end - 2..tag_end, text });
        }
        let content = &self.text[tag_end..range.end];
        let end_tag = tag_end + content.rfind("</").unwrap_or(content.len());
        let at = self.before_white_space(end_tag);
        Ok(Splice { range: at..at, text: format!("{}{new}", layout.separator) })
    }

    /// The splice that makes a new sibling right behind `node`, and behind a comment on its line.
    pub(crate) fn insert_after(
        &self,
        node: Node<'_, 'a>,
        write: impl Fn(&Layout) -> String,
    ) -> Result<Splice> {
        let mut at = own_range(node)?.end;
        for sibling in node.next_siblings().skip(1) {
            if sibling.is_comment() {
                at = own_range(sibling)?.end;
            } else if !sibling.is_text() || sibling.text().is_some_and(|text| text.contains('\n')) {
                break;
            }
        }
        let layout = node.parent_element().map(|parent| self.layout_in(parent)).unwrap_or_default();
        Ok(Splice { range: at..at, text: format!("{}{}", layout.separator, write(&layout)) })
    }

    /// The splice that puts another element in the place of `node`.
    pub(crate) fn replace(&self, node: Node<'_, 'a>, write: impl Fn(&Layout) -> String) -> Result<Splice> {
        let separator =
            self.indent(node).map(|indent| format!("{}{indent}", self.newline())).unwrap_or_default();
        let layout = Layout { separator, unit: self.unit() };
        Ok(Splice { range: own_range(node)?, text: write(&layout) })
    }

    /// The splice that takes `node` out, and the white space before it.
    pub(crate) fn remove(&self, node: Node<'_, 'a>) -> Result<Splice> {
        let range = own_range(node)?;
        Ok(Splice { range: self.before_white_space(range.start)..range.end, text: String::new() })
    }

    /// The splice that gives `node` an attribute, before those that it has.
    pub(crate) fn add_attribute(&self, node: Node<'_, 'a>, name: &str, value: &str) -> Result<Splice> {
        let at = own_range(node)?.start + 1 + self.qualified_name(node).len();
        Ok(Splice { range: at..at, text: format!(" {name}='{value}'") })
    }

    /// The splice that takes an attribute of `node` out, and the white space before it; `None` where it has none.
    pub(crate) fn remove_attribute(&self, node: Node<'_, 'a>, name: &str) -> Result<Option<Splice>> {
        own_range(node)?;
        let Some(attribute) = node.attributes().find(|attribute| attribute.name() == name) else {
            return Ok(None);
        };
        let range = attribute.range();
        Ok(Some(Splice { range: self.before_white_space(range.start)..range.end, text: String::new() }))
    }

    /// The splice that makes `<name></name>` an empty-element tag again.
    pub(crate) fn collapse(&self, node: Node<'_, 'a>) -> Result<Splice> {
        let (tag_end, _) = self.start_tag(node);
        Ok(Splice { range: tag_end - 1..own_range(node)?.end, text: "/>".to_owned() })
    }

    /// The end of an element's start tag, and whether it is the whole element.
    fn start_tag(&self, node: Node<'_, 'a>) -> (usize, bool) {
        let start = node.range().start;
        let mut quote = None;
        for (offset, byte) in self.text.as_bytes()[start..].iter().enumerate() {
            match (quote, byte) {
                (None, b'"' | b'\'') => quote = Some(*byte),
                (Some(open), byte) if open == *byte => quote = None,
                (None, b'>') => return (start + offset + 1, self.text[..start + offset].ends_with('/')),
                _ => {}
            }
        }
        (node.range().end, false)
    }

    /// An element's name with its prefix.
    pub(crate) fn qualified_name(&self, node: Node<'_, 'a>) -> &'a str {
        let rest = &self.text[node.range().start + 1..];
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(rest.len());
        &rest[..end]
    }

    fn before_white_space(&self, at: usize) -> usize {
        self.text[..at].trim_end_matches([' ', '\t', '\r', '\n']).len()
    }

    /// How a new child of `parent` is set: as its first child is, or one step in from `parent`.
    fn layout_in(&self, parent: Node<'_, 'a>) -> Layout {
        let indent = match parent.first_element_child() {
            Some(first) => self.indent(first).map(str::to_owned),
            None => self.indent(parent).map(|indent| format!("{indent}{}", self.unit())),
        };
        let separator = indent.map(|indent| format!("{}{indent}", self.newline())).unwrap_or_default();
        Layout { separator, unit: self.unit() }
    }

    /// The white space before `node` on its line; `None` where it does not begin its line.
    fn indent(&self, node: Node<'_, 'a>) -> Option<&'a str> {
        let before = &self.text[..node.range().start];
        let line = before.rsplit('\n').next().unwrap_or(before);
        line.bytes().all(|b| b == b' ' || b == b'\t').then_some(line)
    }

    fn newline(&self) -> &'static str {
        match self.text.find('\n') {
            Some(at) if self.text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }

    /// One step of indentation.
    fn unit(&self) -> String {
        let first = self.domain().first_element_child().and_then(|first| self.indent(first));
        let step = first.and_then(|first| first.strip_prefix(self.indent(self.domain()).unwrap_or_default()));
        step.unwrap_or("  ").to_owned()
    }
}

/// Where `node` stands in the text; an error where it stands in an entity's declaration instead.
fn own_range(node: Node<'_, '_>) -> Result<Range<usize>> {
    let range = node.range();
    let within = |outer: Range<usize>| outer.start <= range.start && range.end <= outer.end;
    if node.ancestors().skip(1).filter(Node::is_element).all(|ancestor| within(ancestor.range())) {
        return Ok(range);
    }
    Err(Error::FromEntity(node.tag_name().name().to_owned()))
}

/// The first child element of this name.
pub(crate) fn child<'d, 'a>(node: Node<'d, 'a>, name: &str) -> Option<Node<'d, 'a>> {
    children(node, name).next()
}

/// The child elements of this name.
pub(crate) fn children<'d, 'a>(node: Node<'d, 'a>, name: &str) -> impl Iterator<Item = Node<'d, 'a>> {
    node.children().filter(move |child| child.has_tag_name(name) && child.tag_name().namespace().is_none())
}

/// Whether nothing is in the element but white space.
pub(crate) fn is_blank(node: Node<'_, '_>) -> bool {
    node.children().all(|child| child.is_text() && child.text().is_none_or(|text| text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document<'_> {
        Document::parse(text).unwrap()
    }

    #[test]
    fn a_malformed_document_is_refused_with_its_place() {
        let error = Document::parse("<domain>\n  <name>a</nam>\n</domain>").err().unwrap();
        let Error::Malformed { line: 2, why, .. } = &error else { panic!("{error:?}") };
        assert!(why.contains("nam") && !why.contains(" at 2:"), "{why}");
        assert!(Document::parse("").is_err());
        assert!(Document::parse("<domain>").is_err());
    }

    #[test]
    fn a_document_of_another_kind_is_refused() {
        let error = Document::parse("<network/>").err().unwrap();
        assert_eq!(error.to_string(), "not a libvirt domain: its root element is <network>");
        assert!(Document::parse("<domain xmlns='urn:other'/>").is_err());
    }

    #[test]
    fn a_billion_laughs_end_at_once() {
        let mut text = "<!DOCTYPE domain [<!ENTITY a0 'ha'>".to_owned();
        for n in 1..30 {
            let before = format!("&a{};", n - 1).repeat(10);
            text.extend(["<!ENTITY a", &n.to_string(), " '", &before, "'>"]);
        }
        text += "]><domain>&a29;</domain>";
        assert!(matches!(Document::parse(&text), Err(Error::Malformed { .. })));
    }

    #[test]
    fn what_is_put_in_is_taken_out_without_a_trace() {
        for text in [
            "<domain><devices><a/></devices></domain>",
            "<domain>\n  <devices>\n    <a/>\n  </devices>\n</domain>\n",
            "<domain>\r\n\t<devices>\r\n\t\t<a x='>'/> <!-- last -->\r\n\t</devices>\r\n</domain>",
            "<domain><devices></devices></domain>",
            "<domain>\n<devices><![CDATA[ ]]></devices></domain>",
            "\u{feff}<domain>\n <devices>&#32;</devices >\n</domain>",
        ] {
            let document = parse(text);
            let devices = document.at(&["devices"]).unwrap();
            let put = document.append(devices, |_| "<new/>".to_owned()).unwrap().apply(text);
            let document = parse(&put);
            let new = document.at(&["devices", "new"]).unwrap();
            assert_eq!(document.remove(new).unwrap().apply(&put), text, "by way of {put}");
        }
    }

    #[test]
    fn a_new_child_stands_as_its_siblings_do() {
        let text = "<domain>\r\n\t<devices>\r\n\t\t<a/>\r\n\t</devices>\r\n</domain>";
        let document = parse(text);
        let devices = document.at(&["devices"]).unwrap();
        let put = document.append(devices, |_| "<new/>".to_owned()).unwrap().apply(text);
        assert_eq!(put, "<domain>\r\n\t<devices>\r\n\t\t<a/>\r\n\t\t<new/>\r\n\t</devices>\r\n</domain>");
    }

    #[test]
    fn an_empty_element_is_opened_and_closed_again() {
        let text = "<domain>\n  <devices a='/>' />\n</domain>";
        let document = parse(text);
        let devices = document.at(&["devices"]).unwrap();
        let put = document.append(devices, |_| "<new/>".to_owned()).unwrap().apply(text);
        assert_eq!(put, "<domain>\n  <devices a='/>' >\n    <new/>\n  </devices>\n</domain>");
        let document = parse(&put);
        let taken = document.remove(document.at(&["devices", "new"]).unwrap()).unwrap().apply(&put);
        let document = parse(&taken);
        let devices = document.at(&["devices"]).unwrap();
        assert!(is_blank(devices));
        assert_eq!(document.collapse(devices).unwrap().apply(&taken), text);
    }

    #[test]
    fn what_comes_from_an_entity_is_not_edited() {
        let text = "<!DOCTYPE domain [<!ENTITY d '<devices><a/></devices>'>]><domain>&d;</domain>";
        let document = parse(text);
        let devices = document.at(&["devices"]).unwrap();
        let error = document.append(devices, |_| "<new/>".to_owned()).unwrap_err();
        assert_eq!(error, Error::FromEntity("devices".to_owned()));
    }
}
