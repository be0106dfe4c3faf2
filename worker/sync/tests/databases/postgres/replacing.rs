//! Rows whose keys are in the table already.

use super::*;

fn by_id(newer: Option<&str>) -> OnDuplicate {
    OnDuplicate::Replace { key: vec!["id".to_owned()], newer: newer.map(str::to_owned) }
}

async fn rows_of(connection: &mut Box<dyn Connection>, table: &str) -> Vec<String> {
    let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
    connection.query(&sql).await.unwrap().into_iter().map(|row| row[0].clone().unwrap()).collect()
}

/// Loads literal rows into the first columns of a table.
async fn put(
    connection: &mut Box<dyn Connection>,
    table: &str,
    columns: usize,
    how: OnDuplicate,
    rows: &[&[&str]],
) -> Result<(), DbError> {
    let described = described(connection, table).await;
    let mut plan = load_of(&described, how);
    plan.columns.truncate(columns);
    let payload = encoded(connection.as_ref(), &plan.columns, &cells(rows));
    load(connection, &plan, Rows::Encoded(&payload), rows.len()).await
}

#[test]
fn rows_are_replaced_and_added() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v text, own text DEFAULT 'd');
                    INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')",
        )
        .await
        .unwrap();
        put(&mut it, "t", 2, by_id(None), &[&["2", "B"], &["3", "-"]]).await.unwrap();
        assert_eq!(rows_of(&mut it, "t").await, ["(1,a,x)", "(2,B,y)", "(3,,d)"]);
        // A table that is nothing but its key.
        it.execute("CREATE TABLE k (id int PRIMARY KEY); INSERT INTO k VALUES (1)").await.unwrap();
        put(&mut it, "k", 1, by_id(None), &[&["1"], &["2"]]).await.unwrap();
        assert_eq!(rows_of(&mut it, "k").await, ["(1)", "(2)"]);
        // The same key twice in a load has no answer.
        let error = put(&mut it, "k", 1, by_id(None), &[&["7"], &["7"]]).await;
        assert_eq!(error, Ok(()), "nothing to update");
        let error = put(&mut it, "t", 2, by_id(None), &[&["7", "a"], &["7", "b"]]).await.unwrap_err();
        assert_eq!(error.class, Class::Row);
    });
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute("CREATE TABLE t (id int PRIMARY KEY, at int, u int UNIQUE, own int DEFAULT 9)")
            .await
            .unwrap();
        for is_swapped in [false, true] {
            it.execute("TRUNCATE t; INSERT INTO t VALUES (1, 5, 10, 1), (2, 5, 20, 2), (3, NULL, 30, 3), (4, 5, 40, 4),
                        (5, 5, 50, 5), (6, 5, 60, 6)").await.unwrap();
            let (five, six) = if is_swapped { ("60", "50") } else { ("51", "61") };
            put(
                &mut it,
                "t",
                3,
                by_id(Some("at")),
                &[
                    &["1", "4", "11"],
                    &["2", "5", "21"],
                    &["3", "1", "31"],
                    &["4", "-", "41"],
                    &["5", "6", five],
                    &["6", "6", six],
                    &["7", "-", "70"],
                ],
            )
            .await
            .unwrap();
            let expected = [
                "(1,5,10,1)".to_owned(),
                "(2,5,21,2)".to_owned(),
                "(3,1,31,3)".to_owned(),
                "(4,5,40,4)".to_owned(),
                format!("(5,6,{five},5)"),
                format!("(6,6,{six},6)"),
                "(7,,70,9)".to_owned(),
            ];
            assert_eq!(rows_of(&mut it, "t").await, expected, "swapped: {is_swapped}");
        }
    });
}

