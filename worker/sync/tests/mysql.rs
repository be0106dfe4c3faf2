//! The engine `mysql` against a MariaDB of the test's own.

#[path = "support/mysql_server.rs"]
mod mysql_server;

use shanty_sync::db::{
    Class, Comparison, Connection, DbError, Endpoint, Load, OnDuplicate, Order, RowSink, Rows, Select, SelectParts,
    Side, open,
};
use shanty_sync::schema::{Column, Kind, Table, TableName};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

type Row = Vec<Option<Vec<u8>>>;

/// Both ways in which rows get to the server.
const LANES: [&str; 2] = ["", "&local-infile=off"];

struct Bench {
    server: Arc<mysql_server::Server>,
    url: String,
}

fn bench() -> Option<Bench> {
    let server = mysql_server::shared()?;
    let url = server.url();
    Some(Bench { server, url })
}

impl Bench {
    async fn open(&self) -> Box<dyn Connection> {
        self.open_with("", false).await
    }

    async fn open_with(&self, options: &str, read_only: bool) -> Box<dyn Connection> {
        let endpoint = Endpoint::parse(&format!("{}{options}", self.url)).unwrap();
        open(&endpoint, read_only).await.unwrap()
    }
}

/// Keeps the rows of a read.
#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    row: Row,
    most: Option<usize>,
}

impl RowSink for Kept {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.row.push(value.map(<[u8]>::to_vec));
    }
    fn end_row(&mut self) -> ControlFlow<()> {
        self.rows.push(std::mem::take(&mut self.row));
        if self.most == Some(self.rows.len()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        unreachable!("mysql has no raw rows")
    }
}

async fn describe(db: &mut dyn Connection, name: &str) -> Table {
    db.describe(&table_name(name)).await.unwrap().unwrap()
}

fn table_name(name: &str) -> TableName {
    TableName { schema: None, name: name.into() }
}

async fn read_all(db: &mut dyn Connection, table: &Table) -> Vec<Row> {
    let exprs: Vec<String> = table.columns.iter().map(|column| db.dialect().select_expr(column)).collect();
    let order: Vec<String> =
        table.primary_key.iter().filter_map(|key| db.dialect().key_expr(table.column(key).unwrap())).collect();
    let sql = db.dialect().select(&SelectParts {
        table: &table.name,
        exprs: &exprs,
        filters: &[],
        order: &order,
        direction: Order::Up,
        limit: None,
        offset: 0,
        keyset: !table.primary_key.is_empty(),
    });
    let mut kept = Kept::default();
    db.read(Select { sql: &sql, columns: &table.columns, raw: false }, &mut kept).await.unwrap();
    kept.rows
}

fn encode(db: &dyn Connection, columns: &[Column], rows: &[Row]) -> Vec<u8> {
    let encoder = db.dialect().encoder(columns);
    let mut out = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            encoder.cell(at, cell.as_deref(), &mut out);
        }
        encoder.end_row(&mut out);
    }
    out
}

/// Loads rows in a transaction of its own.
async fn load(db: &mut dyn Connection, table: &Table, on: OnDuplicate, rows: &[Row]) -> Result<(), DbError> {
    let load = Load { table: table.name.clone(), columns: table.columns.clone(), on_duplicate: on };
    let page = encode(db, &table.columns, rows);
    db.begin().await?;
    let count = u64::try_from(rows.len()).unwrap();
    match db.load(&load, Rows::Encoded(&page), count).await {
        Ok(_) => db.commit(true).await,
        Err(error) => {
            db.rollback().await.unwrap();
            Err(error)
        }
    }
}

fn row(cells: &[Option<&str>]) -> Row {
    cells.iter().map(|cell| cell.map(|text| text.as_bytes().to_vec())).collect()
}

fn shown(row: &Row) -> Vec<String> {
    row.iter()
        .map(|cell| cell.as_ref().map_or("NULL".into(), |cell| String::from_utf8_lossy(cell).into_owned()))
        .collect()
}

