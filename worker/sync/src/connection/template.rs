//! A URL with placeholders, taken apart.
//!
//! `${NAME}` stands for a variable or a credential, `${file:/path}` for what a file holds, `$${` for a plain `${`.
//! What is filled in is percent-encoded where it stands in the user, the password or an option, so that any
//! password works; a placeholder that is the whole URL, or its beginning, is taken as it is.
//! In: text of a configuration. Out: the text as it may be shown; the URL with everything filled in.
//! Never: reads a variable itself; an error with the text.
//! Tests: below.

use super::secrets::Secrets;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A URL with placeholders.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<(Piece, Zone)>,
}

/// A part of the text.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Variable(String),
    File(PathBuf),
}

/// In which part of a URL a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// Before `://`, or all of a URL that begins with a placeholder.
    Whole,
    /// User and the colon after it.
    User,
    /// Password.
    Password,
    /// Host, port, path.
    Place,
    /// Name of an option.
    OptionName,
    /// Value of an option.
    OptionValue,
    /// Value of an option whose name says that it is a secret.
    SecretOption,
}

/// What could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// Variables that are set nowhere.
    Missing(Vec<String>),
    /// A file or credential that cannot be read: its name and why.
    Unreadable(String, String),
    /// What stands for the host holds characters that would make another URL.
    Place(String),
}

impl Template {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong, in words without the text.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = after;
                continue;
            }
            plain.push_str(before);
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            let (name, after) = after
                .split_once('}')
                .ok_or("a placeholder is not closed; write ${NAME}, or $${ for a plain ${")?;
            pieces.push(placeholder(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        if pieces.is_empty() {
            return Err("its url is empty; write for example mysql://user:${NAME}@host:3306/database".into());
        }
        zoned(pieces)
    }

    /// The text with a literal password as `***`; placeholders as they were written.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        let mut hidden = None;
        for (i, (piece, zone)) in self.pieces.iter().enumerate() {
            let secret = matches!(zone, Zone::Password | Zone::SecretOption);
            // A password that is partly literal is hidden as a whole.
            let literal = secret && self.run(i).any(|piece| matches!(piece, Piece::Plain(_)));
            if literal {
                if hidden != Some(*zone) {
                    text.push_str("***");
                }
                hidden = Some(*zone);
                continue;
            }
            hidden = None;
            let _infallible = match piece {
                Piece::Plain(plain) => write!(text, "{}", plain.replace("${", "$${")),
                Piece::Variable(name) => write!(text, "${{{name}}}"),
                Piece::File(path) => write!(text, "${{file:{}}}", path.display()),
            };
        }
        text
    }

    /// The pieces of the same zone around piece `i`.
    fn run(&self, i: usize) -> impl Iterator<Item = &Piece> {
        let zone = self.pieces.get(i).map(|(_, zone)| *zone);
        let same = move |(_, other): &&(Piece, Zone)| Some(*other) == zone;
        let (before, after) = self.pieces.split_at(i);
        before.iter().rev().take_while(same).chain(after.iter().take_while(same)).map(|(piece, _)| piece)
    }

    /// The URL with everything filled in.
    pub(super) fn fill(&self, secrets: &dyn Secrets) -> Result<String, Unfilled> {
        let mut url = String::new();
        let mut missing = Vec::new();
        for (piece, zone) in &self.pieces {
            let value = match piece {
                Piece::Plain(plain) => {
                    url.push_str(plain);
                    continue;
                }
                Piece::Variable(name) => match secrets.named(name) {
                    Ok(Some(value)) => value,
                    Ok(None) => {
                        missing.push(name.clone());
                        continue;
                    }
                    Err(why) => return Err(Unfilled::Unreadable(name.clone(), why)),
                },
                Piece::File(path) => {
                    secrets.file(path).map_err(|why| Unfilled::Unreadable(path.display().to_string(), why))?
                }
            };
            match zone {
                Zone::Whole => url.push_str(value.trim_end()),
                Zone::Place if value.contains(['@', '?', '#']) || value.contains(char::is_whitespace) => {
                    return Err(Unfilled::Place(match piece {
                        Piece::Variable(name) => name.clone(),
                        Piece::Plain(_) | Piece::File(_) => "the file".to_owned(),
                    }));
                }
                Zone::Place => url.push_str(&value),
                Zone::User | Zone::Password | Zone::OptionName | Zone::OptionValue | Zone::SecretOption => {
                    encode(&value, &mut url);
                }
            }
        }
        if missing.is_empty() { Ok(url) } else { Err(Unfilled::Missing(missing)) }
    }
}

