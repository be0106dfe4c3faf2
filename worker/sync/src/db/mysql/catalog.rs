//! Tables as information_schema has them.
//!
//! In: names. Out: [`Table`]s. Never: a guess about what the catalog does not say.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::literals::text;
use super::session::Session;
use super::types::kind;
use crate::db::{DbError, TextRow};
use crate::schema::{Column, Index, IndexColumn, Kind, Table, TableName};

/// How the tables begin in which the state of syncs is kept.
const STATE: &str = "shanty_sync";

/// Names of the tables of a schema.
pub(super) async fn tables(session: &mut Session, schema: Option<&str>) -> Result<Vec<TableName>, DbError> {
    let schema = schema.map_or_else(|| "DATABASE()".to_owned(), text);
    let rows = session
        .query(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
             AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME"
        ))
        .await?;
    let names = rows.into_iter().map(Cells).map(|mut row| {
        let schema = row.take(0);
        TableName { schema, name: row.text(1) }
    });
    Ok(names.filter(|table| !table.name.starts_with(STATE)).collect())
}

/// What tells this database from all others.
pub(super) async fn identity(session: &mut Session) -> Result<String, DbError> {
    let server = match session.one("SELECT @@server_uuid").await {
        Ok(uuid) => uuid,
        Err(error) if error.is_transient() => return Err(error),
        // MariaDB has none: the folder of its data, on its host.
        Err(_) => session.one("SELECT MD5(CONCAT_WS('|', @@hostname, @@port, @@datadir))").await?,
    };
    let database = session.one("SELECT DATABASE()").await?.unwrap_or_default();
    Ok(format!("mysql/{}/{database}", server.unwrap_or_default()))
}

/// A row of an answer.
struct Cells(TextRow);

impl Cells {
    fn take(&mut self, at: usize) -> Option<String> {
        self.0.get_mut(at).and_then(Option::take)
    }

    fn text(&mut self, at: usize) -> String {
        self.take(at).unwrap_or_default()
    }

    fn number(&mut self, at: usize) -> Option<u64> {
        self.take(at).and_then(|text| text.parse().ok())
    }
}

/// A table as its catalog has it.
pub(super) async fn describe(session: &mut Session, table: &TableName) -> Result<Option<Table>, DbError> {
    let Some(mut found) = head(session, table).await? else { return Ok(None) };
    let schema = found.name.schema.clone().unwrap_or_default();
    // The plain comparison finds the table without a scan, the binary one keeps names apart that differ in case.
    let place = |prefix: &str| {
        let (schema, name) = (text(&schema), text(&found.name.name));
        format!(
            "{prefix}TABLE_SCHEMA = {schema} AND {prefix}TABLE_NAME = {name} AND BINARY {prefix}TABLE_NAME = {name}"
        )
    };
    let here = place("");
    let constrained = place("").replace("TABLE_SCHEMA", "CONSTRAINT_SCHEMA");
    let json = checks(session, &constrained, &place("c."), &mut found.left_out).await?;
    columns(session, &here, &json, &mut found).await?;
    indexes(session, &here, &mut found).await?;
    foreign_keys(session, &constrained, &schema, &mut found).await?;
    triggers(session, &schema, &mut found).await?;
    Ok(Some(found))
}

