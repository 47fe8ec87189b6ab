//! The errors of the product, as its sources declare them.
//!
//! What is read is the syntax of `crates/*/src`, not a running program: a variant that no test makes is in the list too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Fields, ImplItem, Lit, Meta};

use super::text;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The crate's directory, the type and, of an enum, the variant: `ovs::Error::NoBridge`.
    pub(super) key: String,
    /// What is printed, with what differs from case to case in `‹…›`. None: another message's words, or no fixed ones.
    pub(super) text: Option<String>,
    /// What it means, in the words of the code's documentation.
    pub(super) meaning: String,
}

/// A mistake in a host file or on a command line that is found after the syntax was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mistake {
    /// What is printed.
    pub(super) text: String,
    /// What is printed below it: what to do.
    pub(super) hint: String,
}

/// All that the sources of the product's crates declare.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Of errors with a type or variant of their own, in the order of the sources.
    pub(super) messages: Vec<Message>,
    /// Of mistakes, in the order of the alphabet.
    pub(super) mistakes: Vec<Mistake>,
}

impl Declared {
    /// Reads the sources of all crates in `crates`.
    pub(super) fn read(crates: &Path) -> Result<Self> {
        let mut declared = Self::default();
        for directory in entries(crates)? {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for file in sources(&directory.join("src"))? {
                let source =
                    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
                declared.take(&name, &source).with_context(|| format!("cannot parse {}", file.display()))?;
            }
        }
        declared.mistakes.sort();
        declared.mistakes.dedup();
        Ok(declared)
    }

    /// Takes what one file of the crate in directory `name` declares.
    fn take(&mut self, name: &str, source: &str) -> Result<()> {
        let file = syn::parse_file(source)?;
        let mut finder = Finder { crate_name: name, found: Self::default(), displayed: BTreeMap::new() };
        finder.visit_file(&file);
        let Finder { found, displayed, .. } = finder;
        self.messages.extend(found.messages);
        self.mistakes.extend(found.mistakes);
        // Errors that print themselves: the type is an error, and its words are in `Display`.
        for implementation in file.items.iter().filter_map(as_error) {
            let variants = file.items.iter().find_map(|item| match item {
                syn::Item::Enum(item) if item.ident == implementation => Some(&item.variants),
                _ => None,
            });
            let words = displayed.get(&implementation);
            match variants {
                Some(variants) => self.messages.extend(variants.iter().map(|variant| Message {
                    key: format!("{name}::{implementation}::{}", variant.ident),
                    text: words.and_then(|words| words.get(&variant.ident.to_string()).cloned()),
                    meaning: documentation(&variant.attrs),
                })),
                None => self.messages.push(Message {
                    key: format!("{name}::{implementation}"),
                    text: None,
                    meaning: file
                        .items
                        .iter()
                        .find_map(|item| structure(item, &implementation))
                        .unwrap_or_default(),
                }),
            }
        }
        Ok(())
    }
}

/// The type of an `impl Error for TYPE`.
fn as_error(item: &syn::Item) -> Option<String> {
    let syn::Item::Impl(item) = item else { return None };
    let (of, _) = item.trait_.as_ref()?;
    let is_error = of.segments.last().is_some_and(|last| last.ident == "Error");
    if is_error { self_type(item) } else { None }
}

fn self_type(item: &syn::ItemImpl) -> Option<String> {
    let syn::Type::Path(path) = &*item.self_ty else { return None };
    path.path.segments.last().map(|last| last.ident.to_string())
}

fn structure(item: &syn::Item, name: &str) -> Option<String> {
    match item {
        syn::Item::Struct(item) if item.ident == name => Some(documentation(&item.attrs)),
        _ => None,
    }
}

/// The Rust files below a directory, but for the mocks: what they refuse, they refuse in the words of the real thing.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in entries(directory)? {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "mock") {
                files.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Walks one file.
struct Finder<'a> {
    crate_name: &'a str,
    found: Declared,
    /// Of each type with a `Display` that matches on itself: the words of each variant.
    displayed: BTreeMap<String, BTreeMap<String, String>>,
}

impl Finder<'_> {
    fn message(&mut self, name: &str, attrs: &[Attribute], fields: &Fields, of: &[Attribute]) {
        let Some(error) = attrs.iter().chain(of).find(|attribute| attribute.path().is_ident("error")) else {
            return;
        };
        let Ok(text) =
            error.parse_args_with(|input: syn::parse::ParseStream<'_>| text::of_attribute(input, fields))
        else {
            return;
        };
        let key = format!("{}::{name}", self.crate_name);
        let Some(text) = text else { return }; // transparent: its source's own words
        // Nothing but one field is no fixed text.
        let text = Some(text)
            .filter(|text| text.replace(|c: char| !c.is_alphabetic(), "").len() > 1 && !is_one_hole(text));
        self.found.messages.push(Message { key, text, meaning: documentation(attrs) });
    }
}

