//! Where a file's head says that its tests are: a path that is written there has to lead somewhere.
//!
//! In: a source, and whether a path of the tree is there. Out: breaches as sentences. Never: reads files. Tests: below.

use super::Source;

/// The paths of tests in a file's head that lead nowhere: neither from the root of the tree, nor from the folder of the file.
#[must_use]
pub fn check_pointers(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let head = source.text.lines().map_while(|line| line.strip_prefix("//!"));
    let told = head.skip_while(|line| !line.contains("Tests: ")).take_while(|line| !line.trim().is_empty());
    let paths =
        told.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    let dead = paths
        .filter(|path| path.ends_with(".rs") || path.ends_with('/'))
        .filter(|path| !exists(path) && !exists(&format!("{folder}/{path}")));
    dead.map(|path| format!("{}: its tests shall be in {path}, which is not there", source.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_the_root_or_from_the_folder_or_nowhere() {
        let there = |path: &str| ["cli/tests/runs.rs", "cli/src/room_test.rs", "cli/tests/"].contains(&path);
        let check = |tests: &str| {
            let text =
                format!("//! A room with `none.rs`.\n//!\n//! Never: else.\n//! Tests: {tests}\n\nuse x;\n");
            check_pointers(&Source::new("cli/src/room.rs", text), there)
        };
        assert_eq!(
            check("`cli/tests/runs.rs`, `room_test.rs`, in `cli/tests/`, and [`super`] with `Stage`."),
            [""; 0]
        );
        assert_eq!(
            check("below, and `cli/tests/nouns.rs`."),
            ["cli/src/room.rs: its tests shall be in cli/tests/nouns.rs, which is not there"]
        );
        assert_eq!(check("below,\n//! and `gone_test.rs`.").len(), 1, "on the next line too");
    }
}
