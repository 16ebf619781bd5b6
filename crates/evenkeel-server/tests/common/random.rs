//! Chance that can be repeated: SplitMix64 from a seed, which a failing test shows. Not for secrets.

/// The variable that gives every test another seed.
const VARIABLE: &str = "EVENKEEL_TEST_SEED";

/// A sequence of numbers that its seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of this run: the variable's, or `usual`. Printed, so that a failure shows it.
    pub(crate) fn seed(usual: u64) -> u64 {
        let given = std::env::var(VARIABLE).ok();
        let seed = given.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text}: no number")));
        eprintln!("{VARIABLE}={seed}");
        seed
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; `end` is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Whether something that happens so often in a hundred happens.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}