fn placeholder(name: &str) -> Result<Piece, String> {
    if let Some(path) = name.strip_prefix("file:") {
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err("a placeholder ${file:…} needs an absolute path, for example ${file:/run/pw}".into());
        }
        return Ok(Piece::File(path));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err("a placeholder holds no name; write ${NAME} with letters, digits, _, - and .".into());
    }
    Ok(Piece::Variable(name.to_owned()))
}

/// Cuts plain pieces at the borders of a URL's parts and says of each piece where it stands.
fn zoned(pieces: Vec<Piece>) -> Result<Template, String> {
    if !matches!(pieces.first(), Some(Piece::Plain(_))) {
        return Ok(Template { pieces: pieces.into_iter().map(|piece| (piece, Zone::Whole)).collect() });
    }
    // Placeholders are one character that no URL holds, so that borders are found by looking at text alone.
    const HOLE: char = '\0';
    let mut holes = Vec::new();
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Plain(plain) => text.push_str(&plain.replace(HOLE, "")),
            hole @ (Piece::Variable(_) | Piece::File(_)) => {
                text.push(HOLE);
                holes.push(hole);
            }
        }
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("its url has no ://; write for example mysql://user:${NAME}@host:3306/database".into());
    };
    let mut parts: Vec<(&str, Zone)> = vec![(scheme, Zone::Whole), ("://", Zone::Whole)];
    let (rest, options) = match rest.split_once('?') {
        Some((rest, options)) => (rest, Some(options)),
        None => (rest, None),
    };
    if scheme == "sqlite" {
        parts.push((rest, Zone::Place));
    } else {
        if text.matches('@').count() > 1
            || rest.find('@').is_some_and(|at| rest[..at].contains(['/', '#']))
            || options.is_some_and(|options| options.contains('@'))
        {
            return Err(
                "its url has an @, / or # within user, password or options; write them there as %40, %2F, \
                        %23, or keep the password out of the file with ${NAME}"
                    .into(),
            );
        }
        match rest.split_once('@') {
            None => parts.push((rest, Zone::Place)),
            Some((user_info, place)) => {
                match user_info.split_once(':') {
                    None => parts.push((user_info, Zone::User)),
                    Some((user, password)) => {
                        parts.extend([(user, Zone::User), (":", Zone::User), (password, Zone::Password)]);
                    }
                }
                parts.extend([("@", Zone::Place), (place, Zone::Place)]);
            }
        }
    }
    for (i, option) in options.into_iter().flat_map(|options| options.split('&')).enumerate() {
        parts.push((if i == 0 { "?" } else { "&" }, Zone::OptionName));
        match option.split_once('=') {
            None => parts.push((option, Zone::OptionName)),
            Some((name, value)) => {
                let small = name.to_ascii_lowercase();
                let secret = ["pass", "pwd", "secret", "token"].iter().any(|word| small.contains(word));
                let zone = if secret { Zone::SecretOption } else { Zone::OptionValue };
                parts.extend([(name, Zone::OptionName), ("=", Zone::OptionName), (value, zone)]);
            }
        }
    }
    let mut holes = holes.into_iter();
    let mut pieces = Vec::new();
    for (part, zone) in parts {
        for (i, plain) in part.split(HOLE).enumerate() {
            if i > 0 {
                pieces.extend(holes.next().map(|hole| (hole, zone)));
            }
            if !plain.is_empty() {
                pieces.push((Piece::Plain(plain.to_owned()), zone));
            }
        }
    }
    Ok(Template { pieces })
}

