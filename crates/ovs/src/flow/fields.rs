//! Fields in a fixed order, as most attributes and actions have them: `src=10.0.0.1,frag=no`.

use std::fmt::{self, Write as _};

use super::notation::{AnyNotation, Notation};
use super::text::Items;

/// Something with a text of its own between the parentheses of an attribute or action.
pub(super) trait Content: Sized + fmt::Display {
    /// What `text` says; nothing where it says it in other words than Open vSwitch does.
    fn read(text: &str) -> Option<Self>;
}

/// Declares a structure with its text. Each field has what stands before its value (`src=`, `gbp(`, or all of a word),
/// a type, and the [notation](super::notation) of its value. An `Option` is left out where it is `None`, a `bool` where
/// it is false.
macro_rules! fields {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* $text:literal $field:ident: $type:ty = $notation:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $crate::flow::fields::Content for $name {
            fn read(text: &str) -> Option<Self> {
                let mut items = $crate::flow::text::Items::of(text);
                $(let $field = <$type as $crate::flow::fields::Field<$notation>>::take(&mut items, $text)?;)*
                items.next().is_none().then_some(Self { $($field),* })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut list = $crate::flow::fields::List::new(f);
                $(<$type as $crate::flow::fields::Field<$notation>>::put(&self.$field, $text, &mut list)?;)*
                Ok(())
            }
        }
    };
}
pub(super) use fields;

/// The type of a field, with the notation `N` of its value.
pub(super) trait Field<N>: Sized {
    /// Takes the field from what is left, if it is next.
    fn take(items: &mut Items<'_>, text: &str) -> Option<Self>;
    /// Adds the field to what is printed.
    fn put(&self, text: &str, list: &mut List<'_, '_>) -> fmt::Result;
}

/// A field that is always there.
pub(super) struct Always<N>(std::marker::PhantomData<N>);

/// A field that is a word, there or not.
pub(super) struct Word;

/// A field with fields of its own.
pub(super) struct Nested;
impl AnyNotation for Nested {}

impl<T, N: Notation<T> + AnyNotation> Field<N> for Option<T> {
    fn take(items: &mut Items<'_>, text: &str) -> Option<Self> {
        let Some(value) = items.peek().and_then(|item| value(item, text)) else { return Some(None) };
        items.next();
        N::read(value).map(Some)
    }

    fn put(&self, text: &str, list: &mut List<'_, '_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |value| list.put(text, |f| N::write(value, f)))
    }
}

impl<T, N: Notation<T>> Field<Always<N>> for T {
    fn take(items: &mut Items<'_>, text: &str) -> Option<Self> {
        N::read(value(items.next()?, text)?)
    }

    fn put(&self, text: &str, list: &mut List<'_, '_>) -> fmt::Result {
        list.put(text, |f| N::write(self, f))
    }
}

impl Field<Word> for bool {
    fn take(items: &mut Items<'_>, text: &str) -> Option<Self> {
        let there = items.peek() == Some(text);
        if there {
            items.next();
        }
        Some(there)
    }

    fn put(&self, text: &str, list: &mut List<'_, '_>) -> fmt::Result {
        if *self { list.put(text, |_| Ok(())) } else { Ok(()) }
    }
}

impl<T: Content> Notation<T> for Nested {
    fn read(text: &str) -> Option<T> {
        T::read(text)
    }

    fn write(value: &T, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "{value}")
    }
}

/// What stands after `before`, and before the parenthesis that closes it if it opens one.
fn value<'a>(item: &'a str, before: &str) -> Option<&'a str> {
    let value = item.strip_prefix(before)?;
    if before.ends_with('(') { value.strip_suffix(')') } else { Some(value) }
}

/// Fields that are printed, with commas between them.
pub(super) struct List<'f, 'a> {
    f: &'f mut fmt::Formatter<'a>,
    first: bool,
}

impl<'f, 'a> List<'f, 'a> {
    /// Of no field yet.
    pub(super) fn new(f: &'f mut fmt::Formatter<'a>) -> Self {
        Self { f, first: true }
    }

    /// One more: what stands before its value, and the value.
    fn put(&mut self, text: &str, value: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.f.write_char(',')?;
        }
        self.f.write_str(text)?;
        value(self.f)?;
        if text.ends_with('(') { self.f.write_char(')') } else { Ok(()) }
    }
}

impl<T: Content> Content for Box<T> {
    fn read(text: &str) -> Option<Self> {
        T::read(text).map(Box::new)
    }
}
