//! Nothing acknowledged is lost, and no row is wrong, however often and whenever the server is killed: while it starts,
//! takes events, projects them, rebuilds a model, or swaps in a model that was declared anew.
//!
//! Killing a process does not lose what the operating system has already been given: that an acknowledgement comes after
//! the sync is shown in `durability.rs`.
#[cfg(test)]
mod common;

#[cfg(test)]
mod crash {
    mod check;
    mod clients;
    mod door;
    mod events;
    mod reads;

    use super::common::{Random, Server, copy_of_example, declare_orders, say, shop, signal};
    use check::{Found, check_kept, check_rows, wait_until_current};
    use clients::{Told, under_way};
    use door::{Alarm, Door};
    use reads::Reads;
    use serde_json::{Value, json};
    use std::{
        collections::BTreeMap,
        path::{Path, PathBuf},
        thread,
        time::{Duration, Instant},
    };

    /// Servers that are killed.
    const LIVES: u64 = 80;

    /// How long a server may live after it has become ready: mostly, and long enough to build a model and swap it in.
    const LIFE_MS: (u64, u64) = (300, 3000);

    /// Who publishes at the same time.
    const SENDERS: usize = 4;

    /// Who reads at the same time.
    const READERS: usize = 2;

    /// What the kills hit.
    #[derive(Debug, Default)]
    struct Kills {
        all: u64,
        starting: u64,
        publishing: u64,
        rebuilding: u64,
        /// A model was declared anew and its new table not yet in place.
        before_a_swap: u64,
        /// Not kills: new tables that were put in place by servers that were killed later.
        swaps: u64,
    }

    #[test]
    fn nothing_is_lost_whenever_the_server_is_killed() {
        let random = Random::new(Random::seed(1));
        let folder = tempfile::tempdir().unwrap();
        let (door, reads) = (Door::default(), Reads::default());
        let mut killer = Killer::new(folder.path(), random.clone());
        let (server, sent, operated, seen) = thread::scope(|scope| {
            let _alarm = Alarm(&door);
            let (door, reads, mut seeds) = (&door, &reads, random);
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| (sender, Random::new(seeds.next())))
                .map(|(sender, random)| scope.spawn(move || clients::send(door, reads, sender, random)))
                .collect();
            for _ in 0..READERS {
                let random = Random::new(seeds.next());
                scope.spawn(move || reads.read(door, random));
            }
            let random = Random::new(seeds.next());
            let operator = scope.spawn(move || clients::operate(door, random));
            let observer = scope.spawn(move || clients::observe(door));
            while killer.kills.all < LIVES && !door.is_finishing() {
                killer.live(door);
            }
            let server = killer.start();
            door.open(server.wait_ready_addr());
            door.finish();
            let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
            (server, sent, operator.join().unwrap(), observer.join().unwrap())
        });
        let client = server.client();
        wait_until_current(&client, killer.version);
        let (log, entries) = (client.log(), client.quarantine());
        let told: BTreeMap<_, _> = sent.iter().flat_map(|sent| sent.events.clone()).collect();
        let numbers = Found::new(&log, &entries).check(&told, &seen).unwrap_or_else(|wrong| panic!("{wrong}"));
        check_rows(&client, &log);
        check_reads(&reads, &log);
        check_kept(&client, &killer.project, &log);
        let books = client.get("/v1/accounting?recount=true").ok(200);
        clients::balanced(&books);
        let total = |name: &str| usize::try_from(books["total"][name].as_u64().unwrap()).unwrap();
        assert_eq!(total("admitted"), numbers.admitted, "{books}");
        assert_eq!(total("quarantined") + total("discarded"), numbers.quarantined, "{books}");
        // What was acknowledged was received, and what was sent once more after a kill perhaps twice.
        let resent: u64 = sent.iter().map(|sent| sent.resent).sum();
        assert!(total("duplicate") as u64 >= resent && total("received") >= told.len(), "{books}");