/// Appends `value` with everything but unreserved characters percent-encoded.
fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    struct Known;

    impl Secrets for Known {
        fn named(&self, name: &str) -> Result<Option<String>, String> {
            Ok(match name {
                "PW" => Some("p@s:s/w?o#r d%é".to_owned()),
                "HOST" => Some("db.example:3306".to_owned()),
                "EVIL" => Some("db/x?a@b".to_owned()),
                "URL" => Some("mysql://u:p%40@h/db\n".to_owned()),
                _ => None,
            })
        }
        fn file(&self, path: &Path) -> Result<String, String> {
            if path == Path::new("/run/pw") { Ok("a+b".to_owned()) } else { Err("No such file".to_owned()) }
        }
    }

    fn fill(text: &str) -> Result<String, Unfilled> {
        Template::parse(text).unwrap().fill(&Known)
    }

    #[test]
    fn what_is_filled_in_never_changes_the_shape_of_the_url() {
        let password = "p%40s%3As%2Fw%3Fo%23r%20d%25%C3%A9";
        for (text, url) in [
            ("mysql://u:${PW}@h/db", format!("mysql://u:{password}@h/db")),
            ("mysql://${PW}@h/db", format!("mysql://{password}@h/db")),
            ("mysql://u:${file:/run/pw}@${HOST}/db", "mysql://u:a%2Bb@db.example:3306/db".to_owned()),
            ("postgres://h/db?sslpassword=${PW}&x=1", format!("postgres://h/db?sslpassword={password}&x=1")),
            ("${URL}", "mysql://u:p%40@h/db".to_owned()),
            ("mysql://u:$${x@h/db", "mysql://u:${x@h/db".to_owned()),
            ("sqlite:///tmp/a@b.db", "sqlite:///tmp/a@b.db".to_owned()),
        ] {
            assert_eq!(fill(text), Ok(url), "{text}");
        }
        assert_eq!(fill("mysql://u:x@${EVIL}/db"), Err(Unfilled::Place("EVIL".to_owned())));
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let missing = fill("mysql://${USER_}:${NOPE}@h/db").unwrap_err();
        assert_eq!(missing, Unfilled::Missing(vec!["USER_".to_owned(), "NOPE".to_owned()]));
        let unreadable = fill("mysql://u:${file:/nope}@h/db").unwrap_err();
        assert_eq!(unreadable, Unfilled::Unreadable("/nope".to_owned(), "No such file".to_owned()));
    }

    #[test]
    fn literal_passwords_are_hidden_and_placeholders_are_not() {
        for (text, shown) in [
            ("mysql://u:hunter2@h:1/db?x=1", "mysql://u:***@h:1/db?x=1"),
            ("mysql://u:${PW}@h/db", "mysql://u:${PW}@h/db"),
            ("mysql://u:a${PW}b@h/db", "mysql://u:***@h/db"),
            ("mysql://u:${file:/run/pw}@h/db", "mysql://u:${file:/run/pw}@h/db"),
            ("postgres://h/db?password=hunter2&a=b", "postgres://h/db?password=***&a=b"),
            ("postgres://h/db?password=${PW}", "postgres://h/db?password=${PW}"),
            ("mysql://u:$${x@h/db", "mysql://u:***@h/db"),
            ("sqlite:///tmp/x.db", "sqlite:///tmp/x.db"),
            ("${URL}", "${URL}"),
        ] {
            assert_eq!(Template::parse(text).unwrap().shown(), shown, "{text}");
        }
    }

    #[test]
    fn malformed_texts_are_told_without_the_text() {
        for text in [
            "",
            "hunter2",
            "mysql://u:${PW@h",
            "mysql://u:${}@h",
            "mysql://u:${a b}@h",
            "mysql://u:${file:hunter2}@h",
            "mysql://u:hun@ter2@h/db",
            "mysql://u:hun/ter2@h/db",
            "mysql://u:hun?ter2@h/db",
            "mysql://u:${../hunter2}@h",
        ] {
            let error = Template::parse(text).map(|_| ()).unwrap_err();
            assert!(!error.contains("ter2"), "{text}: {error}");
        }
    }
}