/// Every kind with its edges: name, declaration, values as SQL, and the text form of each.
fn edges() -> Vec<(&'static str, &'static str, Vec<(&'static str, Option<&'static [u8]>)>)> {
    macro_rules! cases { ($($sql:expr => $text:expr),* $(,)?) => { vec![("NULL", None), $(($sql, Some($text.as_slice()))),*] } }
    vec![
        ("tiny", "tinyint(1)", cases!["-128" => b"-128", "127" => b"127", "2" => b"2", "0" => b"0"]),
        ("utiny", "tinyint unsigned", cases!["255" => b"255", "0" => b"0"]),
        ("small", "smallint", cases!["-32768" => b"-32768", "32767" => b"32767"]),
        ("medium", "mediumint unsigned", cases!["16777215" => b"16777215"]),
        ("plain", "int", cases!["-2147483648" => b"-2147483648", "2147483647" => b"2147483647"]),
        ("padded", "int(8) unsigned zerofill", cases!["42" => b"42", "4294967295" => b"4294967295"]),
        ("big", "bigint", cases!["-9223372036854775808" => b"-9223372036854775808", "9223372036854775807" => b"9223372036854775807"]),
        ("ubig", "bigint unsigned", cases!["18446744073709551615" => b"18446744073709551615", "0" => b"0"]),
        ("dec", "decimal(65,30)", cases!["-12345678901234567890123456789012345.000000000000000000000000000001" => b"-12345678901234567890123456789012345.000000000000000000000000000001", "1.5" => b"1.500000000000000000000000000000"]),
        ("money", "decimal(12,2) unsigned", cases!["0" => b"0.00", "9999999999.99" => b"9999999999.99"]),
        ("single", "float", cases!["8388608" => b"8388608", "16777217" => b"16777216", "1e-45" => b"1e-45", "3.4028235e38" => b"3.4028235e38", "'-0'" => b"-0", "0.1" => b"0.1", "-1.17549435e-38" => b"-1.1754944e-38"]),
        ("precise", "double", cases!["0.1" => b"0.1", "1.7976931348623157e308" => b"1.7976931348623157e308", "5e-324" => b"5e-324", "'-0'" => b"-0", "123456789012345680" => b"1.2345678901234568e17"]),
        ("day", "date", cases!["'0000-00-00'" => b"0000-00-00", "'2024-00-10'" => b"2024-00-10", "'2024-02-31'" => b"2024-02-31", "'9999-12-31'" => b"9999-12-31"]),
        ("moment", "datetime(6)", cases!["'0000-00-00 00:00:00'" => b"0000-00-00 00:00:00.000000", "'9999-12-31 23:59:59.999999'" => b"9999-12-31 23:59:59.999999", "'1000-01-01'" => b"1000-01-01 00:00:00.000000"]),
        ("second", "datetime", cases!["'2024-03-31 02:30:00'" => b"2024-03-31 02:30:00"]),
        ("instant", "timestamp(3) null", cases!["'0000-00-00 00:00:00'" => b"0000-00-00 00:00:00.000", "'1970-01-01 00:00:01'" => b"1970-01-01 00:00:01.000", "'2038-01-19 03:14:07.999'" => b"2038-01-19 03:14:07.999"]),
        ("span", "time(6)", cases!["'-838:59:59.999999'" => b"-838:59:59.999999", "'838:59:59'" => b"838:59:59.000000", "'-00:00:00.5'" => b"-00:00:00.500000"]),
        ("year", "year", cases!["0" => b"0", "1901" => b"1901", "2155" => b"2155", "2000" => b"2000"]),
        ("fixed", "char(5)", cases!["''" => b"", "'ab'" => b"ab", "'\u{1F980}\u{e9}'" => "\u{1F980}\u{e9}".as_bytes()]),
        ("words", "varchar(80)", cases!["''" => b"", "'  blanks  '" => b"  blanks  ", r"'a\\b\tc\nd\re\0f\'g\"h\Zi'" => b"a\\b\tc\nd\re\0f'g\"h\x1ai", r"'\\N'" => b"\\N", "'NULL'" => b"NULL", "'\u{1F980}\u{e9}'" => "\u{1F980}\u{e9}".as_bytes()]),
        ("latin", "varchar(20) character set latin1", cases!["'\u{e9}\u{20ac}'" => "\u{e9}\u{20ac}".as_bytes()]),
        ("long", "longtext", cases!["repeat('x\u{e9}\\n', 40000)" => "x\u{e9}\n".repeat(40000).into_bytes()]),
        ("bin", "binary(4)", cases!["x'00'" => b"\0\0\0\0", "x'27095c0a'" => b"\x27\x09\x5c\x0a"]),
        ("vbin", "varbinary(20)", cases!["''" => b"", "x'00ff0a090d5c27e29c'" => b"\x00\xff\x0a\x09\x0d\x5c\x27\xe2\x9c"]),
        ("blob", "longblob", cases!["repeat(x'00ff0a5c09', 20000)" => b"\x00\xff\x0a\x5c\x09".repeat(20000)]),
        ("bit1", "bit(1)", cases!["b'0'" => b"0", "b'1'" => b"1"]),
        ("bit10", "bit(10)", cases!["b'1111111111'" => b"1111111111", "b'101'" => b"0000000101"]),
        ("bit64", "bit(64)", cases!["18446744073709551615" => b"1111111111111111111111111111111111111111111111111111111111111111", "1" => b"0000000000000000000000000000000000000000000000000000000000000001"]),
        ("json", "json", cases![r#"'{"a": "\u{1F980}", "b": [1, 1.50, null]}'"# => r#"{"a": "u{1F980}", "b": [1, 1.50, null]}"#.as_bytes()]),
        ("label", "enum('', 'b', 'it''s', '3', 'B,c')", cases!["''" => b"", "'b'" => b"b", "'it''s'" => b"it's", "'3'" => b"3", "'B,c'" => b"B,c"]),
        ("labels", "set('a', 'it''s', '1')", cases!["''" => b"", "'a,1'" => b"a,1", "'a,it''s,1'" => b"a,it's,1"]),
        ("id128", "uuid", cases!["'00112233-4455-6677-8899-AABBCCDDEEFF'" => b"00112233-4455-6677-8899-aabbccddeeff"]),
        ("ip", "inet6", cases!["'2001:db8::1'" => b"2001:db8::1"]),
        ("place", "point", cases!["ST_GeomFromText('POINT(1 2)', 4326)" => b"\xe6\x10\0\0\x01\x01\0\0\0\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"]),
    ]
}

#[tokio::test]
async fn every_kind_comes_back_as_it_was_over_both_lanes() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    for (name, declared, values) in edges() {
        db.execute(&format!("CREATE TABLE {name} (id bigint PRIMARY KEY, v {declared})")).await.unwrap();
        for (id, (sql, _)) in values.iter().enumerate() {
            // Id 0 is a value like any other.
            db.execute(&format!("INSERT INTO {name} VALUES ({id}, {sql})")).await.unwrap();
        }
        let source = describe(&mut *db, name).await;
        let rows = read_all(&mut *db, &source).await;
        for ((sql, expected), row) in values.iter().zip(&rows) {
            assert_eq!(row[1].as_deref(), *expected, "{declared} {sql}: {:?}", shown(row));
        }
        for lane in LANES {
            let mut writer = bench.open_with(lane, false).await;
            let copy = format!("{name}_{}", lane.len());
            writer.execute(&format!("CREATE TABLE {copy} LIKE {name}")).await.unwrap();
            let target = describe(&mut *writer, &copy).await;
            load(&mut *writer, &target, OnDuplicate::Fail, &rows)
                .await
                .unwrap_or_else(|error| panic!("{declared} over {lane:?}: {error}"));
            assert_eq!(read_all(&mut *writer, &target).await, rows, "{declared} over {lane:?}");
            // To the last bit, as the server sees it.
            let differ = format!(
                "SELECT COUNT(*) FROM {name} a JOIN {copy} b USING (id) WHERE NOT (HEX(a.v) <=> HEX(b.v)) \
                 OR NOT (a.v <=> b.v)"
            );
            assert_eq!(writer.query(&differ).await.unwrap()[0][0].as_deref(), Some("0"), "{declared}");
        }
    }
}