#[test]
fn swapped_unique_values_are_replaced_and_other_rows_are_not_touched() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute(
            "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b text UNIQUE NOT NULL, own int DEFAULT 9,
                    twice int GENERATED ALWAYS AS (a * 2) STORED);
                    INSERT INTO t VALUES (1, 10, 'x', 1), (2, 20, 'y', 2), (3, 30, 'z', 3)",
        )
        .await
        .unwrap();
        put(&mut it, "t", 3, by_id(None), &[&["1", "20", "y"], &["2", "10", "x"], &["4", "40", "w"]])
            .await
            .unwrap();
        let expected = ["(1,20,y,1,40)", "(2,10,x,2,20)", "(3,30,z,3,60)", "(4,40,w,9,80)"];
        assert_eq!(rows_of(&mut it, "t").await, expected);
        // A value of a row that is not in the load.
        let error = put(&mut it, "t", 3, by_id(None), &[&["1", "30", "q"]]).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (Class::Row, "23505"));
        assert!(error.message.contains("Key (a)=(30)"), "{error}");
        assert_eq!(rows_of(&mut it, "t").await, expected);
        // Rows of other tables that would go along.
        it.execute(
            "CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1)",
        )
        .await
        .unwrap();
        let error =
            put(&mut it, "t", 3, by_id(None), &[&["1", "10", "x"], &["2", "20", "y"]]).await.unwrap_err();
        assert_eq!(error.class, Class::Row);
        assert!(error.message.contains("child"), "{error}");
        assert_eq!(rows_of(&mut it, "child").await, ["(1)"]);
        assert_eq!(rows_of(&mut it, "t").await, expected);
        // Without a swap they are left alone.
        put(&mut it, "t", 3, by_id(None), &[&["1", "21", "y"]]).await.unwrap();
        assert_eq!(rows_of(&mut it, "child").await, ["(1)"]);
    });
}

#[test]
fn numbers_that_the_server_gives_are_replaced_too() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text);
                    INSERT INTO t (id, v) VALUES (1, 'a'), (2, 'b');
                    CREATE TABLE k (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
                    INSERT INTO k (v) VALUES ('a')",
        )
        .await
        .unwrap();
        put(&mut it, "t", 3, by_id(None), &[&["1", "7", "A"], &["3", "8", "c"]]).await.unwrap();
        assert_eq!(rows_of(&mut it, "t").await, ["(1,7,A)", "(2,2,b)", "(3,8,c)"]);
        put(&mut it, "k", 2, by_id(None), &[&["1", "A"], &["5", "e"]]).await.unwrap();
        assert_eq!(rows_of(&mut it, "k").await, ["(1,A)", "(5,e)"]);
        // Several loads in one transaction, and binary rows.
        let table = described(&mut it, "k").await;
        let plan = load_of(&table, by_id(None));
        let raw = read(&mut it, &table, true).await.raw;
        it.execute("UPDATE k SET v = 'gone'").await.unwrap();
        it.begin().await.unwrap();
        for row in &raw {
            it.load(&plan, Rows::Raw(row), 1).await.unwrap();
        }
        it.commit(true).await.unwrap();
        assert_eq!(rows_of(&mut it, "k").await, ["(1,A)", "(5,e)"]);
    });
}

#[test]
fn rows_that_a_trigger_keeps_out_are_missed() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute("CREATE TABLE t (id int PRIMARY KEY, v text);
                    CREATE FUNCTION nobody() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                    CREATE TRIGGER keeps BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION nobody()").await.unwrap();
        let error = put(&mut it, "t", 2, OnDuplicate::Fail, &[&["1", "a"], &["2", "b"]]).await.unwrap_err();
        assert_eq!(error.class, Class::Row);
        assert!(error.message.contains("1 of 2"), "{error}");
        let error = put(&mut it, "t", 2, by_id(None), &[&["1", "a"], &["2", "b"]]).await.unwrap_err();
        assert_eq!(error.class, Class::Row);
        assert!(rows_of(&mut it, "t").await.is_empty());
        assert!(described(&mut it, "t").await.hindrances[0].starts_with("trigger keeps"));
    });
}
