//! How many connections the process can have: each is an open file, and how many of these it may have is limited.
//!
//! Serving them is [`crate::http`]'s.

/// Files that are open besides connections: the stores', with those of their readers, and snapshots.
const OTHERS: u64 = 256;

/// The fewest connections that are tried, whatever the limit is.
const FEWEST: u64 = 16;

/// As many connections as are wanted, or as the process may have. Its own limit is raised to what is needed, as far as the
/// system lets it.
pub(crate) fn connections(wanted: u64) -> u32 {
    let needed = wanted.saturating_add(OTHERS);
    let may_be_open = may_open(needed);
    let possible =
        if may_be_open < needed { may_be_open.saturating_sub(OTHERS).max(FEWEST).min(wanted) } else { wanted };
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            files = may_be_open,
            "fewer connections than [limits] connections are served: the process may not have more files open (ulimit -n)"
        );
    }
    u32::try_from(possible).unwrap_or(u32::MAX)
}

/// How many files may be open, after that was raised to `needed` where it was less.
#[cfg(unix)]
fn may_open(needed: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(now) = current.filter(|now| *now < needed) else { return u64::MAX };
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => now,
    }
}

#[cfg(not(unix))]
fn may_open(_: u64) -> u64 {
    u64::MAX
}
