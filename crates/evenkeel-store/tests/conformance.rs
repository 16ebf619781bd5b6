//! The conformance suite over every backend, and over stores with defects, which it must find.
use evenkeel_core::{Epoch, Timestamp};
use evenkeel_store::{
    conformance::{
        CASES, Stores,
        queries::queries_agree,
        random::{log_agrees, models_agree},
    },
    faulty::{Fault, FaultyLog, FaultyModels, Operation, Script},
    memory::MemoryStore,
};
use proptest::prelude::*;
use std::sync::Arc;

fn in_memory() -> MemoryStore {
    MemoryStore::new(Epoch(1), Arc::new(|| Timestamp::from_micros(0)))
}

mod memory {
    use super::*;

    fn stores() -> Stores {
        let store = in_memory();
        Stores::new(store.log, store.models).with_snapshots(store.snapshots)
    }

    evenkeel_store::conformance_tests!(stores);
}

#[cfg(feature = "sqlite")]
#[allow(clippy::unwrap_used, reason = "a test ends where its folder cannot be made")]
mod sqlite {
    use super::*;
    use evenkeel_store::sqlite::{SqliteOptions, SqliteStore};

    fn stores() -> Stores {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(folder.path(), SqliteOptions::new(Arc::new(|| Timestamp::from_micros(0)))).unwrap();
        Stores::new(store.log, store.models).with_snapshots(store.snapshots).keeping(folder)
    }

    evenkeel_store::conformance_tests!(stores);

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn the_log_agrees_with_the_reference(seed: u64) {
            prop_assert_eq!(log_agrees(&*stores().log, seed, 60), Ok(()));
        }

        #[test]
        fn the_models_agree_with_the_reference(seed: u64) {
            prop_assert_eq!(models_agree(&*stores().models, seed, 60), Ok(()));
        }

        #[test]
        fn queries_agree_with_the_reference(seed: u64) {
            prop_assert_eq!(queries_agree(&*stores().models, seed, 40, 60), Ok(()));
        }
    }
}

/// The names of the cases that fail over stores with these faults.
fn failing(script: fn() -> Script) -> Vec<&'static str> {
    let stores = || {
        let store = in_memory();
        let (log, models) = (FaultyLog::new(store.log, script()), FaultyModels::new(store.models, script()));
        Stores::new(Arc::new(log), Arc::new(models))
    };
    CASES.iter().filter(|(_, case)| case(&stores()).is_err()).map(|(name, _)| *name).collect()
}

#[test]
fn wrappers_without_faults_conform() {
    assert_eq!(failing(|| Box::new(|_| Fault::None)), [""; 0]);
}

#[test]
fn torn_steps_do_not_pass() {
    let torn = failing(|| {
        let mut commits = 0;
        Box::new(move |operation| {
            commits += u32::from(matches!(operation, Operation::Commit(_)));
            if commits % 3 == 0 { Fault::Tear } else { Fault::None }
        })
    });
    assert!(torn.iter().any(|name| name.starts_with("random::models")), "{torn:?}");
    assert!(torn.iter().any(|name| name.starts_with("steps::")), "{torn:?}");
    assert!(!torn.iter().any(|name| name.starts_with("append::")), "{torn:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// That the reference agrees with itself shows that the random operations are the same for both stores.
    #[test]
    fn memory_agrees_with_itself(seed: u64) {
        let store = in_memory();
        prop_assert_eq!(log_agrees(&*store.log, seed, 60), Ok(()));
        prop_assert_eq!(models_agree(&*store.models, seed, 60), Ok(()));
    }
}
