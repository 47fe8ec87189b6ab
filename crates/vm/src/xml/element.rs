//! New elements: built as a small tree and written by quick-xml in the layout of the document.
//!
//! Attributes are quoted with `'`, as libvirt prints them.

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

/// White space around a new element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What stands before the element: a line end and its indentation, or nothing in a document without lines.
    pub(crate) separator: String,
    /// One step of indentation.
    pub(crate) unit: String,
}

impl Layout {
    fn inner(&self) -> Self {
        let step = if self.separator.is_empty() { "" } else { &self.unit };
        Self { separator: format!("{}{step}", self.separator), unit: self.unit.clone() }
    }
}

/// An element to be written.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: &'static str,
    attributes: String,
    text: String,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
enum Child {
    Element(Element),
    Verbatim(String),
}

impl Element {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), text: String::new(), children: Vec::new() }
    }

    /// With an attribute; `value` is escaped.
    pub(crate) fn with(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.attributes.extend([" ", name, "='", &escape(value.to_string()), "'"]);
        self
    }

    /// With text from the document among its attributes.
    pub(crate) fn with_verbatim(mut self, attribute: &str) -> Self {
        self.attributes.extend([" ", attribute]);
        self
    }

    /// With text for its content; it is escaped.
    pub(crate) fn saying(mut self, text: &(impl ToString + ?Sized)) -> Self {
        self.text.push_str(&escape(text.to_string()));
        self
    }

    /// With a child.
    pub(crate) fn holding(mut self, child: Self) -> Self {
        self.children.push(Child::Element(child));
        self
    }

    /// With text from the document as a child.
    pub(crate) fn holding_verbatim(mut self, child: &str) -> Self {
        self.children.push(Child::Verbatim(child.to_owned()));
        self
    }

    /// Whether it says nothing.
    pub(crate) fn is_bare(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty()
    }

    /// The element as text, without the separator before it.
    pub(crate) fn write(&self, layout: &Layout) -> String {
        let mut writer = Writer::new(Vec::new());
        // Writing to memory does not fail.
        let _ = self.write_to(&mut writer, layout);
        String::from_utf8_lossy(&writer.into_inner()).into_owned()
    }

    fn write_to(&self, writer: &mut Writer<Vec<u8>>, layout: &Layout) -> std::io::Result<()> {
        let start = BytesStart::from_content(format!("{}{}", self.name, self.attributes), self.name.len());
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        writer.write_event(Event::Text(BytesText::from_escaped(self.text.as_str())))?;
        let inner = layout.inner();
        for child in &self.children {
            writer.write_event(Event::Text(BytesText::from_escaped(&*inner.separator)))?;
            match child {
                Child::Element(element) => element.write_to(writer, &inner)?,
                Child::Verbatim(text) => {
                    writer.write_event(Event::Text(BytesText::from_escaped(text.as_str())))?;
                }
            }
        }
        if !self.children.is_empty() {
            writer.write_event(Event::Text(BytesText::from_escaped(&*layout.separator)))?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let element = Element::new("source").with("path", "/run/a'b<c>&\".sock");
        assert_eq!(
            element.write(&Layout::default()),
            "<source path='/run/a&apos;b&lt;c&gt;&amp;&quot;.sock'/>"
        );
    }

    #[test]
    fn children_are_indented_as_the_document_is() {
        let element = Element::new("a").holding(Element::new("b").with("c", &1).holding_verbatim("<d />"));
        let layout = Layout { separator: "\r\n\t".to_owned(), unit: "\t".to_owned() };
        assert_eq!(element.write(&layout), "<a>\r\n\t\t<b c='1'>\r\n\t\t\t<d />\r\n\t\t</b>\r\n\t</a>");
        assert_eq!(element.write(&Layout::default()), "<a><b c='1'><d /></b></a>");
        assert_eq!(Element::new("a").saying("b & c").write(&layout), "<a>b &amp; c</a>");
    }
}
