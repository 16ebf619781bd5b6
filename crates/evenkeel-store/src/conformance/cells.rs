//! Cases: every value of every type comes back from a table exactly as it went in, digits and all.
use super::{
    Failure, Outcome, Stores,
    fixture::{at, checkpoint, exact, new_rows, row, schema},
    same,
};
use crate::{Models, Step, Table};
use evenkeel_core::{
    SmolStr, json,
    row::{Cell, Key, Row},
    schema::{ColumnType, Schema},
};
use std::fmt::Display;

fn text(text: impl Into<SmolStr>) -> Cell {
    Cell::Text(text.into())
}

/// The cell that `text` is in a column that `wrap` makes.
fn parsed<T: std::str::FromStr<Err: Display>>(text: &str, wrap: fn(T) -> Cell) -> Result<Cell, Failure> {
    text.parse().map(wrap).map_err(|error| Failure::new(format!("{text}: {error}")))
}

fn decimal(text: &str) -> Result<Cell, Failure> {
    parsed(text, Cell::Decimal)
}

fn json(text: &str) -> Result<Cell, Failure> {
    json::parse(text.as_bytes()).map(Cell::Json).map_err(Failure::new)
}

/// Writes a row for each of `rows` and reads them back in every way there is, into the live table and into a build.
fn round_trip(models: &dyn Models, schema: &Schema, rows: Vec<Vec<Cell>>) -> Outcome {
    let key = |n: usize| Key::text(format!("{n:05}"));
    let rows: Vec<(Key, Row)> =
        rows.into_iter().enumerate().map(|(n, cells)| (key(n), row(schema, &key(n), cells))).collect();
    let live = models.register(schema)?.generation;
    let build = models.begin_build(schema)?.generation;
    for (table, generation) in [(Table::Live, live), (Table::Build, build)] {
        let step = Step { generation, upserts: new_rows(rows.clone()), checkpoint: checkpoint(1), ..Step::default() };
        models.commit(&schema.model, table, &step)?;
        let keys: Vec<_> = rows.iter().map(|(key, _)| key.clone()).collect();
        let loaded = models.load(&schema.model, table, &keys)?.rows;
        let page = models.rows(&schema.model, table, None, rows.len())?.rows;
        same("rows in the table", page.len(), rows.len())?;
        for ((key, expected), (paged, _)) in rows.iter().zip(&page) {
            let of_key = loaded.iter().find(|stored| stored.key == *key);
            let loaded = of_key.ok_or_else(|| Failure::new(format!("no row was loaded for {key}")))?;
            same("whether it is intact", loaded.is_intact(), true)?;
            for found in [&loaded.row, paged] {
                same("a row", found, expected)?;
                same("the row with its digits", exact(found), exact(expected))?;
            }
        }
    }
    for (key, expected) in &rows {
        let found = models.get(&schema.model, key)?.row;
        same("a row", found.as_ref(), Some(expected))?;
        same("the row with its digits", found.as_ref().map(exact), Some(exact(expected)))?;
    }
    Ok(())
}

