//! Reads settings key by key, from the file and the environment.
//!
//! The settings and their defaults are in [`super`].
use super::{
    CausalSettings, DriftSettings, LimitSettings, NodeSettings, RawSettings, ReadSettings, ReconcileSettings,
    SecuritySettings, Settings, SnapshotSettings, StoreSettings, Synchronous,
};
use crate::{
    diagnostic::{Diagnostic, Place},
    reader::{At, Data, FromNode, Node, Reader, Sink, Table},
    source::{Rate, Source, SourcePattern},
};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use evenkeel_core::freshness::FreshnessLimits;

/// The settings with the place where each source's pattern stands.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) settings: Settings,
    pub(crate) source_places: Vec<Place>,
    /// Whether every source could be read.
    pub(crate) sources_known: bool,
}

/// Reads `evenkeel.toml` as `file` holds it, overridden by `EVENKEEL_SECTION__KEY` of `env`.
pub(crate) fn read(mut file: Node, env: &[(String, String)], sink: &Sink) -> Declared {
    if let Data::Table(root) = &mut file.value {
        override_with(root, env, sink);
    }
    let mut settings = Settings::default();
    let Some(mut root) = Reader::of(&file, "a table", sink) else { return Declared::default() };
    section(&mut root, "node", |reader| node(reader, &mut settings.node));
    section(&mut root, "store", |reader| store(reader, &mut settings.store));
    section(&mut root, "drift", |reader| drift(reader, &mut settings.drift));
    section(&mut root, "reconcile", |reader| reconcile(reader, &mut settings.reconcile));
    section(&mut root, "snapshots", |reader| snapshots(reader, &mut settings.snapshots));
    section(&mut root, "raw", |reader| raw(reader, &mut settings.raw));
    section(&mut root, "causal", |reader| causal(reader, &mut settings.causal));
    section(&mut root, "read", |reader| read_section(reader, &mut settings.read));
    section(&mut root, "security", |reader| security(reader, &mut settings.security));
    section(&mut root, "limits", |reader| limits(reader, &mut settings.limits));
    let sources = root.tables("source", "tables headed [[source]]");
    let declared = sources.len();
    let mut source_places = Vec::new();
    for mut reader in sources {
        if let Some((source, place)) = source(&mut reader) {
            settings.sources.push(source);
            source_places.push(place);
        }
        reader.finish();
    }
    root.finish();
    let sources_known = settings.sources.len() == declared;
    Declared { settings, source_places, sources_known }
}

/// Puts the variables among what the file says, each with its own place.
fn override_with(root: &mut Table, env: &[(String, String)], sink: &Sink) {
    for (name, value) in env {
        let Some((section, key)) = name.strip_prefix("EVENKEEL_").and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let text: std::sync::Arc<str> = format!("{name}={value}").into();
        let name_place = Place::Variable { text: text.clone(), span: 0..name.len() };
        let value_place = Place::Variable { span: name.len() + 1..text.len(), text };
        if section == "source" {
            sink.push(
                Diagnostic::error(&name_place, "sources cannot be set from the environment")
                    .help("declare them as [[source]] in evenkeel.toml"),
            );
            continue;
        }
        let table = root.entry(&section, &name_place, Data::Table(Table::default()));
        if let Data::Table(table) = &mut table.value {
            table.set(&key, &name_place, At { value: Data::Untyped(value.clone()), place: value_place });
        }
    }
}

fn section(root: &mut Reader<'_>, name: &'static str, read: impl FnOnce(&mut Reader<'_>)) {
    if let Some(mut reader) = root.table(name) {
        read(&mut reader);
        reader.finish();
    }
}

/// Overwrites `target` where `key` is there.
fn set<T: FromNode>(reader: &mut Reader<'_>, key: &'static str, target: &mut T) {
    if let Some(value) = reader.optional(key) {
        *target = value;
    }
}

/// As [`set`], for a number that 0 makes no sense of.
fn set_at_least_one(reader: &mut Reader<'_>, key: &'static str, target: &mut u64) {
    if let Some(at) = reader.optional::<At<u64>>(key) {
        if at.value == 0 {
            reader.sink.error(&at.place, "expected an integer of at least 1, found 0");
        }
        *target = at.value;
    }
}

fn node(reader: &mut Reader<'_>, node: &mut NodeSettings) {
    if let Some(id) = reader.optional::<At<String>>("id") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.value.is_empty() || !id.value.chars().all(plain) {
            reader.sink.error(&id.place, "expected a name of letters, digits, `.`, `_` and `-`");
        }
        node.id = id.value;
    }
    if let Some(data) = reader.optional::<At<String>>("data") {
        if data.value.is_empty() {
            reader.sink.error(&data.place, "expected a folder, found an empty name");
        }
        node.data = data.value;
    }
    set(reader, "listen", &mut node.listen);
}

