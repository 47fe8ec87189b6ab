//! Text in commas and parentheses, cut where Open vSwitch joined it.

use std::fmt;

/// How deep attributes and actions may stand in each other to be taken apart: `MAX_ODP_NESTED`, lib/odp-util.c.
/// What is deeper stays text.
pub(super) const DEEPEST: u8 = 32;

/// The parts of a text between commas that stand in no parentheses.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    rest: Option<&'a str>,
}

impl<'a> Items<'a> {
    /// Of `text`; none where it is empty.
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: (!text.is_empty()).then_some(text) }
    }

    /// The next one, which is left where it is.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.clone().next()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let end = comma(rest);
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(end.map_or(rest, |end| &rest[..end]))
    }
}

/// Where the first comma outside of parentheses is.
fn comma(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for at in memchr::memchr3_iter(b'(', b')', b',', text.as_bytes()) {
        match text.as_bytes()[at] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where the parenthesis closes whose content begins `text`.
pub(super) fn closing(text: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    for at in memchr::memchr2_iter(b'(', b')', text) {
        match (text[at], depth) {
            (b'(', _) => depth += 1,
            (_, 0) => return Some(at),
            _ => depth -= 1,
        }
    }
    None
}

/// The name and the content of `name(content)`.
pub(super) fn group(item: &str) -> Option<(&str, &str)> {
    let open = memchr::memchr(b'(', item.as_bytes())?;
    let content = item[open + 1..].strip_suffix(')')?;
    Some((&item[..open], content))
}

/// Whether `value` prints as `text`, to the byte.
pub(super) fn prints_as(value: &impl fmt::Display, text: &str) -> bool {
    use fmt::Write as _;
    let mut left = Left(text);
    write!(left, "{value}").is_ok() && left.0.is_empty()
}

/// What is still to be printed.
struct Left<'a>(&'a str);

impl fmt::Write for Left<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_count_outside_of_parentheses() {
        let items = |text| Items::of(text).collect::<Vec<_>>();
        assert_eq!(items(""), [""; 0]);
        assert_eq!(items("1,set(a(b=1,c),d),,3"), ["1", "set(a(b=1,c),d)", "", "3"]);
        assert_eq!(items("a),b"), ["a)", "b"], "what closes nothing is a character like others");
    }

    #[test]
    fn a_group_has_a_name_and_a_content() {
        assert_eq!(group("eth()"), Some(("eth", "")));
        assert_eq!(group("encap(eth_type(0x0800))"), Some(("encap", "eth_type(0x0800)")));
        assert_eq!((group("drop"), group("eth(src")), (None, None));
        assert_eq!(closing(b"a(b)c),d)"), Some(5));
        assert_eq!(closing(b"a(b)c"), None);
    }

    #[test]
    fn printing_is_compared_to_the_byte() {
        assert!(prints_as(&17, "17") && !prints_as(&17, "170") && !prints_as(&17, "1"));
    }
}
