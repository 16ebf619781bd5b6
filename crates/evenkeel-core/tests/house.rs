//! The house rules that a compiler does not know: who may depend on whom, what the pure crates may not name, and how
//! a file begins and how long it may get. Reads the repository's own files; knows just enough TOML and Rust for that.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The crates, and of our own crates those that each may depend on. Tests of a crate may use what the crate may.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("evenkeel-core", &[]),
    ("evenkeel-contract", &["evenkeel-core"]),
    ("evenkeel-store", &["evenkeel-core"]),
    ("evenkeel", &["evenkeel-core", "evenkeel-contract", "evenkeel-store"]),
    ("evenkeel-server", &["evenkeel-core", "evenkeel-contract", "evenkeel-store", "evenkeel"]),
];

/// Libraries that belong to one crate alone.
const OWNED: &[(&str, &str)] = &[
    ("rusqlite", "evenkeel-store"),
    ("axum", "evenkeel-server"),
    ("hyper", "evenkeel-server"),
    ("hyper_util", "evenkeel-server"),
    ("rustix", "evenkeel-server"),
];

/// What the pure crates may not name: they are told the time, and others do the reading, waiting and drawing of lots.
/// (Addresses as mere values are in `core::net`.)
const IMPURE: &[&str] = &["SystemTime::now", "Instant::now", "thread::sleep", "std::fs", "std::net", "tokio", "rand::"];
const PURE: &[&str] = &["evenkeel-core", "evenkeel-contract"];

const MAX_LINES: usize = 600;

fn repository() -> &'static Path {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    core.ancestors().nth(2).unwrap_or(core)
}

/// A file's path as a person would write it.
fn shown(file: &Path) -> String {
    file.strip_prefix(repository()).unwrap_or(file).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is in a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<_> = found.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The crates of the workspace by name, with their folders.
fn crates() -> BTreeMap<String, PathBuf> {
    let folders = entries(&repository().join("crates")).into_iter();
    folders.filter(|folder| folder.join("Cargo.toml").is_file()).map(|folder| (name(&folder), folder)).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in entries(folder) {
        if path.is_dir() && name(&path) != "target" {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Whether `text` names `word`: not as a part of a longer name. `-` counts as part of a name where `dash` says so.
fn names(text: &str, word: &str, dash: bool) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || (dash && c == '-');
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(in_name) && (word.ends_with(':') || !after.is_some_and(in_name))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Dev,
}

/// The lines of a manifest that speak of dependencies: the kind, and the line, with the name of the dependency before
/// it where that stands in the section's header.
fn dependency_lines(manifest: &str) -> Vec<(Kind, String)> {
    let mut lines = Vec::new();
    let mut section = None;
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let tables = ["dev-dependencies", "build-dependencies", "dependencies"];
            section = tables.iter().find(|table| names(header, table, true)).map(|table| {
                let kind = if *table == "dev-dependencies" { Kind::Dev } else { Kind::Normal };
                // `[dependencies.NAME]`, also after `[target.'cfg(…)'.`
                let own = header.rsplit_once(&format!("{table}.")).map_or("", |(_, name)| name);
                if !own.is_empty() {
                    lines.push((kind, own.to_owned()));
                }
                (kind, own.to_owned())
            });
        } else if let Some((kind, own)) = section.as_ref().filter(|_| !line.is_empty()) {
            lines.push((*kind, format!("{own} {line}").trim().to_owned()));
        }
    }
    lines
}

/// Edges between our crates that a manifest has and should not.
fn wrong_edges(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("{name} has no place in this test's table")];
    };
    let mut wrong = Vec::new();
    for (kind, line) in dependency_lines(manifest) {
        for (other, _) in MAY_DEPEND_ON.iter().filter(|(other, _)| names(&line, other, true)) {
            // `path = "../evenkeel"` names a folder of the same name, so a renamed dependency is seen too.
            if !allowed.contains(other) {
                wrong.push(format!("{name} may not depend on {other}: {line}"));
            } else if kind == Kind::Normal && name == "evenkeel" && names(&line, "features", true) {
                wrong.push(format!("{name} may not choose a backend: {line}"));
            }
        }
        let owned = OWNED.iter().filter(|(library, owner)| {
            kind == Kind::Normal && *owner != name && {
                let library = library.replace('_', "-");
                names(&line, &library, true)
            }
        });
        wrong.extend(owned.map(|(library, owner)| format!("{name} may not depend on {library}, {owner} does: {line}")));
    }
    wrong
}

