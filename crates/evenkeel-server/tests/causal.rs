//! Causal delivery in the real binary, killed again and again: what waits is still there, nothing is lost or doubled, and
//! nothing is in the log before what it knew.
#[cfg(test)]
mod common;

#[cfg(test)]
mod causal {
    use super::common::{Client, Random, Server, say, signal};
    use serde_json::{Value, json};
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
        thread,
        time::{Duration, Instant},
    };

    const SOURCES: [&str; 3] = ["north", "south", "west"];
    const EVENTS: usize = 240;
    const KILLS: usize = 12;

    /// An event as it is sent, with what it knew of each source.
    #[derive(Clone)]
    struct Made {
        source: usize,
        knows: [u64; 3],
        text: String,
    }

    fn write_project(dir: &Path) {
        fs::create_dir_all(dir.join("contracts")).unwrap();
        fs::create_dir_all(dir.join("models")).unwrap();
        let mut settings =
            String::from("[node]\nlisten = \"127.0.0.1:0\"\n[causal]\ntimeout_seconds = 0.2\nmax_events = 12\n");
        for source in SOURCES {
            settings.push_str(&format!("[[source]]\nname = \"{source}\"\n"));
        }
        fs::write(dir.join("evenkeel.toml"), settings).unwrap();
        let contract = "contract = \"noted\"\nversion = 1\nfrom = { source = \"*\", type = \"Noted\" }\nsubject = \"/place\"\n\
                        map = [{ from = \"/place\", to = \"place\", type = \"text\" }, { from = \"/n\", to = \"n\", type = \"i64\" }]\n\
                        example = [{ file = \"ok.json\", expect = \"admit\" }]\n";
        fs::write(dir.join("contracts/noted.toml"), contract).unwrap();
        let example = json!({"specversion": "1.0", "id": "1", "source": "north", "type": "Noted", "data": {"place": "p", "n": 1}});
        fs::write(dir.join("contracts/ok.json"), example.to_string()).unwrap();
        let model = "model = \"notes\"\nversion = 1\nkey = \"place\"\n[columns]\nplace = \"text\"\nn = { type = \"i64\", merge = \"pn_counter\" }\n\
                     [[on]]\nevent = \"noted\"\nkey = \"/subject\"\nadd = { n = \"/data/n\" }\n";
        fs::write(dir.join("models/notes.toml"), model).unwrap();
    }

    fn history(random: &mut Random) -> Vec<Made> {
        let mut clocks = [[0u64; 3]; 3];
        let make = |_| {
            let (source, other) = (random.index(3), random.index(3));
            let known = clocks[other];
            clocks[source].iter_mut().zip(known).for_each(|(own, other)| *own = (*own).max(other));
            clocks[source][source] += 1;
            let knows = clocks[source];
            let pairs =
                SOURCES.iter().zip(knows).filter(|(_, seq)| *seq > 0).map(|(name, seq)| format!("{name}={seq}"));
            let vclock = pairs.collect::<Vec<_>>().join(",");
            let text = json!({
                "specversion": "1.0", "id": knows[source].to_string(), "source": SOURCES[source], "type": "Noted",
                "vclock": vclock, "data": {"place": format!("p{}", random.index(5)), "n": 1},
            });
            Made { source, knows, text: text.to_string() }
        };
        (0..EVENTS).map(make).collect()
    }

    /// Each is sent not far from its place, some of them twice.
    fn disorder(made: &[Made], random: &mut Random) -> Vec<Made> {
        let mut order: Vec<_> =
            made.iter().cloned().enumerate().map(|(at, event)| (at + random.index(30), event)).collect();
        order.sort_by_key(|entry| entry.0);
        let twice = |(_, event): (usize, Made)| std::iter::repeat_n(event, 1 + usize::from(random.percent(10)));
        order.into_iter().flat_map(twice).collect()
    }

    /// Sends until it is acknowledged; a new server where there is none any more.
    fn send(client: &Client, batch: &[Made]) -> bool {
        let texts: Vec<_> = batch.iter().map(|event| event.text.as_str()).collect();
        client.try_publish(&texts).is_ok_and(|answer| answer.status == 202)
    }

    fn balanced(client: &Client) -> Value {
        let books = client.get("/v1/accounting?recount=true").ok(200);
        assert_eq!(books["balanced"], true, "{books}");
        books["total"].clone()
    }

    fn nothing_is_before_its_causes(log: &[Value], made: &[Made]) {
        let place =
            |event: &Value| (event["source"].as_str().unwrap().to_owned(), event["id"].as_str().unwrap().to_owned());
        let places: BTreeMap<_, _> = log.iter().map(place).zip(0..).collect();
        assert_eq!(places.len(), log.len(), "an event is in the log twice");
        for event in made {
            let own = places.get(&(SOURCES[event.source].to_owned(), event.knows[event.source].to_string()));
            for (index, source) in SOURCES.iter().enumerate() {
                let last = event.knows[index] - u64::from(index == event.source);
                for seq in 1..=last {
                    let cause = places.get(&((*source).to_owned(), seq.to_string()));
                    assert!(
                        own.is_none() || cause.is_some_and(|cause| cause < own.unwrap()),
                        "{} before {source} {seq}",
                        event.text
                    );
                }
            }
        }
    }

    #[test]
    fn what_waits_survives_being_killed_and_nothing_is_lost() {
        let mut random = Random::new(Random::seed(7));
        let folder = tempfile::tempdir().unwrap();
        let (project, data) = (folder.path().join("project"), folder.path().join("data"));
        write_project(&project);
        let made = history(&mut random);
        let order = disorder(&made, &mut random);
        let mut server = Server::start(&project, &data);
        let (mut client, mut kills, mut waited) = (server.client(), 0, 0);
        let mut sent = 0;
        while sent < order.len() {
            let batch = &order[sent..(sent + 1 + random.index(4)).min(order.len())];
            if kills < KILLS && random.percent(12) {
                // In the middle of a request: whether it was taken nobody knows, and it is sent again.
                let (text, ours) = (batch.to_vec(), client.clone());
                let sender = thread::spawn(move || send(&ours, &text));
                thread::sleep(Duration::from_micros(random.below(3000)));
                assert_eq!(signal(server.kill()), Some(9));
                let _ = sender.join().unwrap();
                kills += 1;
                server = Server::start(&project, &data);
                client = server.client();
                let total = balanced(&client);
                let aside = |name: &str| total[name].as_i64() > Some(0);
                waited += usize::from(aside("waiting") || aside("quarantined"));
                nothing_is_before_its_causes(&client.log(), &made);
            }
            if send(&client, batch) {
                sent += batch.len();
            }
        }
        let begun = Instant::now();
        while client.log().len() < EVENTS {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} of {EVENTS}: {}",
                client.log().len(),
                client.get("/v1/causal").text
            );
            thread::sleep(Duration::from_millis(50));
        }
        let log = client.log();
        nothing_is_before_its_causes(&log, &made);
        let total = balanced(&client);
        assert_eq!(
            (&total["admitted"], &total["waiting"], &total["quarantined"]),
            (&json!(EVENTS), &json!(0), &json!(0)),
            "{total}"
        );
        let stamps: BTreeSet<_> = log.iter().map(|event| event["hlc"].as_str().unwrap().to_owned()).collect();
        assert_eq!(stamps.len(), EVENTS, "a stamp was given twice");
        assert!(log.iter().all(|event| event["delivery"] == "causal"));
        assert!(kills >= 6 && waited >= 2, "{kills} kills, and {waited} times something waited then");
        let entries = client.quarantine();
        assert!(!entries.is_empty(), "nothing overflowed or was overdue");
        say(&format!(
            "causal: {kills} kills, after {waited} of which events waited; {} overdue events came back",
            entries.len()
        ));
    }
}
