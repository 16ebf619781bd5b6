//! A node's log without an engine over it, for what must not let a changed project begin to work.
//!
//! Everything else goes by [`super::Access`].
use super::{super::Context, address, neither, serves};
use crate::{
    client::{Client, encode},
    node::{self, NodeError},
    output::{Document, Failure},
};
use evenkeel::{
    contract::{diagnostic::Files, gate::Gate, project::SETTINGS, settings::Settings},
    impact,
    store::sqlite::SqliteLog,
};
use serde::Serialize;
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

/// A log within reach.
pub(crate) enum LogAccess {
    /// Through its server.
    Server(Client),
    /// Its file.
    Direct(Arc<SqliteLog>),
}

/// What is asked of a server about changed contracts.
#[derive(Serialize)]
struct Question<'f> {
    files: BTreeMap<&'f str, &'f str>,
    cases: usize,
}

impl LogAccess {
    /// Reaches the node of a project with these settings.
    ///
    /// # Errors
    /// As for [`super::Access::open`].
    pub(crate) fn open(context: &Context, settings: &Settings) -> Result<Self, Failure> {
        if let Some(url) = &context.url {
            return Client::new(url).map(Self::Server);
        }
        let client = Client::new(&address(settings.node.listen))?;
        if serves(context, &client) {
            return Ok(Self::Server(client));
        }
        match node::store(settings, &context.dir, None) {
            Ok((store, _)) => Ok(Self::Direct(store.log)),
            Err(error) => Err(neither(&client, NodeError::from(error).into())),
        }
    }

    /// What a changed contract would do. `files` are the settings and contracts that `gate` is made of.
    pub(crate) fn impact(&self, files: &Files, gate: &Gate, contract: &str, cases: usize) -> Result<Document, Failure> {
        match self {
            Self::Server(client) => {
                let meant = files.iter().filter(|(path, _)| *path == SETTINGS || path.starts_with("contracts/"));
                // What is no text was refused when it was compiled, if anything needs it.
                let files = meant.filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?))).collect();
                client.post(&format!("/v1/contracts/{}/impact", encode(contract)), &Question { files, cases })
            }
            Self::Direct(log) => {
                let go_on = || ControlFlow::Continue(());
                Document::of(&impact::measure(log.as_ref(), gate, contract, cases, &go_on)?)
            }
        }
    }
}
