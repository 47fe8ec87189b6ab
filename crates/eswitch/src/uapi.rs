//! The kernel's numbers under the kernel's names, and the test that none of them is taken on trust.

/// Constants of one type. Under the feature `daemon`, tests find all of them in `TABLE`.
macro_rules! numbers {
    ($kind:ty: $($name:ident = $value:literal,)+) => {
        $(pub(crate) const $name: $kind = $value;)+

        #[cfg(all(test, feature = "daemon"))]
        pub(crate) const TABLE: &[(&str, u64)] = &[$((stringify!($name), $value)),+];
    };
}
pub(crate) use numbers;

#[cfg(all(test, feature = "daemon"))]
pub(crate) use header::check;

/// Reads the header that linux-libc-dev has installed.
#[cfg(all(test, feature = "daemon"))]
mod header {
    use std::collections::BTreeMap;

    /// Asserts that each of `ours` is in an enum of the header, with that number.
    pub(crate) fn check(header: &str, ours: &[(&str, u64)]) {
        let text = std::fs::read_to_string(header)
            .unwrap_or_else(|error| panic!("{header} (package linux-libc-dev): {error}"));
        let theirs = enumerators(&text);
        assert!(theirs.len() > 50, "{header} was not understood: {theirs:?}");
        let wrong: Vec<_> = ours
            .iter()
            .filter(|(name, value)| theirs.get(*name) != Some(value))
            .map(|(name, value)| format!("{name} is {value} here and {:?} there", theirs.get(*name)))
            .collect();
        assert!(wrong.is_empty(), "{header}: {wrong:#?}");
    }

    /// Every enumerator of every enum whose values are plain: counted, or a number.
    fn enumerators(text: &str) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let text = without_comments_and_directives(text);
        for block in text.split("enum").skip(1) {
            let Some((_, rest)) = block.split_once('{') else { continue };
            let Some((body, _)) = rest.split_once('}') else { continue };
            let mut next = Some(0);
            for item in body.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let (name, value) = match item.split_once('=') {
                    Some((name, value)) => (name.trim(), value.trim().parse().ok()),
                    None => (item, next),
                };
                next = value.map(|value: u64| value + 1);
                found.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        found
    }

    fn without_comments_and_directives(text: &str) -> String {
        let mut code = String::new();
        let mut rest = text;
        while let Some((before, comment)) = rest.split_once("/*") {
            code.push_str(before);
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        }
        code.push_str(rest);
        let mut continued = false;
        let kept = code.lines().filter(|line| {
            let directive = continued || line.trim_start().starts_with('#');
            continued = directive && line.trim_end().ends_with('\\');
            !directive
        });
        kept.collect::<Vec<_>>().join("\n")
    }
}