fn store(reader: &mut Reader<'_>, store: &mut StoreSettings) {
    if let Some(url) = reader.optional::<At<String>>("url") {
        if url.value.starts_with("postgres:") || url.value.starts_with("postgresql:") {
            let message = "the PostgreSQL store is not built yet";
            reader.sink.push(Diagnostic::error(&url.place, message).help("leave `url` out, or set it to \"sqlite\""));
        } else if url.value != "sqlite" {
            reader.sink.error(&url.place, "expected \"sqlite\"");
        }
    }
    if let Some(word) = reader.word("synchronous", &[("full", Synchronous::Full), ("normal", Synchronous::Normal)]) {
        store.synchronous = word.value;
    }
}

/// The keys of `[drift]`, here and in models.
pub(crate) fn drift(reader: &mut Reader<'_>, drift: &mut DriftSettings) {
    set(reader, "max_lag_events", &mut drift.thresholds.max_lag_events);
    set(reader, "max_lag_seconds", &mut drift.thresholds.max_lag_seconds);
    set(reader, "replay_threshold", &mut drift.thresholds.replay_threshold);
    set(reader, "stall_seconds", &mut drift.thresholds.stall_seconds);
    if let Some(budget) = reader.optional::<At<f64>>("repair_budget") {
        if budget.value > 1.0 {
            reader.sink.error(&budget.place, "expected a share from 0 to 1");
        }
        drift.repair_budget = budget.value;
    }
}

fn reconcile(reader: &mut Reader<'_>, reconcile: &mut ReconcileSettings) {
    set(reader, "auto", &mut reconcile.auto);
    set(reader, "scrub_rows_per_second", &mut reconcile.scrub_rows_per_second);
    let mut quiet_seconds = reconcile.pace.quiet.as_secs_f64();
    set(reader, "quiet_seconds", &mut quiet_seconds);
    reconcile.pace.quiet = Duration::try_from_secs_f64(quiet_seconds).unwrap_or(Duration::MAX);
    set(reader, "max_per_hour", &mut reconcile.pace.max_per_hour);
    set_at_least_one(reader, "keep_records", &mut reconcile.keep_records);
}

fn snapshots(reader: &mut Reader<'_>, snapshots: &mut SnapshotSettings) {
    set(reader, "every_events", &mut snapshots.every_events);
    if let Some(keep) = reader.optional::<At<u64>>("keep") {
        if keep.value == 0 {
            reader.sink.error(&keep.place, "expected an integer of at least 1, found 0; `every_events = 0` takes none");
        }
        snapshots.keep = keep.value;
    }
}

fn raw(reader: &mut Reader<'_>, raw: &mut RawSettings) {
    if let Some(days) = reader.optional::<f64>("keep_days") {
        raw.keep = Duration::try_from_secs_f64(days * 86_400.0).unwrap_or(Duration::MAX);
    }
}

fn causal(reader: &mut Reader<'_>, causal: &mut CausalSettings) {
    set(reader, "timeout_seconds", &mut causal.timeout_seconds);
    set(reader, "max_events", &mut causal.max_events);
    set(reader, "max_skew_ms", &mut causal.max_skew_ms);
    let mut max_bytes = Bytes(causal.max_bytes);
    set(reader, "max_bytes", &mut max_bytes);
    causal.max_bytes = max_bytes.0;
}

fn read_section(reader: &mut Reader<'_>, read: &mut ReadSettings) {
    set(reader, "budget_ms", &mut read.budget_ms);
    set(reader, "max_retries", &mut read.max_retries);
    set(reader, "base_delay_ms", &mut read.base_delay_ms);
    set(reader, "max_delay_ms", &mut read.max_delay_ms);
    if let Some(age) = reader.optional::<At<f64>>("token_max_age_seconds") {
        read.token_max_age = Duration::try_from_secs_f64(age.value).unwrap_or(Duration::MAX);
    }
    set_at_least_one(reader, "at_once", &mut read.at_once);
    set(reader, "waiting", &mut read.waiting);
    set_at_least_one(reader, "query_timeout_ms", &mut read.query_timeout_ms);
    set_at_least_one(reader, "query_rows", &mut read.query_rows);
    let mut slightly = At { value: read.freshness.slightly_stale_seconds, place: reader.place.clone() };
    let mut very = At { value: read.freshness.very_stale_seconds, place: reader.place.clone() };
    set(reader, "slightly_stale_seconds", &mut slightly);
    set(reader, "very_stale_seconds", &mut very);
    if slightly.value > very.value {
        let message =
            format!("`slightly_stale_seconds` ({}) is above `very_stale_seconds` ({})", slightly.value, very.value);
        reader.sink.error(if slightly.place == reader.place { &very.place } else { &slightly.place }, message);
    }
    read.freshness = FreshnessLimits { slightly_stale_seconds: slightly.value, very_stale_seconds: very.value };
}