/// A row with something in every type, one with nothing in any, and integers and truth values at their ends.
///
/// # Errors
/// What the store did instead.
pub fn every_type_comes_back_exactly(stores: &Stores) -> Outcome {
    let columns = [
        ("id", ColumnType::Text),
        ("t", ColumnType::Text),
        ("i", ColumnType::I64),
        ("d", ColumnType::Decimal),
        ("m", ColumnType::Money { currency: 5 }),
        ("c", ColumnType::Iso4217),
        ("b", ColumnType::Bool),
        ("ts", ColumnType::Timestamp),
        ("day", ColumnType::Date),
        ("j", ColumnType::Json),
        ("raw", ColumnType::Bytes),
    ];
    let full = |int: i64, truth: bool| -> Result<Vec<Cell>, Failure> {
        Ok(vec![
            text("x"),
            Cell::I64(int),
            decimal("1.50")?,
            decimal("12.30")?,
            text("EUR"),
            Cell::Bool(truth),
            Cell::Timestamp(at(int)),
            parsed("2026-01-31", Cell::Date)?,
            json(r#"{"a":[1.10]}"#)?,
            Cell::Bytes(int.to_le_bytes().into()),
        ])
    };
    let ints = [0, 1, -1, i64::MIN, i64::MAX, i64::MIN + 1, (1 << 53) + 1, -(1 << 53) - 1];
    let mut rows = ints.into_iter().map(|int| full(int, int > 0)).collect::<Result<Vec<_>, _>>()?;
    rows.push(vec![Cell::Null; 10]);
    for hole in 0..10 {
        let mut cells = full(7, true)?;
        cells[hole] = Cell::Null;
        if hole == 4 {
            cells[3] = Cell::Null;
        }
        rows.push(cells);
    }
    round_trip(&*stores.models, &schema("typed", 1, 1, &columns), rows)
}

/// Text comes back character for character; it is never taken for a number, a null or SQL, and never normalised.
///
/// # Errors
/// What the store did instead.
pub fn text_comes_back_exactly(stores: &Stores) -> Outcome {
    let texts = [
        "",
        " ",
        "  trailing  ",
        "0",
        "007",
        "1e5",
        "1.0",
        "-0",
        "NaN",
        "NULL",
        "null",
        "true",
        "'",
        "''",
        "\"",
        "`",
        "[x]",
        "'; DROP TABLE x; --",
        "%_\\",
        "?1",
        ":a",
        "$x",
        "\t\r\n",
        "\u{1}\u{7f}\u{85}",
        "e\u{301}",
        "\u{e9}",
        "İıß",
        "\u{feff}bom",
        "\u{200b}\u{202e}",
        "\u{1F980}\u{1F3FD}",
        "\u{ffff}",
        "\u{10ffff}",
        "日本語",
        "مرحبا",
        "9223372036854775808",
        "2026-01-31T09:30:00Z",
        "x'00'",
        "{}",
        "[]",
    ];
    let long = "ä".repeat(100_000);
    let rows = texts.into_iter().chain([long.as_str()]).map(|t| vec![text(t)]).collect();
    round_trip(&*stores.models, &schema("texts", 1, 1, &[("id", ColumnType::Text), ("t", ColumnType::Text)]), rows)
}

/// Decimals keep every digit, up to the longest there are, and their trailing zeros.
///
/// # Errors
/// What the store did instead.
pub fn decimals_keep_their_digits(stores: &Stores) -> Outcome {
    let texts = [
        "0",
        "0.0",
        "0.000",
        "1",
        "1.0",
        "1.10",
        "-1.10",
        "100",
        "0.1",
        "0.30000000000000004",
        "9007199254740993",
        "9007199254740993.01",
        "1234567890123456789012345678",
        "-1234567890123456789012345678",
        "0.1234567890123456789012345678",
        "0.0000000000000000000000000001",
        "12345678901234.56789012345678",
        "79228162514264337593543950335",
        "1.0000000000000000000000000000",
        "10000000000000000000000000000",
    ];
    let rows = texts.into_iter().map(|t| Ok(vec![decimal(t)?])).collect::<Result<_, Failure>>()?;
    round_trip(
        &*stores.models,
        &schema("decimals", 1, 1, &[("id", ColumnType::Text), ("d", ColumnType::Decimal)]),
        rows,
    )
}

/// Money keeps its amount, in the digits of its currency, and its currency, up to the largest that 64 bits of minor
/// units hold.
///
/// # Errors
/// What the store did instead.
pub fn money_keeps_its_currency(stores: &Stores) -> Outcome {
    let amounts = [
        ("5", "JPY"),
        ("0", "JPY"),
        ("-9223372036854775807", "JPY"),
        ("12.30", "EUR"),
        ("-0.01", "EUR"),
        ("0.00", "EUR"),
        ("92233720368547758.07", "EUR"),
        ("1.000", "BHD"),
        ("-9223372036854775.807", "BHD"),
        ("1.2345", "CLF"),
    ];
    let row = |(amount, currency)| Ok(vec![decimal(amount)?, text(currency)]);
    let mut rows: Vec<_> = amounts.into_iter().map(row).collect::<Result<_, Failure>>()?;
    rows.push(vec![Cell::Null, Cell::Null]);
    rows.push(vec![Cell::Null, text("EUR")]);
    let columns =
        [("id", ColumnType::Text), ("total", ColumnType::Money { currency: 2 }), ("currency", ColumnType::Iso4217)];
    round_trip(&*stores.models, &schema("payments", 1, 1, &columns), rows)
}

/// JSON keeps the text of its numbers, and a JSON `null` is not an empty cell.
///
/// # Errors
/// What the store did instead.
pub fn json_keeps_its_numbers(stores: &Stores) -> Outcome {
    let texts = [
        "null",
        "true",
        "0",
        "-9223372036854775808",
        "18446744073709551615",
        "1.10",
        "1E400",
        "0.1e-7",
        "-0.0",
        r#""""#,
        r#""null""#,
        r#""a\u0001\ud83e\udd80\n""#,
        "[]",
        "{}",
        "[null,[{}]]",
        r#"{"":1,"a":{"b":[9007199254740993.010]},"ß":"\\"}"#,
    ];
    let mut rows = texts.into_iter().map(|t| Ok(vec![json(t)?])).collect::<Result<Vec<_>, Failure>>()?;
    rows.push(vec![Cell::Null]);
    round_trip(&*stores.models, &schema("documents", 1, 1, &[("id", ColumnType::Text), ("j", ColumnType::Json)]), rows)
}

/// Instants to the microsecond from the year 1 to the year 9999, and dates.
///
/// # Errors
/// What the store did instead.
pub fn times_come_back_exactly(stores: &Stores) -> Outcome {
    let instants = [i64::MIN, -62_135_596_800_000_000, -1_000_001, -1, 0, 1, 999_999, 1_769_850_600_123_456, i64::MAX];
    let days = ["0000-01-01", "0001-01-01", "1582-10-10", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"];
    let days = days.into_iter().map(|day| parsed(day, Cell::Date)).collect::<Result<Vec<_>, _>>()?;
    let instants = instants.into_iter().map(|micros| vec![Cell::Timestamp(at(micros)), Cell::Null]);
    let rows = instants.chain(days.into_iter().map(|day| vec![Cell::Null, day])).collect();
    let columns = [("id", ColumnType::Text), ("ts", ColumnType::Timestamp), ("day", ColumnType::Date)];
    round_trip(&*stores.models, &schema("times", 1, 1, &columns), rows)
}

/// Models and columns may be named by any word, those that SQL uses too.
///
/// # Errors
/// What the store did instead.
pub fn words_of_sql_are_names_like_any_other(stores: &Stores) -> Outcome {
    let columns = [
        ("select", ColumnType::Text),
        ("from", ColumnType::I64),
        ("rowid", ColumnType::I64),
        ("order", ColumnType::Text),
        ("values", ColumnType::Json),
        ("index", ColumnType::Bool),
    ];
    for model in ["table", "group", "where"] {
        let schema = schema(model, 1, 1, &columns);
        let cells = vec![Cell::I64(7), Cell::I64(-3), text("by"), json("[1]")?, Cell::Bool(true)];
        round_trip(&*stores.models, &schema, vec![cells.clone(), cells])?;
        let found = stores.models.get(&schema.model, &Key::text("00001"))?.row;
        same("the key of a row", found.map(|row| Key::of(&schema, &row)), Some(Key::text("00001")))?;
    }
    Ok(())
}
