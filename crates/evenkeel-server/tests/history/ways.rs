//! The ways in which a row can be read: by its key, by a condition, among all rows in an order, in SQL, and through a view over
//! both models. And what those that show all rows of a model have shown, to be compared with the log when all is over.
use super::{
    super::common::{Answer, Client},
    project::MODELS,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How a row is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Key,
    Condition,
    Order,
    Statement,
    View,
}

pub(crate) const WAYS: [Way; 5] = [Way::Key, Way::Condition, Way::Order, Way::Statement, Way::View];

/// All rows of a model as one answer showed them, and what that was as of.
#[derive(Debug)]
pub(crate) struct Whole {
    model: &'static str,
    way: Way,
    position: u64,
    rows: BTreeMap<String, Value>,
}

/// What an answer showed.
pub(crate) struct Shown {
    pub(crate) consistency: Value,
    /// What the row is as of.
    pub(crate) position: Value,
    /// The row that was asked for; null where there is none.
    pub(crate) row: Value,
    pub(crate) wholes: Vec<Whole>,
}

impl Way {
    /// Asks for a row of a model, with the parameters of a read.
    pub(crate) fn ask(self, client: &Client, model: &str, key: &str, parameters: &str) -> Result<Answer, String> {
        let rows = format!("/v1/models/{model}/rows");
        let sql = match self {
            Self::Key => return client.try_get(&format!("{rows}/{key}?{parameters}")),
            Self::Condition => {
                return client.try_get(&format!("{rows}?where.key=eq.{key}&count=exact&{parameters}"));
            }
            Self::Order => return client.try_get(&format!("{rows}?order=sum.desc&count=exact&{parameters}")),
            Self::Statement => format!("SELECT key, count, last, sum FROM {model} WHERE key = '{key}'"),
            Self::View => "SELECT * FROM noted_anywhere ORDER BY key DESC".to_owned(),
        };
        let body = json!({"sql": sql}).to_string();
        client.try_post(&format!("/v1/query?{parameters}"), "application/json", body.as_bytes())
    }

    /// What an answer showed of it.
    pub(crate) fn shown(self, answer: &Answer, model: &'static str, key: &str) -> Shown {
        let body = answer.json();
        let is_none = answer.status == 404 && body["type"].as_str().is_some_and(|name| name.ends_with("/no-row"));
        assert!(answer.status == 200 || (is_none && self == Self::Key), "{self:?}: {answer:?}");
        let consistency = body["consistency"].clone();
        let mut position = consistency["position"].clone();
        let rows = body["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let by_key = |rows: &mut dyn Iterator<Item = &Value>| -> BTreeMap<String, Value> {
            rows.map(|row| (row["key"].as_str().unwrap().to_owned(), told(row))).collect()
        };
        let (row, wholes) = match self {
            Self::Key if is_none => (Value::Null, Vec::new()),
            Self::Key => (told(&body["data"]), Vec::new()),
            Self::Condition | Self::Statement => {
                assert!(rows.len() <= 1 && rows.iter().all(|row| row["key"] == key), "{body}");
                assert!(self == Self::Statement || body["total"] == rows.len(), "{body}");
                (rows.first().map_or(Value::Null, told), Vec::new())
            }
            Self::Order => {
                assert!(body["total"] == rows.len() && body["next"].is_null(), "{body}");
                assert!(rows.is_sorted_by(|a, b| a["sum"].as_u64() >= b["sum"].as_u64()), "{body}");
                let rows = by_key(&mut rows.iter());
                let row = rows.get(key).cloned().unwrap_or_default();
                (row, vec![Whole { model, way: self, position: position.as_u64().unwrap(), rows }])
            }
            Self::View => {
                assert!(rows.is_sorted_by(|a, b| a["key"].as_str() >= b["key"].as_str()), "{body}");
                let wholes = MODELS.map(|model| {
                    let of = body["models"].as_array().unwrap().iter().find(|of| of["model"] == model).unwrap();
                    let rows = by_key(&mut rows.iter().filter(|row| row["model"] == model));
                    Whole { model, way: self, position: of["position"].as_u64().unwrap(), rows }
                });
                let of_model = wholes.iter().find(|whole| whole.model == model).unwrap();
                position = json!(of_model.position);
                (of_model.rows.get(key).cloned().unwrap_or_default(), Vec::from(wholes))
            }
        };
        Shown { consistency, position, row, wholes }
    }
}

/// What a row tells of its events.
fn told(row: &Value) -> Value {
    json!({"count": row["count"], "last": row["last"], "sum": row["sum"]})
}

/// The first answer whose rows are not what the log makes of them up to where it was said to be as of.
pub(crate) fn first_wrong(mut wholes: Vec<Whole>, log: &[Value]) -> Option<String> {
    wholes.sort_by_key(|whole| whole.position);
    let (mut events, mut rows) = (log.iter().peekable(), BTreeMap::<String, (u64, u64, String)>::new());
    for whole in wholes {
        while let Some(event) = events.next_if(|event| event["position"].as_u64() <= Some(whole.position)) {
            let (count, sum, last) = rows.entry(event["subject"].as_str().unwrap().to_owned()).or_default();
            *count += 1;
            *sum += event["position"].as_u64().unwrap();
            last.replace_range(.., event["id"].as_str().unwrap());
        }
        let row = |(key, (count, sum, last)): (&String, &(u64, u64, String))| {
            (key.clone(), json!({"count": count, "last": last, "sum": sum}))
        };
        let expected: BTreeMap<_, _> = rows.iter().map(row).collect();
        if whole.rows != expected {
            let Whole { model, way, position, rows } = whole;
            return Some(format!("{model} at {position}, {way:?}: {rows:?}; the log has {expected:?}"));
        }
    }
    None
}