/// `‹message›`: whatever is in the field.
fn is_one_hole(text: &str) -> bool {
    text.starts_with('‹') && text.ends_with('›') && text.matches('‹').count() == 1
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
        });
        if !is_test {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        for variant in &item.variants {
            self.message(&format!("{}::{}", item.ident, variant.ident), &variant.attrs, &variant.fields, &[]);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.message(&item.ident.to_string(), &item.attrs, &item.fields, &[]);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let is_display = item
            .trait_
            .as_ref()
            .and_then(|(path, _)| path.segments.last())
            .is_some_and(|last| last.ident == "Display");
        if let (true, Some(name)) = (is_display, self_type(item)) {
            let mut arms = Arms::default();
            for function in &item.items {
                if let ImplItem::Fn(function) = function {
                    arms.visit_block(&function.block);
                }
            }
            self.displayed.insert(name, arms.words);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        if expression.path.segments.last().is_some_and(|last| last.ident == "ConfigError") {
            let field = |name: &str| {
                let named = |field: &&syn::FieldValue| matches!(&field.member, syn::Member::Named(ident) if ident == name);
                expression.fields.iter().find(named).map(|field| &field.expr)
            };
            if let (Some(message), Some(hint)) = (field("message"), field("hint")) {
                self.found.mistakes.extend(mistake(message, hint));
            }
        }
        visit::visit_expr_struct(self, expression);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        // `let message = …; let hint = …;` before the call that takes them.
        let locals = block.stmts.iter().filter_map(|statement| match statement {
            syn::Stmt::Local(local) => match (&local.pat, &local.init) {
                (syn::Pat::Ident(name), Some(init)) => Some((name.ident.to_string(), &*init.expr)),
                _ => None,
            },
            _ => None,
        });
        let locals: BTreeMap<String, &Expr> = locals.collect();
        let mut calls = Calls { locals: &locals, found: Vec::new() };
        calls.visit_block(block);
        self.found.mistakes.extend(calls.found);
        visit::visit_block(self, block);
    }
}

/// Finds the calls in a block that say what is wrong: `reader.wrong(span, message, hint)` of a host file's reader, and
/// `usage(message, hint)` of a command's options. Both may have been given a name in the block.
struct Calls<'a> {
    locals: &'a BTreeMap<String, &'a Expr>,
    found: Vec<Mistake>,
}

impl Calls<'_> {
    fn look_up<'e>(&'e self, expression: &'e Expr) -> &'e Expr {
        match expression {
            Expr::Path(path) => path
                .path
                .get_ident()
                .and_then(|name| self.locals.get(&name.to_string()))
                .copied()
                .unwrap_or(expression),
            _ => expression,
        }
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "wrong" && call.args.len() == 3 {
            let found = mistake(self.look_up(&call.args[1]), self.look_up(&call.args[2]));
            self.found.extend(found);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if matches!(&*call.func, Expr::Path(path) if path.path.is_ident("usage")) && call.args.len() == 2 {
            let found = mistake(self.look_up(&call.args[0]), self.look_up(&call.args[1]));
            self.found.extend(found);
        }
        visit::visit_expr_call(self, call);
    }
}

/// Both have fixed words, or it is found elsewhere.
fn mistake(message: &Expr, hint: &Expr) -> Option<Mistake> {
    let mistake = Mistake { text: text::of_expression(message)?, hint: text::of_expression(hint)? };
    (!is_one_hole(&mistake.text)).then_some(mistake)
}

/// The words that each arm of a `Display` writes.
#[derive(Default)]
struct Arms {
    words: BTreeMap<String, String>,
}

impl<'ast> Visit<'ast> for Arms {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let path = match &arm.pat {
            syn::Pat::Path(path) => Some(&path.path),
            syn::Pat::TupleStruct(pattern) => Some(&pattern.path),
            syn::Pat::Struct(pattern) => Some(&pattern.path),
            _ => None,
        };
        let words = text::of_expression(&arm.body);
        if let (Some(variant), Some(words)) = (path.and_then(|path| path.segments.last()), words) {
            self.words.insert(variant.ident.to_string(), words);
        }
    }
}

/// The first paragraph of a documentation comment, in one line.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let paragraph: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        /// Why not.
        #[derive(Debug, Error)]
        pub enum Error {
            /// There is none.
            ///
            /// More about it.
            #[error("there is no {name} on {}", .at.display())]
            None { name: String, at: PathBuf },
            /// Another's words.
            #[error(transparent)]
            Other(#[from] Inner),
            /// Whatever was said.
            #[error("{0}")]
            Said(String),
        }
        pub enum Finding { 
            /// Too many of them.
            TooMany(u16) }
        impl fmt::Display for Finding {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { Self::TooMany(count) => { write!(f, "{count} are {}", MAX) } }
            }
        }
        impl std::error::Error for Finding {}
        fn read(reader: &Reader) -> Error {
            let hint = "take it out";
            reader.wrong(&span, format!("{who} is there twice"), hint)
        }
        #[cfg(test)]
        mod tests {
            #[derive(Error)]
            pub enum Pretend { #[error("of a test")] One }
        }
    "#;

    fn declared() -> Declared {
        let mut declared = Declared::default();
        declared.take("hw", SOURCE).unwrap();
        declared
    }

    #[test]
    fn errors_are_found_with_their_words_and_their_meaning() {
        let message = |key: &str, text: Option<&str>, meaning: &str| Message {
            key: key.to_owned(),
            text: text.map(str::to_owned),
            meaning: meaning.to_owned(),
        };
        assert_eq!(
            declared().messages,
            [
                message("hw::Error::None", Some("there is no ‹name› on ‹at›"), "There is none."),
                message("hw::Error::Said", None, "Whatever was said."),
                message("hw::Finding::TooMany", Some("‹count› are ‹MAX›"), "Too many of them."),
            ]
        );
    }

    #[test]
    fn mistakes_are_found_where_they_are_made() {
        let expected = Mistake { text: "‹who› is there twice".into(), hint: "take it out".into() };
        assert_eq!(declared().mistakes, [expected]);
    }
}
