//! A source file as the walls see it: its code without comments, texts and unit tests.
//!
//! In: path and text. Out: [`Source`]. Never: parses Rust; line by line is enough for `use` and paths.
//! Tests: below.

/// A file of the tree.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the workspace's root, with slashes.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

impl Source {
    /// A file.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    /// Whether the file is a test as a whole.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let below = self.path.strip_prefix("tests/src/").unwrap_or(&self.path);
        name.ends_with("_test.rs")
            || name == "tests.rs"
            || below.split('/').rev().skip(1).any(|folder| folder == "tests" || folder == "benches")
    }

    /// Lines of code with their numbers from 1: unit tests at the foot, comments and texts left out.
    pub fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = non_test_lines(&self.text);
        self.text.lines().take(lines).enumerate().map(|(i, line)| (i + 1, without_text(line)))
    }
}

/// Number of lines before the unit tests at the foot.
#[must_use]
pub fn non_test_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        if line.trim() != "#[cfg(test)]" {
            continue;
        }
        let next = lines.iter().skip(i + 1).map(|line| line.trim()).find(|line| !line.starts_with("#["));
        if next.is_some_and(|next| next.starts_with("mod ") && next.ends_with('{')) {
            return i;
        }
    }
    lines.len()
}

/// A line without its comment and without what stands in double quotes.
fn without_text(line: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => drop(letters.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && letters.peek() == Some(&'/') => break,
            other if !quoted => out.push(other),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_unit_tests_are_no_code() {
        let source = Source::new(
            "a/src/b.rs",
            "//! sqlx\nuse x; // sqlx\nlet a = \"sqlx \\\" sqlx\"; b\n#[cfg(test)]\nmod tests {\nuse sqlx;\n}\n",
        );
        let code: Vec<String> = source.code().map(|(_, line)| line).collect();
        assert_eq!(code, ["", "use x; ", "let a = ; b"]);
        assert_eq!(non_test_lines(&source.text), 3);
        assert_eq!(non_test_lines("#[cfg(test)]\nmod b_test;\nfn a() {}\n"), 3);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(Source::new("worker/tests/a.rs", "").is_test());
        assert!(Source::new("worker/src/link/inbox_test.rs", "").is_test());
        assert!(Source::new("tests/tests/a.rs", "").is_test());
        assert!(!Source::new("tests/src/node.rs", "").is_test());
        assert!(!Source::new("worker/src/latest.rs", "").is_test());
    }
}
