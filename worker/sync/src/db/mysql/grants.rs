//! What an account lacks, in words.
//!
//! In: SHOW GRANTS. Out: sentences with the statement that grants what is missing.
//! Never: a complaint when roles may give what the grants do not say.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::DIALECT;
use super::literals::ident;
use super::session::Session;
use crate::db::{Class, DbError, Dialect as _};
use crate::schema::TableName;

const READ: [&str; 1] = ["SELECT"];
const WRITE: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
/// For the tables beside it that keep a sync's state, and the temporary one of changed rows.
const STATE: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "CREATE TEMPORARY TABLES"];

/// What a grant covers.
#[derive(Debug, PartialEq, Eq)]
enum Scope {
    All,
    Schema(String),
    Table(String, String),
}

#[derive(Debug, PartialEq, Eq)]
struct Grant {
    privileges: Vec<String>,
    scope: Scope,
}

/// The privileges that the account lacks.
///
/// # Errors
/// The server's.
pub(super) async fn missing(
    session: &mut Session,
    table: &TableName,
    write: bool,
) -> Result<Vec<String>, DbError> {
    let lines = match session.query("SHOW GRANTS").await {
        Ok(lines) => lines,
        Err(error) if error.class == Class::Denied => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines: Vec<String> = lines.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    // MySQL lists a role's name and not what it gives.
    if !session.is_mariadb && lines.iter().any(|line| !line.contains(" ON ")) {
        return Ok(Vec::new());
    }
    let grants: Vec<Grant> = lines.iter().filter_map(|line| grant(line)).collect();
    let schema = table.schema.clone().or_else(|| session.database.clone()).unwrap_or_default();
    let account = session.one("SELECT CURRENT_USER()").await?.unwrap_or_default();
    Ok(lacks(&grants, &schema, &table.name, write, &self::account(&account)))
}

fn lacks(grants: &[Grant], schema: &str, table: &str, write: bool, account: &str) -> Vec<String> {
    let has = |privilege: &str, of_table: bool| {
        grants.iter().any(|grant| {
            let covers = match &grant.scope {
                Scope::All => true,
                Scope::Schema(pattern) => is_like(pattern, schema),
                Scope::Table(in_schema, name) => of_table && in_schema == schema && name == table,
            };
            covers && grant.privileges.iter().any(|given| given == privilege || given == "ALL PRIVILEGES")
        })
    };
    let without = |wanted: &[&str], of_table: bool| -> Vec<String> {
        wanted.iter().filter(|one| !has(one, of_table)).map(|one| (*one).to_owned()).collect()
    };
    let mut words = Vec::new();
    let on_table = without(if write { &WRITE } else { &READ }, true);
    if !on_table.is_empty() {
        let list = on_table.join(", ");
        let name = TableName { schema: Some(schema.to_owned()), name: table.to_owned() };
        words.push(format!(
            "{list} on {name} is missing: GRANT {list} ON {} TO {account}",
            DIALECT.table(&name)
        ));
    }
    let on_schema = if write { without(&STATE, false) } else { Vec::new() };
    if !on_schema.is_empty() {
        let list = on_schema.join(", ");
        words.push(format!(
            "{list} on the database {schema}, where the sync's state is kept, is missing: GRANT {list} ON {}.* TO \
             {account}",
            ident(schema)
        ));
    }
    words
}

/// An account as GRANT takes it, from `user@host`.
pub(super) fn account(user_at_host: &str) -> String {
    match user_at_host.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", super::literals::text(user), super::literals::text(host)),
        None => super::literals::text(user_at_host),
    }
}

/// `GRANT a, b (c, d), e ON x.y TO …`; none for roles and proxies.
fn grant(line: &str) -> Option<Grant> {
    let rest = line.strip_prefix("GRANT ")?;
    let (privileges, rest) = rest.split_once(" ON ")?;
    let rest = rest.strip_prefix("TABLE ").unwrap_or(rest);
    if rest.starts_with("PROCEDURE ") || rest.starts_with("FUNCTION ") || privileges.contains("PROXY") {
        return None;
    }
    let (schema, rest) = name(rest)?;
    let (table, _) = name(rest.strip_prefix('.')?)?;
    let scope = match (schema.as_str(), table.as_str()) {
        ("*", "*") => Scope::All,
        (_, "*") => Scope::Schema(schema),
        _ => Scope::Table(schema, table),
    };
    // Privileges of some columns only are none of the table's.
    let mut depth = 0_u32;
    let parts = privileges.split(|letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let whole = parts.map(str::trim).filter(|part| !part.contains('('));
    Some(Grant { privileges: whole.map(str::to_owned).collect(), scope })
}

/// A name in backquotes or a star, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some(("*".to_owned(), rest));
    }
    let mut rest = text.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (part, tail) = rest.split_once('`')?;
        name.push_str(part);
        match tail.strip_prefix('`') {
            Some(tail) => {
                name.push('`');
                rest = tail;
            }
            None => return Some((name, tail)),
        }
    }
}

/// Whether a grant's pattern (`%`, `_`, `\_`) covers a name.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('%') => {
            let rest = letters.as_str();
            name.char_indices().any(|(at, _)| is_like(rest, &name[at..])) || is_like(rest, "")
        }
        Some(first) => {
            let mut others = name.chars();
            let Some(other) = others.next() else { return false };
            let (wanted, any) = match (first, letters.clone().next()) {
                ('\\', Some(escaped)) => {
                    letters.next();
                    (escaped, false)
                }
                ('_', _) => ('_', true),
                _ => (first, false),
            };
            (any || wanted == other) && is_like(letters.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_whole() {
        let grant = |line: &str| super::grant(line);
        assert_eq!(
            grant("GRANT SELECT, INSERT (a, b), UPDATE ON `my\\_db`.* TO `u`@`%`"),
            Some(Grant {
                privileges: vec!["SELECT".into(), "UPDATE".into()],
                scope: Scope::Schema("my\\_db".into())
            })
        );
        assert_eq!(
            grant("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A' WITH GRANT OPTION"),
            Some(Grant { privileges: vec!["ALL PRIVILEGES".into()], scope: Scope::All })
        );
        assert_eq!(
            grant("GRANT SELECT ON `a``b`.`t` TO `u`@`%`").map(|grant| grant.scope),
            Some(Scope::Table("a`b".into(), "t".into()))
        );
        assert_eq!(grant("GRANT `role` TO `u`@`%`"), None);
        assert_eq!(grant("GRANT EXECUTE ON PROCEDURE `a`.`p` TO `u`@`%`"), None);
    }

    #[test]
    fn patterns_of_schemas_are_patterns() {
        for (pattern, name, expected) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("my\\_db", "my_db", true),
            ("my\\_db", "myxdb", false),
            ("my_db", "myxdb", true),
            ("my%", "my_db", true),
            ("%", "", true),
        ] {
            assert_eq!(is_like(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_its_grant() {
        let grants =
            [Grant { privileges: vec!["SELECT".into()], scope: Scope::Table("d".into(), "t".into()) }];
        assert!(lacks(&grants, "d", "t", false, "'u'@'h'").is_empty());
        assert_eq!(
            lacks(&grants, "d", "x", false, "'u'@'h'"),
            ["SELECT on d.x is missing: GRANT SELECT ON `d`.`x` TO 'u'@'h'"]
        );
        let words = lacks(&grants, "d", "t", true, "'u'@'h'");
        assert!(words[0].contains("GRANT INSERT, UPDATE, DELETE ON `d`.`t`"), "{words:?}");
        assert!(words[1].contains("CREATE TEMPORARY TABLES"), "{words:?}");
    }
}