fn security(reader: &mut Reader<'_>, security: &mut SecuritySettings) {
    set(reader, "insecure", &mut security.insecure);
    let Some(hosts) = reader.optional::<Vec<At<String>>>("hosts") else { return };
    security.hosts.clear();
    for host in &hosts {
        // A variable of the environment is one text: several are written with commas between.
        for name in host.value.split(',').map(str::trim) {
            let is_address = name.parse::<IpAddr>().is_ok();
            let is_name = name.split('.').all(|label| {
                !label.is_empty() && label.chars().all(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c))
            });
            if !is_address && !is_name {
                let message = format!("expected the name or address of a host, without a port, found {name:?}");
                reader.sink.error(&host.place, message);
            }
            security.hosts.push(name.to_owned());
        }
    }
}

fn limits(reader: &mut Reader<'_>, limits: &mut LimitSettings) {
    if let Some(Bytes(bytes)) = reader.optional("body_bytes") {
        limits.body_bytes = bytes;
    }
    set(reader, "batch_events", &mut limits.batch_events);
    set_at_least_one(reader, "connections", &mut limits.connections);
    set(reader, "header_timeout_ms", &mut limits.header_timeout_ms);
    set(reader, "write_timeout_ms", &mut limits.write_timeout_ms);
    set(reader, "untrusted_per_source", &mut limits.untrusted_per_source);
    set(reader, "untrusted_total", &mut limits.untrusted_total);
    set(reader, "held_per_source", &mut limits.held_per_source);
    set(reader, "shutdown_seconds", &mut limits.shutdown_seconds);
}

fn source(reader: &mut Reader<'_>) -> Option<(Source, Place)> {
    let name: Option<At<String>> = reader.required("name");
    let pattern_given = reader.entry("match").is_some();
    let pattern: Option<At<SourcePattern>> = reader.optional("match");
    let rate = reader.optional("rate");
    let first_seq = reader.optional::<At<u64>>("first_seq");
    if let Some(zero) = first_seq.as_ref().filter(|first| first.value == 0) {
        reader.sink.error(&zero.place, "expected an integer of at least 1, found 0");
    }
    let name = name?;
    if name.value.is_empty() {
        reader.sink.error(&name.place, "expected a name, found an empty one");
        return None;
    }
    // Without `match` a source sends under its own name.
    let pattern = match pattern {
        Some(pattern) => pattern,
        None if pattern_given => return None,
        None => At { value: SourcePattern::Exact(name.value.clone()), place: name.place },
    };
    let source =
        Source { name: name.value, pattern: pattern.value, rate, first_seq: first_seq.map(|first| first.value) };
    Some((source, pattern.place))
}

/// A number of bytes, written as an integer or as `64MiB`.
struct Bytes(u64);

impl FromNode for Bytes {
    fn from_node(node: &Node) -> Result<Self, String> {
        let expected = || "a size such as \"64MiB\"".to_owned();
        if let Ok(bytes) = u64::from_node(node) {
            return Ok(Self(bytes));
        }
        let text = node.as_text().ok_or_else(expected)?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit: u64 = match text[digits..].trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(expected()),
        };
        text[..digits].parse().ok().and_then(|n: u64| n.checked_mul(unit)).map(Self).ok_or_else(expected)
    }
}

impl FromNode for SocketAddr {
    fn from_node(node: &Node) -> Result<Self, String> {
        let text = node.as_text().unwrap_or_default();
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port.parse().ok().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into()),
            None => text.parse().ok(),
        };
        address.ok_or_else(|| "an address such as \"127.0.0.1:7400\"".into())
    }
}

impl FromNode for Rate {
    fn from_node(node: &Node) -> Result<Self, String> {
        let rate = node.as_text().and_then(|text| text.parse().ok());
        rate.ok_or_else(|| "a rate such as \"500/s\"".into())
    }
}

impl FromNode for SourcePattern {
    fn from_node(node: &Node) -> Result<Self, String> {
        let pattern = node.as_text().and_then(|text| text.parse().ok());
        pattern.ok_or_else(|| "a source such as \"shop.orders\", or one that ends in `*`".into())
    }
}
