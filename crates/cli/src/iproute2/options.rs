//! Options among the words, wherever they stand, as `getopt_long(3)` finds them.

use super::{Halt, Style};

/// The usage that iproute2 prints for its objects.
const USAGE: &str = "\
Usage: vdpa [ OPTIONS ] OBJECT { COMMAND | help }
where  OBJECT := { mgmtdev | dev }
       OPTIONS := { -V[ersion] | -n[o-nice-names] | -j[son] | -p[retty] }
";

/// The long options, and the short ones that they stand for.
const LONG: [(&str, char); 4] = [("Version", 'V'), ("json", 'j'), ("pretty", 'p'), ("help", 'h')];

/// An option after which nothing else counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// The version is asked for.
    Version,
    /// Help is asked for, or the option is none.
    Halt(Halt),
}

/// The words that are no options, and the style with what the options say of it.
pub(super) fn take(words: &[String], mut style: Style) -> Result<(Vec<&str>, Style), Special> {
    let mut kept = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            kept.extend(words.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            apply(long_option(long).map_err(Special::Halt)?, &mut style)?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for letter in letters.chars() {
                apply(letter, &mut style)?;
            }
        } else {
            kept.push(word);
        }
    }
    Ok((kept, style))
}

fn apply(letter: char, style: &mut Style) -> Result<(), Special> {
    match letter {
        'j' => style.json = true,
        'p' => style.pretty = true,
        'V' => return Err(Special::Version),
        'h' => return Err(Special::Halt(Halt::help(USAGE))),
        // Taken by iproute2's getopt string, and then not.
        's' => return Err(Special::Halt(unknown(""))),
        _ => return Err(Special::Halt(unknown(&format!("vdpa: invalid option -- '{letter}'\n")))),
    }
    Ok(())
}

/// The short option that a long one, or a beginning of it, stands for.
fn long_option(text: &str) -> Result<char, Halt> {
    let (name, argument) = match text.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    let found = LONG.iter().find(|(long, _)| !name.is_empty() && long.starts_with(name));
    let Some((long, letter)) = found else {
        return Err(unknown(&format!("vdpa: unrecognized option '--{text}'\n")));
    };
    match argument {
        None => Ok(*letter),
        Some(_) => Err(unknown(&format!("vdpa: option '--{long}' doesn't allow an argument\n"))),
    }
}

fn unknown(why: &str) -> Halt {
    Halt::failure(format!("{why}Unknown option.\n{USAGE}"))
}
