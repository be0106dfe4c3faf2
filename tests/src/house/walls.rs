//! Which words may stand in which rooms, how a file begins, and how long it may be.
//!
//! In: a [`Source`]. Out: breaches as sentences. Never: exceptions without a reason beside them.
//! Tests: below.

use super::source::{Source, non_test_lines};

/// A crate or path that only some rooms may name.
struct Wall {
    word: &'static str,
    /// Prefixes of paths; one that begins with `*` is a suffix.
    rooms: &'static [&'static str],
    instead: &'static str,
}

const WALLS: [Wall; 7] = [
    Wall {
        word: "shanty_proto",
        rooms: &[
            "proto/",
            "common/rt/src/wire/",
            "master/src/api/",
            "master/src/registry/",
            "master/src/serve.rs",
            "worker/src/link/",
            "sentinel/src/probe/",
            "sentinel/src/peers/",
            "cli/",
        ],
        instead: "proto types stop at the doors; use shanty_model",
    },
    Wall {
        word: "sqlx",
        rooms: &["master/src/store/", "worker/sync/src/db/"],
        instead: "ask the store, or the seam of worker/sync/src/db",
    },
    Wall { word: "mysql_async", rooms: &["worker/sync/src/db/mysql/"], instead: "use shanty_sync::db" },
    Wall { word: "rusqlite", rooms: &["worker/sync/src/db/sqlite/"], instead: "use shanty_sync::db" },
    Wall {
        word: "etcd_client",
        rooms: &["common/rt/src/coord/etcd", "proto/examples/"],
        instead: "use shanty_rt::coord",
    },
    Wall {
        word: "sysinfo",
        rooms: &["worker/src/resource/", "master/src/condition.rs"],
        instead: "ask worker::resource or master::condition",
    },
    Wall {
        word: "clap",
        rooms: &["cli/", "*/src/main.rs", "*/src/args.rs", "common/rt/src/tls/args.rs"],
        instead: "arguments are read in main.rs and args.rs; rooms take options",
    },
];

/// Rooms that decide and do nothing else.
const PURE: [&str; 4] =
    ["common/model/src/", "master/src/engine/", "master/src/planner/", "master/src/placement/"];

/// What a pure room does not touch: it takes time, randomness and ids as arguments.
const IMPURE: [&str; 17] = [
    "tokio",
    "tonic",
    "sqlx",
    "hyper",
    "rustix",
    "uuid",
    "tracing",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

/// Files longer than [`MOST_LINES`], each with its reason.
const LONG: [(&str, &str); 0] = [];

/// Over this a file is two rooms (unit tests not counted).
const MOST_LINES: usize = 500;

/// The breaches of one file. Files that are tests as a whole have none.
#[must_use]
pub fn check_source(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    let path = source.path.as_str();
    if source.is_test() {
        return breaches;
    }
    if !source.text.starts_with("//!") {
        breaches.push(format!("{path}: does not begin with //! (what it is; In; Out; Never; Tests)"));
    }
    let lines = non_test_lines(&source.text);
    if lines > MOST_LINES && !LONG.iter().any(|(long, _)| *long == path) {
        breaches.push(format!("{path}: {lines} lines without its tests, over {MOST_LINES}; it is two rooms"));
    }
    if path.starts_with("tests/") {
        return breaches;
    }
    for (number, line) in source.code() {
        for wall in &WALLS {
            if names(&line, wall.word) && !wall.rooms.iter().any(|room| lies_in(path, room)) {
                breaches.push(format!("{path}:{number}: names {}; {}", wall.word, wall.instead));
            }
        }
        if PURE.iter().any(|room| path.starts_with(room)) {
            for word in IMPURE.iter().filter(|word| names(&line, word)) {
                breaches
                    .push(format!("{path}:{number}: names {word} in a pure room; take it as an argument"));
            }
        }
    }
    breaches
}

fn lies_in(path: &str, room: &str) -> bool {
    match room.strip_prefix('*') {
        Some(suffix) => path.ends_with(suffix),
        None => path.starts_with(room),
    }
}

/// Whether `word` stands in `line` on its own.
fn names(line: &str, word: &str) -> bool {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> usize {
        check_source(&Source::new(path, format!("//! A room.\n{text}"))).len()
    }

    #[test]
    fn a_breach_of_each_wall_is_found_and_the_room_itself_is_free() {
        assert_eq!(breaches("master/src/runtime/core.rs", "use shanty_proto::v1;"), 1);
        assert_eq!(breaches("master/src/api/run.rs", "use shanty_proto::v1;"), 0);
        assert_eq!(breaches("master/src/runtime/core.rs", "fn f(e: sqlx::Error) {}"), 1);
        assert_eq!(breaches("master/src/store/run.rs", "fn f(e: sqlx::Error) {}"), 0);
        assert_eq!(breaches("master/src/election/renew.rs", "use etcd_client::Client;"), 1);
        assert_eq!(breaches("common/rt/src/coord/etcd/client.rs", "use etcd_client::Client;"), 0);
        assert_eq!(breaches("worker/src/executor/core.rs", "use sysinfo::System;"), 1);
        assert_eq!(breaches("worker/src/config.rs", "#[derive(clap::Args)]"), 1);
        assert_eq!(breaches("worker/src/args.rs", "#[derive(clap::Args)]"), 0);
        assert_eq!(breaches("master/src/engine/on_tick.rs", "let now = std::time::Instant::now();"), 1);
        assert_eq!(breaches("common/model/src/id.rs", "use tokio::sync::mpsc;"), 1);
    }

    #[test]
    fn a_word_inside_another_is_not_that_word() {
        assert_eq!(breaches("master/src/runtime/core.rs", "use my_sqlx_like; let eclapse = 1;"), 0);
    }

    #[test]
    fn a_file_has_a_head_and_an_end() {
        assert_eq!(check_source(&Source::new("worker/src/a.rs", "fn a() {}\n")).len(), 1);
        assert_eq!(breaches("worker/src/a.rs", &"\n".repeat(600)), 1);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(100), "\n".repeat(600));
        assert_eq!(breaches("worker/src/a.rs", &tested), 0);
    }
}
