//! From a format string to what people see of it: `cannot read {path}` is shown as `cannot read ‹path›`.

use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Fields, Lit, LitStr, Token};

/// The text of thiserror's `#[error("…", …)]`; `None` for `#[error(transparent)]`.
pub(super) fn of_attribute(input: ParseStream<'_>, fields: &Fields) -> syn::Result<Option<String>> {
    if input.peek(syn::Ident) {
        input.parse::<proc_macro2::TokenStream>()?;
        return Ok(None);
    }
    let format: LitStr = input.parse()?;
    // thiserror's `.0.len()` is no expression of Rust's, so arguments are looked at as text.
    let rest: proc_macro2::TokenStream = input.parse()?;
    let arguments = split(&rest.to_string());
    Ok(Some(filled(&format.value(), &arguments, fields)))
}

/// The text that an expression makes: a literal, `format!`, or either behind `.to_owned()` and the like.
pub(super) fn of_expression(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        Expr::MethodCall(call) if call.args.is_empty() => of_expression(&call.receiver),
        Expr::Macro(call) => of_macro(&call.mac),
        Expr::Block(block) => match &block.block.stmts[..] {
            [syn::Stmt::Expr(expression, None)] => of_expression(expression),
            [syn::Stmt::Macro(statement)] => of_macro(&statement.mac),
            _ => None,
        },
        Expr::Reference(reference) => of_expression(&reference.expr),
        _ => None,
    }
}

/// `format!("…", …)`, `write!(f, "…", …)`.
fn of_macro(call: &syn::Macro) -> Option<String> {
    let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.tokens.clone()).ok()?;
    let at = arguments.iter().position(|argument| matches!(argument, Expr::Lit(_)))?;
    let Expr::Lit(ExprLit { lit: Lit::Str(format), .. }) = &arguments[at] else { return None };
    let rest = split(&call.tokens.to_string());
    Some(filled(&format.value(), rest.get(at + 1..).unwrap_or_default(), &Fields::Unit))
}

/// A format string with `‹…›` in place of its holes.
fn filled(format: &str, arguments: &[String], fields: &Fields) -> String {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, hole) = rest.split_at(at);
        text.push_str(before);
        if hole.starts_with("{{") || hole.starts_with("}}") {
            text.push_str(&hole[..1]);
            rest = &hole[2..];
            continue;
        }
        let (inside, after) = hole[1..].split_once('}').unwrap_or((&hole[1..], ""));
        let name = inside.split(':').next().unwrap_or_default();
        match name.parse::<usize>() {
            _ if name.is_empty() => text.push_str(&argument(arguments.next().map_or("", String::as_str))),
            Ok(index) => text.push_str(&hole_of(&field(fields, index))),
            Err(_) => text.push_str(&hole_of(name)),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// What to call the field of a tuple: its type says more than its number.
fn field(fields: &Fields, index: usize) -> String {
    let path = match fields.iter().nth(index).map(|field| &field.ty) {
        Some(syn::Type::Path(path)) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    match path.as_deref() {
        None | Some("String" | "str" | "Vec" | "usize" | "u8" | "u16" | "u32" | "u64") => "…".to_owned(),
        Some("PathBuf") => "path".to_owned(),
        Some(name) => words(name),
    }
}

/// `PciAddress` as `pci address`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn hole_of(what: &str) -> String {
    format!("‹{what}›")
}

/// What to show of an argument: the words in it, where it has some, or the field that it shows.
fn argument(source: &str) -> String {
    // What stands between the members of a list is no word of it.
    let source = source.split(". join").next().unwrap_or(source);
    let literals = source.split('"').skip(1).step_by(2);
    if let Some(literal) = literals.filter(|literal| literal.chars().any(char::is_alphabetic)).last() {
        if source.trim_start().starts_with("count (") {
            return format!("‹n› {literal}");
        }
        return hole_of(&filled(literal, &[], &Fields::Unit).replace(['‹', '›'], ""));
    }
    let names: Vec<&str> = source
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with(|letter: char| letter.is_alphabetic()))
        .filter(|word| !PLUMBING.contains(word))
        .collect();
    hole_of(names.last().copied().unwrap_or("…"))
}

/// Words of an argument that say nothing of what it shows.
const PLUMBING: &[&str] = &[
    "self",
    "as_ref",
    "as_secs",
    "as_secs_f32",
    "display",
    "join",
    "to_string",
    "iter",
    "len",
    "count",
    "map",
    "quoted",
    "unwrap_or_default",
    "or_unknown",
    "get",
    "get_ref",
    "Details",
    "Joined",
    "Keyed",
];

/// The arguments of a macro, split at the commas that no bracket and no literal holds.
fn split(tokens: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for letter in tokens.chars() {
        match letter {
            '"' if !escaped => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variant: &str) -> String {
        let item: syn::ItemEnum = syn::parse_str(&format!("enum E {{ {variant} }}")).unwrap();
        let variant = &item.variants[0];
        let parse = |input: ParseStream<'_>| of_attribute(input, &variant.fields);
        variant.attrs[0].parse_args_with(parse).unwrap().unwrap()
    }

    #[test]
    fn holes_have_the_names_of_fields() {
        assert_eq!(
            shown(r#"#[error("cannot {verb} {}: {why:?}", .path.display())] A { }"#),
            "cannot ‹verb› ‹path›: ‹why›"
        );
        assert_eq!(
            shown(r#"#[error("no {0} and {1}, {{so}}")] A(PciAddress, String)"#),
            "no ‹pci address› and ‹…›, {so}"
        );
    }

    #[test]
    fn where_an_argument_has_words_they_are_shown() {
        let counted =
            r#"#[error("{} before", count(.0.len(), "guard objects", "guards object"))] A(Vec<u8>)"#;
        assert_eq!(shown(counted), "‹n› guards object before");
        let holder = r#"#[error("at work{}", .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())] A { }"#;
        assert_eq!(shown(holder), "at work‹ (process pid)›");
        assert_eq!(shown(r#"#[error("on {}", .0.join(" and "))] A(Vec<u8>)"#), "on ‹…›");
        assert_eq!(shown(r#"#[error("on {}", .names.join(" and "))] A { }"#), "on ‹names›");
    }

    #[test]
    fn what_an_expression_makes_is_seen_through_conversions() {
        let of = |source: &str| of_expression(&syn::parse_str(source).unwrap());
        assert_eq!(of(r#""plain".to_owned()"#).as_deref(), Some("plain"));
        assert_eq!(of(r#"format!("{who} has {}", other.name)"#).as_deref(), Some("‹who› has ‹name›"));
        assert_eq!(of("error.to_string()"), None);
    }
}
