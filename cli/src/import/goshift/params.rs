//! The column `params`: JSON in either of goshift's forms.
//!
//! In: text. Out: [`Params`], or all that is wrong with it.
//! Tests: below.

use serde_json::{Map, Value};

/// What a task says of how it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Params {
    /// Key columns of the source; empty for none said.
    pub(super) key: Vec<String>,
    /// Key columns of the target, as many; empty when they are the same.
    pub(super) target_key: Vec<String>,
    /// Column by which changed rows are found, in the source and in the target.
    pub(super) diff_column: Option<(String, String)>,
    /// Shards at once.
    pub(super) workers: Option<u32>,
    /// Rows of a page.
    pub(super) page_rows: Option<u32>,
    /// What has no counterpart, in words.
    pub(super) notes: Vec<String>,
}

/// Keys that have a meaning.
const KNOWN: [&str; 7] = ["split", "pk", "diff_column", "worker_num", "read_batch", "write_batch", "partion"];

/// Reads the column.
pub(super) fn parse(text: &str) -> Result<Params, Vec<String>> {
    let json = match serde_json::from_str(text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(vec!["params: must be a JSON object".to_owned()]),
        Err(error) => return Err(vec![format!("params: not JSON: {error}")]),
    };
    let mut params = Params::default();
    let mut wrong = Vec::new();
    keys(&json, &mut params).unwrap_or_else(|error| wrong.push(error));
    diff_column(&json, &mut params).unwrap_or_else(|error| wrong.push(error));
    params.workers = number(&json, "worker_num", 256).unwrap_or_else(|error| {
        wrong.push(error);
        None
    });
    params.page_rows = number(&json, "read_batch", 1_000_000).unwrap_or_else(|error| {
        wrong.push(error);
        None
    });
    if let Some(batch) = json.get("write_batch") {
        params.notes.push(format!(
            "write_batch {batch} is not needed: a page of read_batch rows is written as a whole, in one transaction"
        ));
    }
    if json.contains_key("partion") {
        wrong.push(
            "params.partion: partitions of Trino and Hive cannot be read; copy from the database behind them, with \
             `where` for the days"
                .to_owned(),
        );
    }
    for key in json.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        params.notes.push(format!("params.{key} has no meaning in goshift's code and none here"));
    }
    if wrong.is_empty() { Ok(params) } else { Err(wrong) }
}

/// `pk.src` and `pk.dest`, or `split.pk`.
fn keys(json: &Map<String, Value>, params: &mut Params) -> Result<(), String> {
    if let Some(pk) = json.get("pk") {
        let pk = pk.as_object().ok_or("params.pk: must be {\"src\": …, \"dest\": …}")?;
        params.key = names(pk.get("src"), "params.pk.src")?;
        let dest = names(pk.get("dest"), "params.pk.dest")?;
        if !dest.is_empty() && dest.len() != params.key.len() {
            return Err("params.pk.dest: must name as many columns as params.pk.src".to_owned());
        }
        if dest != params.key {
            params.target_key = dest;
        }
    }
    if let Some(split) = json.get("split") {
        let split = names(split.get("pk"), "params.split.pk")?;
        if params.key.is_empty() {
            params.key = split;
        } else if split != params.key {
            return Err(
                "params.split.pk and params.pk.src name different columns; keep one of them".to_owned()
            );
        }
    }
    Ok(())
}

/// A name, a list of names, or names joined by commas.
fn names(value: Option<&Value>, field: &str) -> Result<Vec<String>, String> {
    let refuse = || format!("{field}: must be a column or a list of columns");
    let names: Vec<String> = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        Some(Value::Array(items)) => {
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            items.collect::<Option<_>>().ok_or_else(refuse)?
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(refuse()),
    };
    if names.iter().any(String::is_empty) { Err(refuse()) } else { Ok(names) }
}

fn diff_column(json: &Map<String, Value>, params: &mut Params) -> Result<(), String> {
    let Some(diff) = json.get("diff_column") else { return Ok(()) };
    let text = |key: &str| diff.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (src, dest) = (text("src"), text("dest"));
    if src.is_empty() && dest.is_empty() {
        return Ok(());
    }
    if src.is_empty() {
        return Err("params.diff_column.src: is missing".to_owned());
    }
    let dest = if dest == src { String::new() } else { dest };
    params.diff_column = Some((src, dest));
    Ok(())
}

/// A whole number, also in quotes, from 1 to `most`.
fn number(json: &Map<String, Value>, key: &str, most: u32) -> Result<Option<u32>, String> {
    let number = match json.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().parse::<u32>().ok(),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    match number {
        Some(number) if (1..=most).contains(&number) => Ok(Some(number)),
        Some(_) | None => Err(format!("params.{key}: must be a whole number from 1 to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let sample = r#"{"pk":{"src":"id","dest":"id"},"diff_column":{"src":"update_time","dest":"update_time"},
            "worker_num":20,"read_batch":5000,"write_batch":500}"#;
        let params = parse(sample).unwrap();
        assert_eq!((params.key, params.target_key), (vec!["id".to_owned()], vec![]));
        assert_eq!(params.diff_column, Some(("update_time".to_owned(), String::new())));
        assert_eq!((params.workers, params.page_rows), (Some(20), Some(5000)));
        assert!(params.notes.len() == 1 && params.notes[0].contains("write_batch 500"));
        let prose = r#"{"split":{"pk":["a","b"]},"worker_num":"4"}"#;
        let params = parse(prose).unwrap();
        assert_eq!((params.key, params.workers), (vec!["a".to_owned(), "b".to_owned()], Some(4)));
        let renamed =
            parse(r#"{"pk":{"src":"id","dest":"order_id"},"diff_column":{"src":"u","dest":"v"}}"#).unwrap();
        assert_eq!(renamed.target_key, ["order_id"]);
        assert_eq!(renamed.diff_column, Some(("u".to_owned(), "v".to_owned())));
        assert_eq!(parse("{}"), Ok(Params::default()));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = r#"{"pk":{"src":5},"diff_column":{"dest":"x"},"worker_num":0,"read_batch":-1,
            "partion":{"column":"dt","partion_date":"$today-1"}}"#;
        let wrong = parse(text).unwrap_err();
        let fields = ["pk.src", "diff_column.src", "worker_num", "read_batch", "partion"];
        assert_eq!(wrong.len(), fields.len(), "{wrong:?}");
        for (line, field) in wrong.iter().zip(fields) {
            assert!(line.starts_with(&format!("params.{field}")), "{line}");
        }
        assert!(parse("[]").is_err() && parse("{").unwrap_err()[0].contains("not JSON"));
        assert!(parse(r#"{"pk":{"src":"a"},"split":{"pk":["b"]}}"#).unwrap_err()[0].contains("different"));
    }
}