async fn head(session: &mut Session, table: &TableName) -> Result<Option<Table>, DbError> {
    let schema = table.schema.as_deref().map_or_else(|| "DATABASE()".to_owned(), text);
    let rows = session
        .query(&format!(
            "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.TABLE_ROWS, t.DATA_LENGTH, e.TRANSACTIONS \
             FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE t.TABLE_SCHEMA = {schema} AND t.TABLE_NAME = {}",
            text(&table.name)
        ))
        .await?;
    let exact = rows.iter().position(|row| row.get(1) == Some(&Some(table.name.clone())));
    let at = exact.or((rows.len() == 1).then_some(0));
    let Some(mut row) = at.and_then(|at| rows.into_iter().nth(at)).map(Cells) else { return Ok(None) };
    let name = TableName { schema: row.take(0), name: row.text(1) };
    let sort = row.text(2);
    if sort == "SEQUENCE" {
        return Ok(None);
    }
    let view = sort.contains("VIEW");
    let (rows, bytes, transactions) = (row.number(3), row.number(4), row.take(5));
    let mut hindrances = Vec::new();
    if sort == "SYSTEM VERSIONED" {
        hindrances.push("system versioning: every change keeps the old row".to_owned());
    }
    Ok(Some(Table {
        name,
        columns: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        rows,
        bytes,
        transactional: view || transactions.as_deref() == Some("YES"),
        view,
        hindrances,
        left_out: Vec::new(),
        rowid: None,
    }))
}

/// Check constraints; answers the columns that one of them keeps to JSON (MariaDB's JSON is such a LONGTEXT).
async fn checks(
    session: &mut Session,
    place: &str,
    joined: &str,
    left_out: &mut Vec<String>,
) -> Result<Vec<String>, DbError> {
    let sql = if session.is_mariadb {
        format!(
            "SELECT CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE {place}"
        )
    } else {
        format!(
            "SELECT k.CONSTRAINT_NAME, k.CHECK_CLAUSE FROM information_schema.TABLE_CONSTRAINTS c \
             JOIN information_schema.CHECK_CONSTRAINTS k ON k.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA \
             AND k.CONSTRAINT_NAME = c.CONSTRAINT_NAME WHERE c.CONSTRAINT_TYPE = 'CHECK' AND {joined}"
        )
    };
    let rows = match session.query(&sql).await {
        Ok(rows) => rows,
        Err(error) if error.is_transient() => return Err(error),
        // Servers that know no checks have no such table.
        Err(_) => Vec::new(),
    };
    let mut json = Vec::new();
    for mut row in rows.into_iter().map(Cells) {
        let (name, clause) = (row.text(0), row.text(1));
        let inside = clause.trim().to_ascii_lowercase();
        let column = inside.strip_prefix("json_valid(`").and_then(|rest| rest.strip_suffix("`)"));
        match column {
            Some(column) if column.eq_ignore_ascii_case(&name) => json.push(name),
            _ => left_out.push(format!("check {name}: {clause}")),
        }
    }
    Ok(json)
}

async fn columns(
    session: &mut Session,
    place: &str,
    json: &[String],
    table: &mut Table,
) -> Result<(), DbError> {
    let rows = session
        .query(&format!(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA, COLUMN_DEFAULT, COLLATION_NAME \
             FROM information_schema.COLUMNS WHERE {place} ORDER BY ORDINAL_POSITION"
        ))
        .await?;
    for mut row in rows.into_iter().map(Cells) {
        let (name, native) = (row.text(0), row.text(1));
        let nullable = row.text(2) == "YES";
        let extra = row.text(3).to_ascii_lowercase();
        let is_json = json.contains(&name) && native.eq_ignore_ascii_case("longtext");
        let kind = if is_json { Kind::Json { binary: false } } else { kind(&native) };
        let default = row.take(4).and_then(|text| default(&text, &kind, &extra, session.is_mariadb));
        table.columns.push(Column {
            kind,
            nullable,
            generated: ["virtual", "stored", "persistent"].iter().any(|word| extra.contains(word)),
            auto: extra.contains("auto_increment"),
            default,
            collation: row.take(5),
            name,
            native,
        });
    }
    Ok(())
}

/// A column's default in SQL. MariaDB keeps it so; MySQL keeps a literal without its quotes.
fn default(text: &str, kind: &Kind, extra: &str, is_mariadb: bool) -> Option<String> {
    if is_mariadb {
        return (!text.eq_ignore_ascii_case("null")).then(|| text.to_owned());
    }
    if extra.contains("default_generated") {
        let is_now = text.to_ascii_lowercase().starts_with("current_timestamp");
        return Some(if is_now { text.to_owned() } else { format!("({text})") });
    }
    let plain =
        matches!(kind, Kind::Int { .. } | Kind::Decimal { .. } | Kind::Float { .. } | Kind::Bit { .. });
    let is_now = text.to_ascii_lowercase().starts_with("current_timestamp");
    Some(if plain || is_now { text.to_owned() } else { self::text(text) })
}