        let Kills { all, starting, publishing, rebuilding, before_a_swap, swaps } = killer.kills;
        let (repeated, resent) = sent.iter().fold((0, 0), |sum, sent| (sum.0 + sent.repeated, sum.1 + sent.resent));
        say(&format!(
            "crash: {all} kills: {starting} while starting, {publishing} while publishing, {rebuilding} during a rebuild, \
             {before_a_swap} before the swap of one of {} declarations; {swaps} swaps; {} events acknowledged: {} in the log, {} in \
             quarantine; {repeated} requests repeated, {resent} events sent again; {} rebuilds and {} decisions answered",
            killer.version - 1,
            told.len(),
            numbers.admitted,
            numbers.quarantined,
            operated.rebuilds,
            operated.decisions,
        ));
        assert!(all >= 50 && starting >= 5 && publishing >= 20 && rebuilding >= 10 && before_a_swap >= 5 && swaps >= 5);
        assert!(repeated > 0 && resent > 0 && operated.rebuilds > 0 && operated.decisions > 0);
    }

    /// Every answer was as fresh as was asked, and what the log makes of it.
    fn check_reads(reads: &Reads, log: &[Value]) {
        let (shown, counts) = reads.take();
        say(&format!("crash: {} answers to reads held against the log: {counts:?}", shown.len()));
        assert_eq!(shop::first_wrong(shown, log), None);
        assert!(counts.answered.len() == 3 * shop::WAYS.len() && counts.over_a_kill > 0, "{counts:?}");
    }

    /// Starts servers and kills them.
    struct Killer {
        project: PathBuf,
        data: PathBuf,
        random: Random,
        /// How long the first server took to say that it serves.
        start_takes: Option<Duration>,
        /// The version that the orders are declared in.
        version: u64,
        /// Whether that version was seen in place.
        swapped: bool,
        kills: Kills,
    }

    impl Killer {
        fn new(folder: &Path, random: Random) -> Self {
            let (project, data) = (folder.join("project"), folder.join("data"));
            // Much comes from a source that nobody declared.
            copy_of_example("shop", &project, "[limits]\nuntrusted_per_source = 1000000\nuntrusted_total = 1000000");
            let kills = Kills::default();
            Self { project, data, random, start_takes: None, version: 1, swapped: true, kills }
        }

        /// Declares the orders anew: a version later, with a column more or less.
        fn declare_anew(&mut self) {
            self.version += 1;
            declare_orders(&self.project, self.version);
            self.swapped = false;
        }

        fn start(&mut self) -> Server {
            Server::spawn(&self.project, &self.data)
        }

        /// One life, from the start to the kill.
        fn live(&mut self, door: &Door) {
            if self.start_takes.is_some() && self.random.percent(15) {
                self.declare_anew();
            }
            let started = Instant::now();
            let mut server = self.start();
            match self.start_takes {
                Some(takes) if self.random.percent(30) => {
                    let at_most = u64::try_from(takes.as_micros()).unwrap();
                    thread::sleep(Duration::from_micros(self.random.below(at_most)));
                    self.kills.starting += u64::from(server.addr().is_none());
                }
                _ => {
                    let addr = server.wait_ready_addr();
                    let life_ms = if self.random.percent(30) { LIFE_MS.1 } else { LIFE_MS.0 };
                    self.start_takes.get_or_insert(started.elapsed());
                    door.open(addr);
                    thread::sleep(Duration::from_millis(self.random.below(life_ms)));
                    let (publishing, rebuilding) = under_way(door);
                    self.kills.publishing += u64::from(publishing > 0);
                    self.kills.rebuilding += u64::from(rebuilding > 0);
                }
            }
            let served = server.addr().is_some();
            let ended = server.kill();
            door.close();
            self.kills.all += 1;
            let log = server.log();
            assert_eq!(signal(ended), Some(9), "it ended by itself ({ended}):\n{}", log.join("\n"));
            assert!(!log.iter().any(|line| line.contains("panicked")), "{}", log.join("\n"));
            let rebuilt: Vec<_> = log.iter().filter_map(|line| rebuilt(line)).collect();
            self.kills.swaps += rebuilt.len() as u64;
            self.swapped |= rebuilt.iter().any(|model| model == "orders");
            self.kills.before_a_swap += u64::from(served && !self.swapped);
        }
    }

    /// The model that was rebuilt, where a line of the server's log says so.
    fn rebuilt(line: &str) -> Option<String> {
        let record: Value = serde_json::from_str(line).ok()?;
        let is = |member: &str, value: &str| record[member] == value;
        let done =
            is("message", "reconciliation") && is("reconciliation_method", "rebuild") && is("result", "converged");
        done.then(|| record["model"].as_str().map(str::to_owned)).flatten()
    }

    #[test]
    fn the_check_finds_what_it_is_for() {
        let event = |id: &str| json!({"source": "s", "id": id});
        let entry = |id: &str, raw_id: &str, state: &str, position: Option<u64>| json!({"id": id, "source": "s", "raw_id": raw_id, "state": state, "position": position});
        let identity = |id: &str| ("s".to_owned(), id.to_owned());
        let told = |told: &[(&str, Option<u64>, Option<&str>)]| -> BTreeMap<_, _> {
            let told = told.iter();
            told.map(|(id, position, entry)| {
                (identity(id), Told { position: *position, entry: entry.map(str::to_owned) })
            })
            .collect()
        };
        let (log, entries) = (
            [event("a"), event("b")],
            [entry("q-1", "c", "quarantined", None), entry("q-2", "b", "admitted", Some(2))],
        );
        let all = told(&[("a", Some(1), None), ("b", None, Some("q-2")), ("c", None, Some("q-1"))]);
        let check = |log: &[Value], entries: &[Value], told: &BTreeMap<_, _>, seen: &[_]| {
            Found::new(log, entries).check(told, seen).map(|_| ())
        };
        assert_eq!(check(&log, &entries, &all, &[identity("a")]), Ok(()));
        let wrong = |log: &[Value], entries: &[Value], told: &BTreeMap<_, _>, part: &str| {
            let wrong = check(log, entries, told, &[]).unwrap_err();
            assert!(wrong.contains(part), "{wrong}");
        };
        wrong(&[event("a"), event("b"), event("a")], &entries, &all, "twice");
        wrong(&log[..1], &entries, &all, "q-2 is admitted");
        wrong(&log, &entries[1..], &all, "was acknowledged as");
        wrong(&[&log[..], &[event("d")]].concat(), &entries, &all, "never sent");
        wrong(
            &[event("b"), event("a")],
            &[],
            &told(&[("a", Some(1), None), ("b", Some(2), None)]),
            "was acknowledged at",
        );
        wrong(&log, &[&entries[..], &[entry("q-3", "c", "held", None)]].concat(), &all, "two entries");
        wrong(&log, &[entries[0].clone(), entry("q-2", "b", "quarantined", None)], &all, "the log has it");
        let stranded = [entry("q-1", "c", "held", None), entries[1].clone()];
        wrong(&log, &stranded, &all, "nothing waits before it");
        wrong(
            &log,
            &entries,
            &told(&[("a", Some(1), None), ("b", None, None), ("c", None, Some("q-1"))]),
            "never acknowledged",
        );
        assert!(check(&log, &entries, &all, &[identity("b")]).is_err());
    }
}