/// A file's code without comments that fill a line and without its own tests, which stand at the end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a file is nothing but tests.
fn is_test(folder: &Path, file: &Path) -> bool {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.iter().any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// What a file of a crate names and may not.
fn wrong_names(crate_name: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let impure = IMPURE.iter().filter(|_| PURE.contains(&crate_name)).filter(|word| names(&code, word, false));
    let mut wrong: Vec<_> = impure.map(|word| format!("names {word}, and {crate_name} is pure")).collect();
    let owned = OWNED.iter().filter(|(library, owner)| *owner != crate_name && names(&code, library, false));
    wrong.extend(owned.map(|(library, owner)| format!("names {library}, which is {owner}'s alone")));
    wrong
}

fn wrong_form(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//!") {
        wrong.push("does not open with `//!`: what it is, and what it is not".to_owned());
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("has {lines} lines, more than {MAX_LINES}"));
    }
    wrong
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn crates_depend_in_one_direction() {
    let found = crates();
    let mut wrong: Vec<_> =
        found.iter().flat_map(|(name, folder)| wrong_edges(name, &read(&folder.join("Cargo.toml")))).collect();
    for (name, _) in MAY_DEPEND_ON.iter().filter(|(name, _)| !found.contains_key(*name)) {
        wrong.push(format!("there is no crates/{name}"));
    }
    // A crate is found by its folder, so folder and name must agree, and the workspace must not rename it.
    for (name, folder) in &found {
        if !read(&folder.join("Cargo.toml")).lines().any(|line| line.trim() == format!("name = \"{name}\"")) {
            wrong.push(format!("crates/{name} holds a package of another name"));
        }
    }
    for (_, line) in dependency_lines(&read(&repository().join("Cargo.toml"))) {
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
        for (name, _) in MAY_DEPEND_ON.iter().filter(|(name, _)| names(&line, name, true) && *name != key) {
            wrong.push(format!("the workspace calls {name} by another name: {line}"));
        }
        if key == "evenkeel-store" && !line.replace(' ', "").contains("default-features=false") {
            wrong.push("the workspace must take evenkeel-store without a backend: default-features = false".into());
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut wrong = Vec::new();
    for file in rust_files(&repository().join("crates")) {
        wrong.extend(wrong_form(&read(&file)).into_iter().map(|what| format!("{}: {what}", shown(&file))));
    }
    assert_none(&wrong);
}

#[test]
fn pure_crates_stay_pure_and_libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (name, folder) in crates() {
        for file in rust_files(&folder).into_iter().filter(|file| !is_test(&folder, file)) {
            wrong.extend(wrong_names(&name, &read(&file)).into_iter().map(|what| format!("{}: {what}", shown(&file))));
        }
    }
    assert_none(&wrong);
}

/// The rules above must see what they are there to see.
mod the_rules_see {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency() {
        for manifest in [
            "[dependencies]\nevenkeel-store.workspace = true",
            "[dependencies]\nevenkeel-store = { workspace = true }",
            "[dependencies]\nstore = { package = \"evenkeel-store\", path = \"../evenkeel-store\" }",
            "[dependencies.evenkeel-store]\nworkspace = true",
            "[dependencies]\nserde = \"1\" # harmless\n\"evenkeel-store\" = { path = \"../evenkeel-store\" }",
            "[build-dependencies]\nevenkeel-store.workspace = true",
            "[dev-dependencies]\nevenkeel-store.workspace = true",
            "[target.'cfg(unix)'.dependencies]\nevenkeel-store.workspace = true",
            "[target.'cfg(unix)'.dependencies.evenkeel-store]\nworkspace = true",
        ] {
            assert!(!wrong_edges("evenkeel-core", manifest).is_empty(), "{manifest}");
            assert_eq!(wrong_edges("evenkeel", manifest), [""; 0], "{manifest}");
        }
        assert_eq!(
            wrong_edges("evenkeel-core", "# evenkeel-store\n[features]\nx = [\"evenkeel-store/sqlite\"]"),
            [""; 0]
        );
    }

    #[test]
    fn names_that_begin_alike() {
        assert_eq!(wrong_edges("evenkeel-contract", "[dependencies]\nevenkeel-core.workspace = true"), [""; 0]);
        assert_eq!(wrong_edges("evenkeel-contract", "[dependencies]\nevenkeel.workspace = true").len(), 1);
        assert_eq!(wrong_names("evenkeel-core", "Operand::Value; operand::x; tokiox; hyperbole"), [""; 0]);
        assert_eq!(wrong_names("evenkeel-core", "rand::random(); ::tokio::spawn").len(), 2);
    }

    #[test]
    fn backends_and_libraries_out_of_place() {
        let features = "[dependencies]\nevenkeel-store = { workspace = true, features = [\"sqlite\"] }";
        assert_eq!(wrong_edges("evenkeel", features).len(), 1);
        assert_eq!(wrong_edges("evenkeel", &features.replace("[dep", "[dev-dep")), [""; 0]);
        assert_eq!(wrong_edges("evenkeel-server", features), [""; 0]);
        assert_eq!(wrong_edges("evenkeel", "[dependencies]\nrusqlite.workspace = true").len(), 1);
        assert_eq!(wrong_edges("evenkeel", "[dev-dependencies]\nrusqlite.workspace = true"), [""; 0]);
        assert_eq!(wrong_edges("evenkeel-store", "[dependencies]\nhyper-util.workspace = true").len(), 1);
    }

    #[test]
    fn code_but_not_what_is_said_about_it_nor_tests() {
        assert_eq!(wrong_names("evenkeel-core", "let now = std::time::SystemTime::now();").len(), 1);
        assert_eq!(wrong_names("evenkeel-store", "let now = std::time::SystemTime::now();"), [""; 0]);
        assert_eq!(wrong_names("evenkeel", "//! Not here: `rusqlite`.\nuse rusqlite::Connection;").len(), 1);
        assert_eq!(wrong_names("evenkeel", "//! Not here: `rusqlite`."), [""; 0]);
        assert_eq!(wrong_names("evenkeel-core", "fn f() {}\n#[cfg(test)]\nmod tests {\n use std::fs;\n}"), [""; 0]);
        assert!(is_test(Path::new("/x"), Path::new("/x/src/fold/tests.rs")));
        assert!(!is_test(Path::new("/tests/x"), Path::new("/tests/x/src/fold.rs")));
    }

    #[test]
    fn files_without_a_word_and_files_too_long() {
        assert_eq!(wrong_form("").len(), 1);
        assert_eq!(wrong_form("//! A file."), [""; 0]);
        assert_eq!(wrong_form(&format!("//! A file.{}", "\n// line".repeat(MAX_LINES))).len(), 1);
        assert_eq!(wrong_form(&format!("//! A file.{}", "\n// line".repeat(MAX_LINES - 1))), [""; 0]);
    }
}
