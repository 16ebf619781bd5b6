//! The server of Evenkeel as a library: what the binary `evenkeel` is made of, so that tests can run it in their own
//! process. Not meant to be built upon: who embeds Evenkeel uses the crate `evenkeel`.
mod client;
mod demo;
mod files;
mod http;
mod node;
mod output;
mod views;

pub mod cli;
pub mod serve;
pub mod telemetry;
