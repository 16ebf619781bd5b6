//! Connections: served up to a limit and sent away beyond it, cut off when their headers do not come or their answers are not read, and ended
//! in time when the server stops.
//!
//! Not here: what is answered ([`super`]), and when the process ends ([`crate::serve`]).
use super::App;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_io_timeout::TimeoutStream;

/// Connections beyond those that are served, which wait for one of these to end or are told that there is no room. What
/// comes beyond these too waits to be accepted.
const BEYOND: usize = 64;

/// How long a connection waits for room, and how long it may take to be told that there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before accepting again where that failed: for want of files or memory, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often what the metrics keep is tidied.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until `stop` says when everything must have ended, and returns then at the latest. Requests that are under
/// way are answered; no connection is accepted any more.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    connections: u32,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    let (router, refusing) = (super::router(&app), super::refusing(&app));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    http.header_read_timeout(Duration::from_millis(app.limits.header_timeout_ms.max(1)));
    let slots = Arc::new(Semaphore::new(connections as usize));
    let doors = Arc::new(Semaphore::new(BEYOND));
    let mut upkeep = tokio::time::interval(UPKEEP);
    let deadline = loop {
        let next = async {
            // The semaphore is never closed; were it, there would be nothing to accept.
            let door = Arc::clone(&doors).acquire_owned().await.ok()?;
            Some((door, listener.accept().await))
        };
        tokio::select! {
            deadline = stopped(&mut stop) => break deadline,
            _ = upkeep.tick() => app.metrics.run_upkeep(),
            accepted = next => match accepted {
                Some((door, Ok((stream, _)))) => {
                    let write_timeout = Duration::from_millis(app.limits.write_timeout_ms.max(1));
                    let stream = patient(stream, write_timeout);
                    let (http, slots) = (http.clone(), Arc::clone(&slots));
                    let (router, refusing, stop) = (router.clone(), refusing.clone(), stop.clone());
                    tokio::spawn(async move {
                        match timeout(PATIENCE, slots.acquire_owned()).await {
                            Ok(Ok(slot)) => {
                                drop(door);
                                connection(http, stream, router, stop, slot).await;
                            }
                            _ => refuse(http, stream, refusing).await,
                        }
                    });
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
                None => break Instant::now(),
            },
        }
    };
    drop(listener);
    // When every slot is free, every connection has ended.
    if timeout_at(deadline, slots.acquire_many(connections)).await.is_err() {
        tracing::warn!("requests were still under way when the time to stop was over");
    }
}

/// The connection, which fails when nothing of what is to be written is taken for so long: a client that never reads
/// would keep its place for ever.
fn patient(stream: TcpStream, write_timeout: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    // An answer is written whole, so waiting to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(write_timeout));
    stream
}

async fn connection(
    http: http1::Builder,
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    router: Router,
    mut stop: watch::Receiver<Option<Instant>>,
    slot: OwnedSemaphorePermit,
) {
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        deadline = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            // What is left then is dropped, and so cut off.
            timeout_at(deadline, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    drop(slot);
}

/// Answers what is asked first, and ends the connection.
async fn refuse(mut http: http1::Builder, stream: Pin<Box<TimeoutStream<TcpStream>>>, refusing: Router) {
    http.keep_alive(false);
    // Whoever asks nothing in this time is told nothing.
    let _ = timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(refusing))).await;
}

/// Waits until the server is to stop; when everything must have ended.
async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // Whoever could say so is gone.
        Err(_) => Instant::now(),
    }
}
