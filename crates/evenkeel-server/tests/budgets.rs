//! The budget of a read is kept in real time, by the real binary and with many who wait at once: who waits in vain is told so when
//! it ends, and hardly later than a bare sleep of that length ends on the same machine at the same time. That nothing but the
//! machine makes it later is shown in virtual time (`evenkeel/tests/runtime/budgets.rs`).
#[cfg(test)]
mod common;

#[cfg(test)]
mod budgets {
    use super::common::{Client, Server, copy_of_example, say};
    use serde_json::{Value, json};
    use std::{
        sync::Barrier,
        thread,
        time::{Duration, Instant},
    };

    /// Who waits at once.
    const READERS: usize = 100;

    /// Who sleeps at the same time.
    const SLEEPERS: usize = 20;

    const BUDGET: Duration = Duration::from_millis(300);

    /// What is added to the bounds: a few milliseconds.
    const FEW: Duration = Duration::from_millis(5);

    /// So many times is it tried: what else the machine does may spoil one, and what is wrong with the server spoils all.
    const ROUNDS: usize = 6;

    /// An order of its own for each number.
    fn order(number: usize) -> String {
        format!(
            r#"{{"specversion":"1.0","source":"shop.orders","id":"{number}","type":"OrderPlaced","time":"2026-03-02T09:30:00Z","data":{{"order_id":"o-{number}","customer_ref":"c-1","line_items":[{{"sku":"P-1","quantity":1,"unit_price":"1.00"}}],"total_amount":"2.00","currency_code":"EUR"}}}}"#
        )
    }

    /// Asks for the customers in one way or another, with what a read must show and how long it may take.
    fn ask(client: &Client, way: usize, parameters: &str) -> Value {
        let customers = "/v1/models/customers/rows";
        let answer = match way % 3 {
            0 => client.get(&format!("{customers}/c-1?{parameters}")),
            1 => client.get(&format!("{customers}?count=exact&{parameters}")),
            _ => {
                client.post(&format!("/v1/query?{parameters}"), &json!({"sql": "SELECT count(*) AS n FROM customers"}))
            }
        };
        match answer.status {
            503 => answer.unavailable(),
            _ => answer.ok(200),
        }
    }

    /// What a tenth of them is above.
    fn most(mut all: Vec<Duration>) -> Duration {
        all.sort();
        all[all.len() * 9 / 10]
    }

    /// How long all these took, begun together. `meanwhile` is done when they begin.
    fn took<T: Send>(things: Vec<T>, does: impl Fn(T) + Sync, meanwhile: impl FnOnce()) -> Vec<Duration> {
        let barrier = Barrier::new(things.len() + 1);
        thread::scope(|scope| {
            let run = |thing| {
                let (barrier, does) = (&barrier, &does);
                scope.spawn(move || {
                    barrier.wait();
                    let began = Instant::now();
                    does(thing);
                    began.elapsed()
                })
            };
            let running: Vec<_> = things.into_iter().map(run).collect();
            barrier.wait();
            meanwhile();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    /// Whoever reads, and whoever sleeps.
    enum Waits<'c> {
        Reader(&'c Client, usize),
        Sleeper,
    }

    /// How much longer than the budget reads took, and how much longer than that sleeps did, all at once. `is_refused` is where
    /// nothing comes that they wait for.
    fn over(clients: &[Client], token: &str, is_refused: bool, meanwhile: impl FnOnce()) -> (Duration, Duration) {
        let parameters = format!("token={token}&budget_ms={}", BUDGET.as_millis());
        let readers = clients.iter().zip(0..).map(|(client, way)| Waits::Reader(client, way));
        let waits = readers.chain((0..SLEEPERS).map(|_| Waits::Sleeper)).collect();
        let does = |waits: Waits<'_>| match waits {
            Waits::Sleeper => thread::sleep(BUDGET),
            Waits::Reader(client, way) => {
                let body = ask(client, way, &parameters);
                assert!(!is_refused || body["type"] == "/problems/not-met", "{body}");
            }
        };
        let mut all = took(waits, does, meanwhile);
        let asleep = all.split_off(clients.len());
        assert!(!is_refused || all.iter().all(|took| *took >= BUDGET), "told before the budget was over: {all:?}");
        let over = |all: Vec<Duration>| most(all.into_iter().map(|took| took.saturating_sub(BUDGET)).collect());
        (over(all), over(asleep))
    }

    /// Rounds until one of them keeps the bound.
    fn kept(what: &str, round: impl FnMut() -> (Duration, Duration, Duration)) {
        let mut said = String::new();
        let is_kept = std::iter::repeat_with(round).take(ROUNDS).any(|(read, asleep, at_once)| {
            said.push_str(&format!(
                "\n  over by {read:.1?}; beside them sleeps by {asleep:.1?}, and so many reads that wait for nothing take {at_once:.1?}"
            ));
            read <= asleep + 2 * at_once + FEW
        });
        say(&format!("budgets: {READERS} reads, {what}, nine in ten:{said}"));
        assert!(is_kept, "{what}:{said}");
    }

    #[test]
    fn many_who_wait_are_told_in_time_whether_the_projector_stands_or_works_through_a_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        copy_of_example("shop", &project, "[read]\nwaiting = 1000");
        let server = Server::start(&project, &folder.path().join("data"));
        let client = server.client();
        let publish = |from: usize, to: usize| {
            let mut token = Value::Null;
            for batch in (from..to).collect::<Vec<_>>().chunks(500) {
                let orders: Vec<_> = batch.iter().map(|number| order(*number)).collect();
                token = client.publish(&orders).ok(202)["token"].clone();
            }
            token.as_str().unwrap().to_owned()
        };
        let projector = |does: &str| {
            client.post(&format!("/v1/models/customers/projector/{does}"), &json!({})).ok(200);
        };
        publish(0, 500);
        client.get("/v1/models/customers/rows/c-1?level=strong&budget_ms=60000").ok(200);
        let clients: Vec<Client> = (0..READERS).map(|_| server.client()).collect();
        let at_once = |token: &str| {
            let parameters = format!("token={token}&budget_ms=0");
            let does = |(client, way): (&Client, usize)| drop(ask(client, way, &parameters));
            most(took(clients.iter().zip(0..).collect(), does, || ()))
        };
        projector("stop");
        let token = publish(500, 501);
        // Each has its connection from here on.
        at_once(&token);
        kept("the projector stands", || {
            let (read, asleep) = over(&clients, &token, true, || ());
            (read, asleep, at_once(&token))
        });
        let mut next = 501;
        kept("the projector works", || {
            projector("stop");
            let token = publish(next, next + 5000);
            next += 5000;
            let at_once = at_once(&token);
            let (read, asleep) = over(&clients, &token, false, || projector("start"));
            client.get(&format!("/v1/models/customers/rows/c-1?token={token}&budget_ms=60000")).ok(200);
            (read, asleep, at_once)
        });
    }
}
