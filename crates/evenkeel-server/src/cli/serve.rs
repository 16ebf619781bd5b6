//! `evenkeel serve`: the node, until it is told to stop.
//!
//! The life of the process is in [`crate::serve`].
use super::{Answer, Context, Done};
use crate::{
    output::Failure,
    serve::{self, ServeError, ServeOptions},
};
use std::{net::SocketAddr, path::PathBuf};

/// `evenkeel serve`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen, in place of node.listen; port 0 is any free one
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    listen: Option<SocketAddr>,
    /// The folder of the store, in place of node.data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen beyond loopback although nobody is asked who they are
    #[arg(long)]
    insecure: bool,
}

/// An address, with `localhost` for 127.0.0.1 as in evenkeel.toml.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let digits = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    digits.as_deref().unwrap_or(text).parse().map_err(|_| "expected an address such as 127.0.0.1:7400".to_owned())
}

/// Runs the command.
pub(super) fn run(context: &Context, args: Args) -> Done {
    if context.url.is_some() {
        return Err(Failure::usage("serve takes no --url: it is the server").help("--listen says where it listens"));
    }
    let Args { listen, data, insecure } = args;
    match serve::run(ServeOptions { dir: context.dir.clone(), listen, data, insecure }) {
        Ok(()) => Ok(Answer::Yes),
        Err(ServeError::Project(error)) => Err(error.into()),
        Err(error) => Err(Failure { code: error.exit_code(), what: error.to_string(), help: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_an_address() {
        assert_eq!(listen("localhost:1"), Ok(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert_eq!(listen("[::1]:7400").map(|address| address.port()), Ok(7400));
        assert!(listen("7400").is_err() && listen("localhost").is_err());
    }
}
