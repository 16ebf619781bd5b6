//! The example of a model written in Rust, run as a user runs it.
#[path = "../../examples/rust_fold.rs"]
mod rust_fold;

#[test]
fn the_example_of_a_fold_in_rust_runs() {
    rust_fold::main().unwrap();
}
