#!/usr/bin/env bash
# Every check there is: format, lints, tests, documentation, end-to-end runs, and that the benchmarks still build. The fuzz
# targets run for a minute each, or EVENKEEL_FUZZ_SECONDS.
# Installs what it needs beside Rust and Python where it may: strace for the durability test; venv, Node and npm for the
# test of CloudEvents clients, which fetches those from the registries that pip and npm are configured with.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

# need CHECK WHAT PACKAGES: installs the packages where the check fails, or says what is missing.
need() {
    eval "$1" >/dev/null 2>&1 && return
    step "installing $2"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2086 # several packages
        { apt-get update -q && apt-get install -qy --no-install-recommends $3; } || true
        eval "$1" >/dev/null 2>&1 && return
    fi
    echo "missing: $2 (Debian: apt-get install $3)" >&2
    exit 1
}
need "python3 --version" "python3, which recomputes the expected rows" "python3"
need "strace -V" "strace, which the durability test needs" "strace"
need "python3 -c 'import venv, ensurepip'" "venv, which the test of CloudEvents clients needs" "python3-venv"
need "node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' && npm --version" \
    "Node 20 or newer with npm, which the test of CloudEvents clients needs" "nodejs npm"

step "format"
cargo fmt --all --check
cargo fmt --manifest-path bench/Cargo.toml --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests"
EVENKEEL_FUZZ_SECONDS="${EVENKEEL_FUZZ_SECONDS:-60}" cargo test --workspace --locked

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "benchmarks build"
cargo check --manifest-path bench/Cargo.toml --locked --quiet

step "all passed"
