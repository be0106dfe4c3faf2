//! The table that speed is measured with: 8 columns of about 176 bytes, one secondary index.
//!
//! Every value follows from the row's number, so the same number of rows is the same table everywhere.
//! In: an engine, a number of rows, the form of its key. Out: a filled table, made by the server itself.
//! Tests: `tests/tests/t50_sync.rs`.

use super::{Database, Engine, Fingerprint, Form, fingerprint};

/// How many rows one statement makes; a statement is one transaction.
const AT_ONCE: u64 = 1_000_000;

/// A table of orders.
#[derive(Debug, Clone)]
pub struct Orders {
    /// Its name.
    pub table: String,
    /// Whether it has a primary key.
    pub keyed: bool,
    /// The key of a row, in the engine's SQL over `n`, the row's number from 1.
    pub id: String,
}

impl Orders {
    /// The columns with their forms.
    pub const COLUMNS: [(&str, Form); 8] = [
        ("id", Form::Whole),
        ("shop", Form::Whole),
        ("customer", Form::Whole),
        ("amount", Form::Cents),
        ("placed", Form::Second),
        ("state", Form::Text),
        ("note", Form::Text),
        ("weight", Form::Eighths),
    ];

    /// With a primary key that counts from 1.
    #[must_use]
    pub fn keyed(table: &str) -> Orders {
        Orders { table: table.to_owned(), keyed: true, id: "n".to_owned() }
    }

    /// Without any key.
    #[must_use]
    pub fn keyless(table: &str) -> Orders {
        Orders { keyed: false, ..Orders::keyed(table) }
    }

    /// The statements that make it, empty.
    #[must_use]
    pub fn create(&self, engine: Engine) -> Vec<String> {
        let table = &self.table;
        let (datetime, double, options) = match engine {
            Engine::MariaDb => ("DATETIME", "DOUBLE", " ENGINE=InnoDB CHARACTER SET utf8mb4"),
            Engine::Postgres => ("TIMESTAMP(0)", "DOUBLE PRECISION", ""),
            Engine::Sqlite => ("DATETIME", "DOUBLE", ""),
        };
        let key = if self.keyed { ", PRIMARY KEY (id)" } else { "" };
        let table_sql = format!(
            "CREATE TABLE {table} (id BIGINT NOT NULL, shop INTEGER NOT NULL, customer BIGINT NOT NULL, \
             amount DECIMAL(12,2) NOT NULL, placed {datetime} NOT NULL, state VARCHAR(40) NOT NULL, \
             note VARCHAR(80) NOT NULL, weight {double} NOT NULL{key}){options}"
        );
        let mut statements = vec![table_sql];
        if self.keyed {
            statements.push(format!("CREATE INDEX {table}_customer ON {table} (customer)"));
        }
        statements
    }

    /// Makes and fills it.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn make(&self, database: &Database, rows: u64) {
        database.run(&self.create(database.engine)).await;
        self.fill(database, 1, rows).await;
    }

    /// Adds the rows of numbers `from..=to`, and lets the server look at what it has.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn fill(&self, database: &Database, from: u64, to: u64) {
        let mut statements = Vec::new();
        let mut next = from;
        while next <= to {
            let last = to.min(next + AT_ONCE - 1);
            statements.push(self.insert(database.engine, next, last));
            next = last + 1;
        }
        statements.push(match database.engine {
            Engine::MariaDb => format!("ANALYZE TABLE {}", self.table),
            Engine::Postgres | Engine::Sqlite => format!("ANALYZE {}", self.table),
        });
        database.run(&statements).await;
    }

    fn insert(&self, engine: Engine, from: u64, to: u64) -> String {
        let (table, id) = (&self.table, &self.id);
        match engine {
            Engine::MariaDb => format!(
                "INSERT INTO {table} SELECT {id}, n % 500, (n * 7919) % 1000003, ((n * 37) % 1000000) / 100, \
                 DATE_ADD('2020-01-01', INTERVAL n SECOND), LPAD(n * 31, 40, 'paid and shipped, '), \
                 LPAD(n * 17, 80, 'leave it with the neighbour; '), n / 8 \
                 FROM (SELECT seq AS n FROM seq_{from}_to_{to}) AS numbers"
            ),
            Engine::Postgres => format!(
                "INSERT INTO {table} SELECT {id}, n % 500, (n * 7919) % 1000003, ((n * 37) % 1000000) / 100.0, \
                 timestamp '2020-01-01' + n * interval '1 second', lpad((n * 31)::text, 40, 'paid and shipped, '), \
                 lpad((n * 17)::text, 80, 'leave it with the neighbour; '), n / 8.0 \
                 FROM generate_series({from}::int8, {to}::int8) AS n"
            ),
            Engine::Sqlite => format!(
                "WITH RECURSIVE numbers(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to}) \
                 INSERT INTO {table} SELECT {id}, n % 500, (n * 7919) % 1000003, ((n * 37) % 1000000) / 100.0, \
                 datetime('2020-01-01', '+' || n || ' seconds'), printf('%040d', n * 31), printf('%080d', n * 17), \
                 n / 8.0 FROM numbers"
            ),
        }
    }

    /// What a table holds; any of its copies has the same.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn print(&self, database: &Database) -> Fingerprint {
        fingerprint(database, &self.table, &Orders::COLUMNS).await
    }
}
