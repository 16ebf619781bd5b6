//! What strace saw a process do, in the order it happened, and whether every acknowledgement came after its sync.
//!
//! A call that takes a while is written in two parts, where it began and where it ended; between them other threads'
//! calls may stand. Here each call is one step where it began and one where it ended.

/// What the trace tells of the log's write-ahead file and of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes are going to the write-ahead file.
    WriteBegins,
    /// They are with the operating system.
    WriteEnds,
    /// The file is being synced.
    SyncBegins,
    /// What was written before the sync began is on disk.
    SyncEnds,
    /// An answer "202 Accepted" is leaving.
    Acknowledged,
}

/// The file whose bytes must be on disk.
const FILE: &str = "/log.db-wal>";

/// How an answer that acknowledges begins.
const ACCEPTED: &str = "\"HTTP/1.1 202";

/// The steps of a trace that `strace -f -y` wrote.
pub(crate) fn steps(trace: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    // What each thread is in the middle of.
    let mut pending: Vec<(&str, Step)> = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        // Traces with times have one before the call.
        let call = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || ".:".contains(c)).trim_start();
        if call.starts_with("<...") {
            if let Some(index) = pending.iter().position(|(other, _)| *other == thread) {
                let (_, end) = pending.swap_remove(index);
                steps.extend(succeeded(call).then_some(end));
            }
            continue;
        }
        let Some((begin, end)) = step(call) else { continue };
        steps.push(begin);
        match end {
            None => {}
            Some(end) if call.ends_with("<unfinished ...>") => pending.push((thread, end)),
            Some(end) => steps.extend(succeeded(call).then_some(end)),
        }
    }
    steps
}

/// What a call begins and, where that matters, ends with.
fn step(call: &str) -> Option<(Step, Option<Step>)> {
    let (name, arguments) = call.split_once('(')?;
    // The file is the first argument; its name could stand in what is written, too.
    let of_file = arguments.split(',').next().is_some_and(|first| first.contains(FILE));
    match name {
        "fdatasync" | "fsync" => of_file.then_some((Step::SyncBegins, Some(Step::SyncEnds))),
        "pwrite64" | "pwritev" | "write" if of_file => Some((Step::WriteBegins, Some(Step::WriteEnds))),
        "write" | "writev" | "sendto" | "sendmsg" => call.contains(ACCEPTED).then_some((Step::Acknowledged, None)),
        _ => None,
    }
}

/// Whether the call did what it was to do.
fn succeeded(call: &str) -> bool {
    call.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with(['-', '?']))
}

/// Which acknowledgements, counted from 0, came too early: nothing was written since the one before, or what was
/// written was not synced. For clients that wait for each answer.
pub(crate) fn too_early(steps: &[Step]) -> Vec<usize> {
    let (mut early, mut acknowledged) = (Vec::new(), 0);
    // Whether something was written, and whether a sync that began after the last of it has ended.
    let (mut written, mut syncing, mut synced) = (false, false, false);
    for step in steps {
        match step {
            Step::WriteBegins => (written, syncing, synced) = (false, false, false),
            Step::WriteEnds => written = true,
            Step::SyncBegins => syncing = written,
            Step::SyncEnds => synced |= syncing,
            Step::Acknowledged => {
                early.extend((!synced).then_some(acknowledged));
                acknowledged += 1;
                (written, syncing, synced) = (false, false, false);
            }
        }
    }
    early
}
