//! The HTTP interface as a client sees it: a server in this process over a store in a temporary folder, spoken to in
//! plain bytes, so that what no well-behaved client sends is sent too.
#[cfg(test)]
mod http {
    mod bodies;
    mod causal;
    mod client;
    mod conflicts;
    mod connections;
    mod consumers;
    mod events;
    mod levels;
    mod operating;
    mod project;
    mod quarantine;
    mod query;
    mod reconciling;
    mod rows;
    mod snapshots;
    mod surface;
    mod tokens;
}
