//! Structured logs on stderr: JSON, one object a line, or for people where stderr is a terminal.
//!
//! What is logged is the business of whoever logs it; metrics are in the HTTP side.
use std::io::{IsTerminal, stderr};
use tracing_subscriber::{EnvFilter, fmt};

/// The variables that say what is logged, the first one that is set.
const VARIABLES: [&str; 2] = ["EVENKEEL_LOG", "RUST_LOG"];

/// What is logged where nobody says otherwise.
const DEFAULT: &str = "info";

/// A variable that does not say what is to be logged.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value}: {message}; expected a level such as info, or targets with levels such as evenkeel=debug")]
pub struct BadFilter {
    variable: &'static str,
    value: String,
    message: String,
}

/// Starts logging for the whole process. Without effect where it was started before.
///
/// # Errors
/// Where `EVENKEEL_LOG` or `RUST_LOG` cannot be understood; nothing is logged then.
pub fn init() -> Result<(), BadFilter> {
    let filter = filter(|name| std::env::var(name).ok())?;
    let to_stderr = fmt().with_env_filter(filter).with_writer(stderr);
    let started: Result<(), Box<dyn std::error::Error + Send + Sync>> = if stderr().is_terminal() {
        to_stderr.with_target(false).try_init()
    } else {
        to_stderr.json().flatten_event(true).try_init()
    };
    // Somebody else logs already, which is as well.
    drop(started);
    Ok(())
}

fn filter(variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, BadFilter> {
    let set = VARIABLES.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
    let Some((variable, value)) = set else { return Ok(EnvFilter::new(DEFAULT)) };
    EnvFilter::try_new(&value).map_err(|error| BadFilter { variable, value, message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let chosen = |ours: Option<&str>, rust: Option<&str>| {
            let value = |name: &str| if name == "EVENKEEL_LOG" { ours } else { rust }.map(str::to_owned);
            filter(value).map(|filter| filter.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(None, None).as_deref(), Ok("info"));
        assert_eq!(chosen(None, Some("warn")).as_deref(), Ok("warn"));
        assert_eq!(chosen(Some(""), Some("warn")).as_deref(), Ok("warn"));
        assert_eq!(chosen(Some("debug"), Some("warn")).as_deref(), Ok("debug"));
        let error = chosen(Some("evenkeel=loud"), None).unwrap_err();
        assert!(error.starts_with("EVENKEEL_LOG=evenkeel=loud: "), "{error}");
    }
}
