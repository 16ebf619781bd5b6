//! A project whose rows tell which events are in them: how many, which was the last, and the sum of their positions.
use std::{fs, path::Path};

/// Two models of the same rows, so that one may stand still while the other goes on.
pub(crate) const MODELS: [&str; 2] = ["near", "far"];

const CONTRACT: &str = r#"
contract = "noted"
version = 1
from = { source = "clients", type = "Noted" }
subject = "/key"
map = [{ from = "/key", to = "key", type = "text" }]
"#;

const MODEL: &str = r#"
version = 1
key = "key"
[columns]
key = "text"
count = "i64"
sum = "i64"
last = "text"
[[on]]
event = "noted"
key = "/subject"
add = { count = { value = 1 }, sum = { event = "position" } }
set = { last = { event = "id" } }
"#;

/// All rows of both, under a name of its own.
const VIEW: &str = "SELECT 'near' AS model, key, count, sum, last FROM near
UNION ALL SELECT 'far', key, count, sum, last FROM far";

/// Writes it.
pub(crate) fn write(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    write("evenkeel.toml", "[[source]]\nname = \"clients\"\n");
    write("contracts/noted.toml", CONTRACT);
    write("views/noted_anywhere.sql", VIEW);
    for model in MODELS {
        write(&format!("models/{model}.toml"), &format!("model = \"{model}\"\n{MODEL}"));
    }
}

/// The event of this id.
pub(crate) fn event(id: &str, key: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"clients","type":"Noted","data":{{"key":"{key}"}}}}"#)
}
