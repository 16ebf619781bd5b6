#!/usr/bin/env bash
# Every check there is: format, lints, tests, documentation, end-to-end runs, and that the benchmarks still build.
# Installs the one tool it needs beside Rust and Python (strace, for the durability test) where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

if ! command -v strace >/dev/null; then
    step "installing strace"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && apt-get install -qy strace
    else
        echo "strace is missing: the durability test needs it (Debian: apt-get install strace)" >&2
        exit 1
    fi
fi
command -v python3 >/dev/null || { echo "python3 is missing: it recomputes the expected rows" >&2; exit 1; }

step "format"
cargo fmt --all --check
cargo fmt --manifest-path bench/Cargo.toml --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests"
cargo test --workspace --locked

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "benchmarks build"
cargo check --manifest-path bench/Cargo.toml --locked --quiet

step "all passed"
