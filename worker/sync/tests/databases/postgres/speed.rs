//! What reading and writing cost the client.
//!
//! Ignored by default: `cargo test --workspace --test databases -- --ignored --nocapture costs`.

use super::*;
use std::time::Instant;

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

struct Counted {
    rows: u64,
    bytes: usize,
    payload: Vec<u8>,
}

impl RowSink for Counted {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.bytes += value.map_or(0, <[u8]>::len);
    }
    fn end_row(&mut self) -> ControlFlow<()> {
        self.rows += 1;
        ControlFlow::Continue(())
    }
    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        self.rows += 1;
        self.payload.extend_from_slice(row);
        ControlFlow::Continue(())
    }
}

/// Reads and encodes, as a page is made.
struct Encoding<'a> {
    encoder: &'a dyn shanty_sync::db::RowEncoder,
    column: usize,
    rows: u64,
    payload: Vec<u8>,
    /// Whether the payload begins again at the size of a page.
    is_page: bool,
}

impl RowSink for Encoding<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.encoder.cell(self.column, value, &mut self.payload).unwrap();
        self.column += 1;
    }
    fn end_row(&mut self) -> ControlFlow<()> {
        self.encoder.end_row(&mut self.payload);
        self.column = 0;
        self.rows += 1;
        if self.is_page && self.payload.len() > 8 << 20 {
            self.payload.clear();
        }
        ControlFlow::Continue(())
    }
    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
#[ignore = "a measurement of a minute"]
fn costs_of_a_million_rows() {
    with_database(|url| async move {
        let rows: u32 = 1_000_000;
        let mut it = connect(&url, false).await;
        it.execute(&format!(
            "CREATE TABLE a (id bigint PRIMARY KEY, n int, d numeric(12,2), ts timestamp, z timestamptz, f float8, u uuid, t varchar(100));
             INSERT INTO a SELECT n, n % 1000, n / 7.0, '2024-01-01'::timestamp + n * interval '1 s', '2024-01-01 00:00:00+00'::timestamptz + n * interval '1 ms',
             n / 3.0, md5(n::text)::uuid, repeat(md5(n::text), 3) FROM generate_series(1, {rows}) n;
             CREATE TABLE b (LIKE a)"
        )).await.unwrap();
        it.execute("VACUUM ANALYZE a").await.unwrap();
        let source = described(&mut it, "a").await;
        let target = described(&mut it, "b").await;
        let sql = whole(it.as_ref(), &source);
        let million = f64::from(rows) / 1e6;
        let say = |what: &str, began: (Instant, f64)| {
            let (wall, cpu) = (began.0.elapsed().as_secs_f64(), cpu() - began.1);
            println!(
                "{what:<28} {:.2} CPU s of the client per million rows, {:.0} rows/s",
                cpu / million,
                f64::from(rows) / wall
            );
        };
        for _ in 0..2 {
            let began = (Instant::now(), cpu());
            let mut counted = Counted { rows: 0, bytes: 0, payload: Vec::new() };
            it.read(Select { sql: &sql, columns: &source.columns, raw: false }, &mut counted).await.unwrap();
            assert_eq!(counted.rows, u64::from(rows));
            say("read as text", began);

            let encoder = it.dialect().encoder(&target.columns);
            let mut encoding = Encoding {
                encoder: encoder.as_ref(),
                column: 0,
                rows: 0,
                payload: Vec::with_capacity(9 << 20),
                is_page: true,
            };
            let began = (Instant::now(), cpu());
            it.read(Select { sql: &sql, columns: &source.columns, raw: false }, &mut encoding).await.unwrap();
            say("read as text and encode", began);
            encoding = Encoding { is_page: false, rows: 0, payload: Vec::new(), ..encoding };
            it.read(Select { sql: &sql, columns: &source.columns, raw: false }, &mut encoding).await.unwrap();

            let plan = load_of(&target, OnDuplicate::Fail);
            it.execute("TRUNCATE b").await.unwrap();
            let began = (Instant::now(), cpu());
            load(&mut it, &plan, Rows::Encoded(&encoding.payload), encoding.rows.try_into().unwrap())
                .await
                .unwrap();
            say("write text", began);
            drop(encoding);

            let mut counted = Counted { rows: 0, bytes: 0, payload: Vec::with_capacity(256 << 20) };
            let began = (Instant::now(), cpu());
            it.read(Select { sql: &sql, columns: &source.columns, raw: true }, &mut counted).await.unwrap();
            say("read in binary", began);
            it.execute("TRUNCATE b").await.unwrap();
            let began = (Instant::now(), cpu());
            load(&mut it, &plan, Rows::Raw(&counted.payload), counted.rows.try_into().unwrap())
                .await
                .unwrap();
            say("write binary", began);
        }
    });
}
