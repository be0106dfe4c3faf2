//! Which tables are meant by names and patterns.
//!
//! In: the spec's names, the source's tables. Out: the tables, or what could not be found, with names near it.
//! Tests: below.

use crate::schema::TableName;
use shanty_model::id::nearest;
use shanty_model::kind::db_sync::{Source, Target};

/// The one table of a spec, or none when it gives names and patterns.
pub(super) fn one(source: &Source) -> Option<TableName> {
    (!source.table.is_empty()).then(|| named(&source.schema, &source.table))
}

/// A table by its name; `schema.table` in it wins over the spec's schema.
fn named(schema: &str, name: &str) -> TableName {
    match name.split_once('.') {
        Some((schema, name)) => TableName { schema: Some(schema.to_owned()), name: name.to_owned() },
        None => TableName { schema: (!schema.is_empty()).then(|| schema.to_owned()), name: name.to_owned() },
    }
}

/// The tables that names and patterns mean, in the order of the catalog.
///
/// # Errors
/// In words, naming the field, when one of them means no table.
pub(super) fn chosen(source: &Source, all: Vec<TableName>) -> Result<Vec<TableName>, String> {
    for pattern in &source.tables {
        if !all.iter().any(|table| matches(pattern, &table.name)) {
            let near = nearest(pattern, all.iter().map(|table| table.name.as_str()));
            return Err(format!("source.tables: no table matches `{pattern}`{}", near_words(&near)));
        }
    }
    let wanted = |name: &str| {
        source.tables.iter().any(|pattern| matches(pattern, name))
            && !source.exclude.iter().any(|pattern| matches(pattern, name))
    };
    Ok(all.into_iter().filter(|table| wanted(&table.name)).collect())
}

/// Where a table goes.
pub(super) fn target(target: &Target, source: &TableName) -> TableName {
    let pattern = if target.table.is_empty() { "{table}" } else { &target.table };
    named(&target.schema, &pattern.replace("{table}", &source.name))
}

/// Names near one that was not found, as the end of a sentence.
pub(super) fn near_words(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

/// Whether `pattern`, with * for any characters and ? for one, means `name`.
fn matches(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', after)) => (0..=name.len()).any(|skip| rest(after, &name[skip..])),
            Some((letter, after)) => name
                .split_first()
                .is_some_and(|(first, others)| (*letter == '?' || letter == first) && rest(after, others)),
        }
    }
    let collapsed = pattern.chars().fold(Vec::new(), |mut letters, letter| {
        if !(letter == '*' && letters.last() == Some(&'*')) {
            letters.push(letter);
        }
        letters
    });
    rest(&collapsed, &name.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName { schema: Some("s".into()), name: name.into() }
    }

    #[test]
    fn patterns_choose_and_exclude() {
        let source = Source {
            tables: vec!["order*".into(), "item?".into()],
            exclude: vec!["*_old".into()],
            ..Source::default()
        };
        let all = ["order", "orders", "orders_old", "items", "itemss", "other"].map(table).to_vec();
        let chosen = chosen(&source, all).unwrap();
        assert_eq!(chosen, ["order", "orders", "items"].map(table));
    }

    #[test]
    fn a_pattern_without_a_table_is_told_with_its_neighbours() {
        let source = Source { tables: vec!["oders".into()], ..Source::default() };
        let error = chosen(&source, vec![table("orders")]).unwrap_err();
        assert!(error.contains("oders") && error.contains("orders"), "{error}");
    }

    #[test]
    fn names_may_bring_their_schema() {
        let source = Source { schema: "a".into(), table: "b.c".into(), ..Source::default() };
        assert_eq!(one(&source), Some(TableName { schema: Some("b".into()), name: "c".into() }));
        let to = Target { table: "copy_of_{table}".into(), ..Target::default() };
        assert_eq!(target(&to, &table("t")).to_string(), "copy_of_t");
        assert_eq!(target(&Target::default(), &table("t")).to_string(), "t");
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        assert!(!matches(&"*a".repeat(12), &"b".repeat(60)));
        assert!(matches("**", ""));
    }
}
