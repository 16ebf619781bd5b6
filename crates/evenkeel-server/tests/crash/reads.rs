//! Who reads while the server is killed: with the tokens of acknowledged writes, also of those before a kill, and strongly.
//! What is shown is kept, to be held against the log when all is over.
use super::{
    super::common::{
        Random,
        shop::{Shown, WAYS, Way},
    },
    door::{Alarm, Door, Visitor},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many tokens are kept for readers: those of the latest writes.
const TOKENS: usize = 200;

/// What senders were told, and readers shown.
#[derive(Default)]
pub(crate) struct Reads(Mutex<State>);

#[derive(Default)]
struct State {
    /// The last position that any sender was told.
    acknowledged: u64,
    tokens: Vec<Token>,
    shown: Vec<Shown>,
    counts: Counts,
}

#[derive(Clone)]
struct Token {
    text: String,
    /// The last event that was acknowledged with it.
    position: u64,
    /// The life of the server that gave it.
    life: u64,
}

/// How many answers there were.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// By level and way, as they were asked.
    pub(crate) answered: BTreeMap<(&'static str, Way), u64>,
    /// With the token of a server that was killed before.
    pub(crate) over_a_kill: u64,
    /// By the name of the problem.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Reads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sender was told this by the server of this life.
    pub(crate) fn acknowledge(&self, answer: &Value, life: u64) {
        let positions = answer["results"].as_array().unwrap().iter();
        let (position, text) = (positions.filter_map(|result| result["position"].as_u64()).max(), &answer["token"]);
        let (Some(position), Some(text)) = (position, text.as_str()) else { return };
        let mut state = self.state();
        state.acknowledged = state.acknowledged.max(position);
        if state.tokens.len() == TOKENS {
            state.tokens.remove(0);
        }
        state.tokens.push(Token { text: text.to_owned(), position, life });
    }

    /// Everything that was shown, and how much that was.
    pub(crate) fn take(&self) -> (Vec<Shown>, Counts) {
        let mut state = self.state();
        (std::mem::take(&mut state.shown), state.counts.clone())
    }

    /// Reads until told to finish.
    pub(crate) fn read(&self, door: &Door, mut random: Random) {
        let _alarm = Alarm(door);
        let mut visitor = Visitor::new(door);
        while !door.is_finishing() {
            let (level, way) = (["eventual", "causal", "strong"][random.index(3)], WAYS[random.index(WAYS.len())]);
            let customer = format!("c-{}", random.below(40));
            let (acknowledged, token) = {
                let state = self.state();
                let token = state.tokens.get(random.index(state.tokens.len().max(1))).cloned();
                (state.acknowledged, token)
            };
            let Some(token) = token else {
                door.pause(5);
                continue;
            };
            let (floor, parameters) = match level {
                "causal" => (token.position, format!("level=causal&budget_ms=2000&token={}", token.text)),
                // All that was acknowledged before it began.
                "strong" => (acknowledged, "level=strong&budget_ms=2000".to_owned()),
                _ => (0, "level=eventual".to_owned()),
            };
            let Some(answer) = visitor.ask(None, |client| way.ask(client, &customer, &parameters)) else { continue };
            if answer.status == 503 {
                let problem = answer.unavailable();
                let name = problem["type"].as_str().unwrap().trim_start_matches("/problems/").to_owned();
                assert!(level != "eventual" || name != "not-met", "{way:?}: {problem}");
                *self.state().counts.refused.entry(name).or_default() += 1;
                continue;
            }
            let shown = way.shown(&answer, &customer, level, floor);
            let mut state = self.state();
            state.shown.extend(shown);
            *state.counts.answered.entry((level, way)).or_default() += 1;
            state.counts.over_a_kill += u64::from(level == "causal" && token.life < visitor.life());
        }
    }
}
