//! A kill at one write after the other: whichever write of the server to its files is the last, everything acknowledged
//! is there afterwards, and every row is what it is without a kill. What random moments (`crash.rs`) hardly ever hit is
//! hit here for certain: the inside of a transaction, between two, of the swap of a model that was declared anew, of a
//! repair, and of a rebuild that begins from a snapshot.
//!
//! Needs `strace`, which kills the server as it is about to make its n-th write to one of the files.
#[cfg(test)]
mod common;

#[cfg(test)]
mod kill_points {
    mod bulk;
    mod causal;
    mod edit;
    mod from_snapshot;
    mod release;
    mod repair;
    mod sweep;

    use from_snapshot::Newest;
    use sweep::{Before, sweep};

    // Writes are counted for each thread by itself. So that a thread that projects can be the first to make its n-th,
    // the one that makes the files must not have to.

    #[test]
    fn any_write_to_a_log_that_is_made_and_filled_may_be_the_last() {
        let acknowledged = sweep("a new log", Before::Nothing, &["log.db", "log.db-journal", "log.db-wal"]);
        assert!(acknowledged > 0);
    }

    #[test]
    fn any_write_to_models_that_are_made_may_be_the_last() {
        sweep("new models", Before::Nothing, &["models.db", "models.db-journal", "models.db-wal"]);
    }

    #[test]
    fn any_write_of_the_projectors_may_be_the_last() {
        let acknowledged = sweep("the projectors", Before::Opened, &["models.db-wal"]);
        assert!(acknowledged > 0);
    }

    #[test]
    fn any_write_of_a_rebuild_and_its_swap_may_be_the_last() {
        sweep("a rebuild and its swap", Before::DeclaredAnew, &["models.db-wal"]);
    }

    #[test]
    fn any_write_of_a_rebuild_ahead_of_its_model_may_be_the_last() {
        let acknowledged = sweep("a rebuild ahead of its model", Before::Behind, &["models.db-wal"]);
        assert!(acknowledged > 0);
    }

    #[test]
    fn any_write_of_a_repair_may_be_the_last() {
        repair::sweep();
    }

    #[test]
    fn any_write_of_a_rebuild_from_a_snapshot_may_be_the_last() {
        from_snapshot::sweep(Newest::Sound);
    }

    #[test]
    fn any_write_of_a_rebuild_that_falls_back_from_a_damaged_snapshot_may_be_the_last() {
        from_snapshot::sweep(Newest::Damaged);
    }

    #[test]
    fn any_write_of_an_edit_and_what_it_lets_in_may_be_the_last() {
        edit::sweep();
    }

    #[test]
    fn any_write_of_a_redrive_of_all_at_the_gate_may_be_the_last() {
        bulk::sweep_gate("redrive");
    }

    #[test]
    fn any_write_of_a_discard_of_all_at_the_gate_may_be_the_last() {
        bulk::sweep_gate("discard");
    }

    #[test]
    fn any_write_of_decisions_about_all_that_a_model_parked_may_be_the_last() {
        bulk::sweep_parked();
    }

    #[test]
    fn any_write_of_events_that_wait_and_go_on_may_be_the_last() {
        causal::sweep();
    }

    #[test]
    fn any_write_of_a_release_may_be_the_last() {
        release::sweep();
    }
}
