//! Articles that several editors write, with a column of each merge; and what they send.
use crate::fixture::{LONG, Shop, start};
use evenkeel::{
    PublishOptions,
    conflicts::Wanted,
    core::{freshness::Level, json::Value},
    reader::ReadOptions,
    report::{ConflictReport, Receipt},
};
use std::fs;

const SETTINGS: &str = r#"
[causal]
timeout_seconds = 0.2
max_events = 2
[[source]]
name = "editors"
match = "editor.*"
"#;

const CONTRACT: &str = r#"
contract = "article_written"
version = 1
from = { source = "editor.*", type = "Written" }
schema = "article.schema.json"
subject = "/article"
on_quarantine = "skip"
map = [
  { from = "/title", to = "title", type = "text", optional = true },
  { from = "/tag", to = "tag", type = "text", optional = true },
  { from = "/views", to = "views", type = "i64", optional = true },
  { from = "/body", to = "body", type = "object", optional = true },
  { from = "/base", to = "base", type = "text", optional = true },
]
"#;

const MODEL: &str = r#"
model = "articles"
version = 1
key = "article"
[columns]
article = "text"
title = "text"
tags = { type = "text", merge = "or_set" }
views = { type = "i64", merge = "pn_counter" }
body = { type = "json", merge = "version" }
[[on]]
event = "article_written"
key = "/subject"
set = { title = "/data/title", body = "/data/body" }
insert = { tags = "/data/tag" }
add = { views = "/data/views" }
based_on = { body = "/data/base" }
"#;

/// An engine on these articles, applying so many events at a time.
pub(crate) fn articles(batch_events: usize) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("evenkeel.toml", SETTINGS),
        ("contracts/article_written.toml", CONTRACT),
        ("contracts/article.schema.json", r#"{"type": "object", "required": ["article"]}"#),
        ("models/articles.toml", MODEL),
    ] {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    start(folder.path(), |options| options.batch_events = batch_events)
}

/// What an editor sends of article `a-1`: these members, and this clock.
pub(crate) fn written(editor: &str, id: &str, data: &str, vclock: Option<&str>) -> String {
    let clock = vclock.map_or(String::new(), |clock| format!(r#","vclock":"{clock}""#));
    format!(
        r#"{{"specversion":"1.0","source":"editor.{editor}","type":"Written","id":"{id}"{clock},"data":{{"article":"a-1",{data}}}}}"#
    )
}

impl Shop {
    /// Publishes with what the writer had seen; the token of the answer.
    pub(crate) fn publish_seen(&self, event: String, token: Option<&str>) -> (Receipt, String) {
        let token = token.map(|token| self.engine.token(token).unwrap());
        let options = PublishOptions { token, ..PublishOptions::default() };
        let mut receipts = self.engine.publish_blocking(vec![event.into_bytes()], options).unwrap();
        let token = self.engine.token_after(token, &receipts);
        (receipts.remove(0), token)
    }

    /// The article, once everything is applied.
    pub(crate) fn article(&self, column: &str) -> Value {
        self.settle();
        let options = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Eventual) };
        let row = self.engine.get("articles", &["a-1"], options).unwrap().data.unwrap();
        row.get(column).cloned().unwrap_or_default()
    }

    /// The conflicts that were resolved, each decided again.
    pub(crate) fn conflicts(&self) -> Vec<ConflictReport> {
        self.settle();
        self.engine.conflicts(Wanted { limit: 100, replay: true, ..Wanted::default() }).unwrap().conflicts
    }
}