async fn indexes(session: &mut Session, place: &str, table: &mut Table) -> Result<(), DbError> {
    let rows = session
        .query(&format!(
            "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE \
             FROM information_schema.STATISTICS WHERE {place} ORDER BY INDEX_NAME, SEQ_IN_INDEX"
        ))
        .await?;
    let mut found: Vec<(Index, Option<&'static str>)> = Vec::new();
    for mut row in rows.into_iter().map(Cells) {
        let name = row.text(0);
        let unique = row.text(1) == "0";
        let column = row.take(2);
        let part = IndexColumn {
            prefix: row.number(3).and_then(|prefix| u32::try_from(prefix).ok()),
            descending: row.text(4) == "D",
            name: column.clone().unwrap_or_default(),
        };
        if found.last().is_none_or(|(last, _)| last.name != name) {
            found.push((Index { name, columns: Vec::new(), unique }, None));
        }
        let Some((index, odd)) = found.last_mut() else { continue };
        match row.text(5).as_str() {
            "FULLTEXT" => *odd = Some("full-text index"),
            "SPATIAL" => *odd = Some("spatial index"),
            _ if column.is_none() => *odd = Some("index over an expression"),
            _ => {}
        }
        index.columns.push(part);
    }
    for (index, odd) in found {
        if let Some(odd) = odd {
            table.left_out.push(format!("{odd} {}", index.name));
        } else if index.name != "PRIMARY" {
            table.indexes.push(index);
        } else if index.columns.iter().any(|part| part.prefix.is_some()) {
            // It orders and tells apart by the beginning of a value only.
            table.left_out.push("primary key over the beginning of a column: no key to page by".to_owned());
        } else {
            table.primary_key = index.columns.into_iter().map(|part| part.name).collect();
        }
    }
    Ok(())
}

async fn foreign_keys(
    session: &mut Session,
    place: &str,
    schema: &str,
    table: &mut Table,
) -> Result<(), DbError> {
    let own = session
        .query(&format!(
            "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE {place}"
        ))
        .await?;
    for mut row in own.into_iter().map(Cells) {
        table.left_out.push(format!("foreign key {} to {}", row.text(0), row.text(1)));
    }
    let name = text(&table.name.name);
    let others = session
        .query(&format!(
            "SELECT TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE, UPDATE_RULE \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = {} \
             AND REFERENCED_TABLE_NAME = {name} AND BINARY REFERENCED_TABLE_NAME = {name} \
             AND (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL'))",
            text(schema)
        ))
        .await?;
    for mut row in others.into_iter().map(Cells) {
        table.hindrances.push(format!(
            "foreign key {} of {}: on delete {}, on update {} (sessions that write run without foreign keys)",
            row.text(1),
            row.text(0),
            row.text(2).to_lowercase(),
            row.text(3).to_lowercase()
        ));
    }
    Ok(())
}

async fn triggers(session: &mut Session, schema: &str, table: &mut Table) -> Result<(), DbError> {
    let name = text(&table.name.name);
    let rows = session
        .query(&format!(
            "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {name} \
             AND BINARY EVENT_OBJECT_TABLE = {name} ORDER BY TRIGGER_NAME",
            text(schema)
        ))
        .await?;
    for mut row in rows.into_iter().map(Cells) {
        let words = format!("{} {}", row.text(1), row.text(2)).to_lowercase();
        table
            .hindrances
            .push(format!("trigger {}: runs {words}", row.0.first().cloned().flatten().unwrap_or_default()));
    }
    Ok(())
}
