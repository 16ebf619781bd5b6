//! Many clients at once, one event each at a time: ours through the engine's group commit, the rival's through the
//! plainest group commit there is, one thread that writes whatever has come in the meantime.
use crate::{
    Result, events, folder,
    raw::{RawLog, Record},
};
use evenkeel::{Engine, Options, contract::project::Project, project};
use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::Instant,
};

/// The most events that one transaction of a group commit takes, on both sides.
const MOST: usize = 4096;

/// An engine that only takes events: no models, so that what is measured is the append.
pub(crate) fn engine(dir: &Path) -> Result<Engine> {
    let project = Project { models: Vec::new(), ..events::project()? };
    let store = folder::open_warm(dir)?;
    Ok(project::start(&project, store.log, store.models, None, folder::clock(), Options::default())?)
}

/// Runs one thread a share, all starting at once, and returns the events per second.
pub(crate) fn at_once<T: Send>(shares: Vec<T>, run: impl Fn(T) -> Result<usize> + Sync) -> Result<f64> {
    let start = Barrier::new(shares.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let (run, start) = (&run, &start);
                scope.spawn(move || {
                    start.wait();
                    run(share)
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        let mut events = 0;
        for thread in threads {
            events += thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(events as f64 / began.elapsed().as_secs_f64())
    })
}

/// Deals `items` out to `clients`.
pub(crate) fn deal<T: Clone>(items: &[T], clients: usize) -> Vec<Vec<T>> {
    let size = items.len().div_ceil(clients).max(1);
    items.chunks(size).map(<[T]>::to_vec).collect()
}

/// Ours: each client publishes batches of `batch` and waits for each to be durable. Through gate, intake and group
/// commit. All events are admitted.
pub(crate) fn ours(dir: &Path, events: &[Vec<u8>], clients: usize, batch: usize) -> Result<f64> {
    let engine = engine(dir)?;
    let published = publishing(&engine, events, clients, batch);
    engine.stop();
    match published? {
        (rate, 0) => Ok(rate),
        (_, held) => Err(format!("{held} events were held in quarantine").into()),
    }
}

/// As [`ours`], where keys may be parked; also how many events were held behind what waits in quarantine.
pub(crate) fn publishing(engine: &Engine, events: &[Vec<u8>], clients: usize, batch: usize) -> Result<(f64, usize)> {
    let held = AtomicUsize::new(0);
    let rate = at_once(deal(events, clients), |share| {
        for events in share.chunks(batch) {
            for receipt in engine.publish_blocking(events.to_vec(), None)? {
                match (receipt.outcome, receipt.reason) {
                    ("admitted", _) => {}
                    ("quarantined", Some("held_behind")) => {
                        held.fetch_add(1, Ordering::Relaxed);
                    }
                    (outcome, reason) => {
                        return Err(format!("an event was {outcome} ({})", reason.unwrap_or_default()).into());
                    }
                }
            }
        }
        Ok(share.len())
    })?;
    Ok((rate, held.into_inner()))
}

/// The rival: each client hands a prepared record to the writer and waits until it is durable.
pub(crate) fn raw(dir: &Path, records: &[Record], clients: usize) -> Result<f64> {
    let mut log = RawLog::open(dir)?;
    let clock = folder::clock();
    let (send, receive) = mpsc::channel::<(&Record, SyncSender<()>)>();
    thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<()> {
            let mut batch = Vec::new();
            while let Ok(first) = receive.recv() {
                batch.push(first);
                batch.extend(receive.try_iter().take(MOST - 1));
                log.append(batch.iter().map(|(record, _)| *record), clock.now().as_micros())?;
                for (_, reply) in batch.drain(..) {
                    let _ = reply.send(());
                }
            }
            Ok(())
        });
        let size = records.len().div_ceil(clients).max(1);
        let shares: Vec<_> = records.chunks(size).map(|share| (share, send.clone())).collect();
        drop(send);
        let rate = at_once(shares, |(share, send)| {
            let (done, is_done) = mpsc::sync_channel(1);
            for record in share {
                send.send((record, done.clone())).map_err(|_| "the writer has ended")?;
                is_done.recv()?;
            }
            Ok(share.len())
        });
        writer.join().map_err(|_| "the writer panicked")??;
        rate
    })
}
