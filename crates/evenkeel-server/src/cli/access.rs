//! How a command reaches a node: through its server, or over its store directly. The documents are the same.
//!
//! Not here: what commands make of them, and publishing ([`super::publish`]).
mod filter;
mod log;

pub(crate) use filter::{Entries, Filter, Rest};
pub(crate) use log::LogAccess;

use super::Context;
pub(crate) use super::read_args::ReadArgs;
use crate::{
    client::{Client, Probe, encode, query_string},
    http::reconciliations,
    node::{self, Node},
    output::{Document, Failure, at, text},
};
use evenkeel::{
    Which,
    core::{
        json::{Patch, Value},
        quarantine::Decision,
        reconciliation::Method,
    },
    project,
    quarantine::{Word, bulk},
    reader::{QueryRequest, RowsRequest},
    report::{ConsumerReport, DriftReport, QuarantineReport},
    store::EntryFilter,
};
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How long a command that moved something in a store of its own waits for the models to follow.
pub(crate) const FOLLOW: Duration = Duration::from_secs(60);

/// How many entries are decided about in one request.
const BULK: usize = 500;

/// Whether an engine of our own projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projectors {
    /// The models stay as they are, and reports say so.
    Stopped,
    /// The models follow the log.
    Running,
}

/// A node within reach.
pub(crate) enum Access {
    /// Through its server.
    Server(Client),
    /// Over its store.
    Direct(Box<Direct>),
}

/// An engine of our own over the project's store, stopped when it is dropped.
pub(crate) struct Direct {
    /// The project and its engine.
    pub(crate) node: Node,
    data: PathBuf,
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.node.engine.stop();
    }
}

/// A person's word on an entry of the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Redrive,
    Discard,
}

/// An edit in the shape it has over HTTP.
#[derive(Serialize)]
struct Edit<'a> {
    author: &'a str,
    note: &'a str,
    edit: &'a Patch,
}

/// A decision about many entries in the shape it has over HTTP.
#[derive(Serialize)]
struct Bulk<'a> {
    filter: &'a Filter,
    author: &'a str,
    note: &'a str,
    dry_run: bool,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
}

/// A list in the shape it has over HTTP.
#[derive(Serialize)]
struct Named<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reconciliations: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<T>,
}

/// The drift in the shape it has over HTTP.
#[derive(Serialize)]
struct Drift {
    models: Vec<DriftReport>,
    consumers: Vec<ConsumerReport>,
}

/// A page of the quarantine in the shape it has over HTTP.
#[derive(Serialize)]
struct Page {
    entries: Vec<QuarantineReport>,
    next: Option<String>,
}

impl<T> Named<T> {
    const NONE: Self = Self { models: None, reconciliations: None, snapshots: None };
}

impl Access {
    /// Reaches the node a command is about.
    ///
    /// # Errors
    /// - code 2 where the project cannot be used, unless a server was named;
    /// - code 3 where the named server does not answer, or nobody serves and the store cannot be opened.
    pub(crate) fn open(context: &Context, projectors: Projectors) -> Result<Self, Failure> {
        if let Some(url) = &context.url {
            return Client::new(url).map(Self::Server);
        }
        let (project, _) = project::load(&context.dir)?;
        let client = Client::new(&address(project.settings.node.listen))?;
        if serves(context, &client) {
            return Ok(Self::Server(client));
        }
        // A command's own engine speaks only to those who ask for it.
        if ["EVENKEEL_LOG", "RUST_LOG"].into_iter().any(|name| std::env::var_os(name).is_some()) {
            crate::telemetry::init().map_err(|error| Failure::usage(error.to_string()))?;
        }
        let data = node::data_dir(&project.settings, &context.dir, None);
        let node = node::start(project, &context.dir, None, |options| {
            options.project = projectors == Projectors::Running;
            options.auto_reconcile = false;
        });
        let node = node.map_err(|error| neither(&client, error.into()))?;
        Ok(Self::Direct(Box::new(Direct { node, data })))
    }

    /// The server's address or the data folder.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Server(client) => client.url().to_owned(),
            Self::Direct(direct) => direct.data.display().to_string(),
        }
    }

    /// Whether a server answers, and so somebody whose task it is to project.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Stops an engine of our own, and with it what it is doing. A server goes on.
    pub(crate) fn stop(&self) {
        if let Self::Direct(direct) = self {
            direct.node.engine.stop();
        }
    }

    /// The models and their columns.
    pub(crate) fn models(&self) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => client.get("/v1/models", &[]),
            Self::Direct(direct) => Document::of(&Named { models: Some(direct.node.engine.models()?), ..Named::NONE }),
        }
    }

    /// The names of the models.
    pub(crate) fn model_names(&self) -> Result<Vec<String>, Failure> {
        let models = self.models()?;
        Ok(models.items("models").iter().map(|model| text(model, &["model"]).to_owned()).collect())
    }

    /// The declaration of one model.
    pub(crate) fn model(&self, name: &str) -> Result<Value, Failure> {
        let models = self.models()?;
        let found = models.items("models").iter().find(|model| text(model, &["model"]) == name).cloned();
        found.ok_or_else(|| {
            let names: Vec<_> = models.items("models").iter().map(|model| text(model, &["model"])).collect();
            Failure::usage(format!("no model is named {name:?}")).help(match names.as_slice() {
                [] => "this project has no models".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            })
        })
    }

    /// One row; `data` is null where there is none.
    pub(crate) fn get(&self, model: &str, key: &[String], read: &ReadArgs) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let key: String = key.iter().map(|part| format!("/{}", encode(part))).collect();
                let path = format!("/v1/models/{}/rows{key}", encode(model));
                let (answer, found) = client.get_unless("no-row", &path, &read.query())?;
                if found {
                    return Ok(answer);
                }
                Document::parse(format!("{{\"data\":null,\"consistency\":{}}}", answer.at(&["consistency"])))
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.get(model, key, read.options(direct)?)?),
        }
    }

    /// A page of rows.
    pub(crate) fn rows(&self, model: &str, request: &RowsRequest, read: &ReadArgs) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let mut query = read.query();
                let conditions: Vec<_> = request
                    .query
                    .conditions
                    .iter()
                    .map(|(name, text)| (format!("where.{name}"), text.clone()))
                    .collect();
                query.extend(conditions.iter().map(|(name, text)| (name.as_str(), text.clone())));
                query.extend(request.query.order.clone().map(|order| ("order", order)));
                query.extend(request.select.clone().map(|columns| ("select", columns)));
                query.extend(request.count.then(|| ("count", "exact".to_owned())));
                query.extend((request.limit > 0).then(|| ("limit", request.limit.to_string())));
                query.extend(request.cursor.clone().map(|cursor| ("cursor", cursor)));
                client.get(&format!("/v1/models/{}/rows", encode(model)), &query)
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.rows(model, request, read.options(direct)?)?),
        }
    }

    /// The rows of a statement.
    pub(crate) fn query(&self, request: &QueryRequest, read: &ReadArgs) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let mut body = serde_json::json!({ "sql": request.sql });
                if request.limit > 0 {
                    body["limit"] = request.limit.into();
                }
                client.post(&format!("/v1/query{}", query_string(&read.query())), &body)
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.query(request, read.options(direct)?)?),
        }
    }

    /// The drift of all models, or of one.
    pub(crate) fn drift(&self, model: Option<&str>) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let query: Vec<_> = model.map(|model| ("model", model.to_owned())).into_iter().collect();
                client.get("/v1/drift", &query)
            }
            Self::Direct(direct) => {
                let engine = &direct.node.engine;
                let consumers = if model.is_some() { Vec::new() } else { engine.consumers()? };
                Document::of(&Drift { models: engine.drift(model)?, consumers })
            }
        }
    }

    /// Verifies a model.
    pub(crate) fn verify(&self, model: &str, full: bool) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                client.post(&format!("/v1/models/{}/verify", encode(model)), &serde_json::json!({ "full": full }))
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.verify(model, full)?),
        }
    }

    /// Reconciles a model, by the method its drift calls for where none is named.
    pub(crate) fn reconcile(&self, model: &str, method: Option<Method>, from_start: bool) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let mut body = serde_json::json!({ "method": method.map_or("auto", Method::as_str) });
                if from_start {
                    body["from"] = "start".into();
                }
                client.post(&format!("/v1/models/{}/reconcile", encode(model)), &body)
            }
            Self::Direct(direct) if from_start => Document::of(&direct.node.engine.rebuild_from_start(model)?),
            Self::Direct(direct) => Document::of(&direct.node.engine.reconcile(model, method)?),
        }
    }

    /// Takes a snapshot of a model.
    pub(crate) fn take_snapshot(&self, model: &str) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                client.post(&format!("/v1/models/{}/snapshots", encode(model)), &serde_json::json!({}))
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.take_snapshot(model)?),
        }
    }

    /// The snapshots of a model.
    pub(crate) fn snapshots(&self, model: &str) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => client.get(&format!("/v1/models/{}/snapshots", encode(model)), &[]),
            Self::Direct(direct) => {
                let found = direct.node.engine.snapshots(Some(model))?;
                Document::of(&Named { snapshots: Some(found), ..Named::NONE })
            }
        }
    }

    /// Puts the table from before a model's last rebuild back; the model as it is then.
    pub(crate) fn rollback(&self, model: &str) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                client.post(&format!("/v1/models/{}/rollback", encode(model)), &serde_json::json!({}))
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.rollback(model)?),
        }
    }

    /// One reconciliation, with the rows that it found wrong.
    pub(crate) fn reconciliation(&self, id: u64) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => client.get(&format!("/v1/reconciliations/{id}"), &[]),
            Self::Direct(direct) => match reconciliations::find(&direct.node.engine, id)? {
                Some(found) => Document::of(&found),
                None => Err(Failure::usage(format!("no reconciliation has the number {id}"))),
            },
        }
    }

    /// The latest reconciliations.
    pub(crate) fn reconciliations(&self, model: Option<&str>, limit: usize) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(model.map(|model| ("model", model.to_owned())));
                client.get("/v1/reconciliations", &query)
            }
            Self::Direct(direct) => {
                let found = direct.node.engine.reconciliations(model, limit)?;
                Document::of(&Named { reconciliations: Some(found), ..Named::NONE })
            }
        }
    }

    /// Where each field of an event came from.
    pub(crate) fn lineage(&self, event: &str) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => client.get(&format!("/v1/events/{}/lineage", encode(event)), &[]),
            Self::Direct(direct) => Document::of(&direct.node.engine.lineage(event)?),
        }
    }

    /// What became of everything that was taken.
    pub(crate) fn accounting(&self, recount: bool) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let query: Vec<_> = recount.then(|| ("recount", "true".to_owned())).into_iter().collect();
                client.get("/v1/accounting", &query)
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.accounting(recount)?),
        }
    }

    /// Entries of the quarantine.
    pub(crate) fn entries(&self, wanted: &Entries) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let mut query = vec![("limit", wanted.limit.to_string())];
                query.extend(wanted.filter.query());
                query.extend(wanted.state.map(|state| ("state", state.to_string())));
                query.extend(wanted.after.clone().map(|after| ("after", after)));
                query.extend(wanted.whole.then(|| ("whole", "true".to_owned())));
                client.get("/v1/quarantine", &query)
            }
            Self::Direct(direct) => {
                let filter = EntryFilter { state: wanted.state, ..wanted.filter.entries(wanted.limit) };
                let which = Which { model: wanted.filter.model(), whole: wanted.whole };
                let entries = direct.node.engine.quarantine_page(&filter, wanted.after.as_deref(), which)?;
                let full = entries.last().filter(|_| entries.len() == wanted.limit);
                let next = full.map(|last| last.id.clone());
                Document::of(&Page { entries, next })
            }
        }
    }

    /// One entry of the quarantine, whole.
    pub(crate) fn entry(&self, id: &str) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => client.get(&format!("/v1/quarantine/{}", encode(id)), &[]),
            Self::Direct(direct) => Document::of(&direct.node.engine.quarantine_entry(id)?),
        }
    }

    /// Decides about an entry of the quarantine.
    pub(crate) fn decide(&self, id: &str, verb: Verb, word: &Word) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let verb = match verb {
                    Verb::Redrive => "redrive",
                    Verb::Discard => "discard",
                };
                let version = word.version.map(|version| version.0);
                client.post_if(&format!("/v1/quarantine/{}/{verb}", encode(id)), &word.decision, version)
            }
            Self::Direct(direct) => {
                let engine = &direct.node.engine;
                Document::of(&match verb {
                    Verb::Redrive => engine.redrive(id, word.clone())?,
                    Verb::Discard => engine.discard(id, word.clone())?,
                })
            }
        }
    }

    /// Decides about the entries of the gate, or of one model, that a filter names, or tries to: one page of them.
    pub(crate) fn decide_all(
        &self,
        filter: &Filter,
        verb: Verb,
        decision: &Decision,
        dry_run: bool,
        after: Option<&str>,
    ) -> Result<Document, Failure> {
        let limit = BULK;
        match self {
            Self::Server(client) => {
                let verb = match verb {
                    Verb::Redrive => "redrive",
                    Verb::Discard => "discard",
                };
                let Decision { author, note } = decision;
                let word = Bulk { filter, author, note, dry_run, limit, after };
                client.post(&format!("/v1/quarantine/{verb}"), &word)
            }
            Self::Direct(direct) => {
                let verb = match verb {
                    Verb::Redrive => bulk::Verb::Redrive,
                    Verb::Discard => bulk::Verb::Discard,
                };
                let (engine, decision) = (&direct.node.engine, (!dry_run).then_some(decision));
                if let Some(model) = filter.model() {
                    let filter = filter.entries(limit);
                    return Document::of(&engine.decide_all_parked(model, &filter, after, verb, decision)?);
                }
                let after = after.and_then(|after| after.parse().ok());
                let filter = EntryFilter { after, ..filter.entries(limit) };
                Document::of(&engine.decide_all(&filter, verb, decision)?)
            }
        }
    }

    /// Changes the event of an entry of the quarantine, and sends it through where that is asked for too.
    pub(crate) fn edit(&self, id: &str, patch: &Patch, redrive: bool, word: &Word) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let path = format!("/v1/quarantine/{}/{}", encode(id), if redrive { "redrive" } else { "edit" });
                let Decision { author, note } = &word.decision;
                client.post_if(&path, &Edit { author, note, edit: patch }, word.version.map(|version| version.0))
            }
            Self::Direct(direct) if redrive => {
                Document::of(&direct.node.engine.redrive_edited(id, patch, word.clone())?)
            }
            Self::Direct(direct) => Document::of(&direct.node.engine.edit(id, patch, word.clone())?),
        }
    }

    /// Where the engine is ours: waits until its models hold what the log holds, and says where they do not.
    pub(crate) fn follow(&self, context: &Context) -> Result<(), Failure> {
        let Self::Direct(direct) = self else { return Ok(()) };
        if !direct.node.engine.wait_until_current(FOLLOW)? {
            let behind = self.drift(None)?;
            let lags = |model: &&Value| at(model, &["lag_count"]).as_i64() != Some(0);
            for model in behind.items("models").iter().filter(lags) {
                let name = text(model, &["model"]);
                context.out.note(format_args!("note: {name} has not caught up: {}", text(model, &["reason"])));
            }
            context.out.note("note: what is missing is applied when the node runs next");
        }
        Ok(())
    }
}

/// Whether a server is there; who else is, is said.
fn serves(context: &Context, client: &Client) -> bool {
    let probe = client.probe();
    if probe == Probe::Stranger {
        let url = client.url();
        context.out.note(format_args!("note: what listens at {url} is not Evenkeel; opening the store directly"));
    }
    probe == Probe::Server
}

/// Neither server nor store.
fn neither(client: &Client, failure: Failure) -> Failure {
    let what = format!("nothing serves at {}, and the store cannot be opened: {}", client.url(), failure.what);
    Failure { what, ..failure }
}

/// The URL under which a server that listens so is reached from this machine.
pub(crate) fn address(listen: SocketAddr) -> String {
    let mut reached = listen;
    if listen.ip().is_unspecified() {
        reached.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reached}")
}
