//! Connections: accepted up to a limit, cut off when their headers do not come or their answers are not read, and ended
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
    time::{Instant, sleep, timeout_at},
};
use tokio_io_timeout::TimeoutStream;

/// Connections at a time; more wait to be accepted. Below the usual limit of open files, which is 1024.
const CONNECTIONS: u32 = 512;

/// How long to wait before accepting again where that failed: for want of files or memory, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often what the metrics keep is tidied.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until `stop` says when everything must have ended, and returns then at the latest. Requests that are under
/// way are answered; no connection is accepted any more.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<Option<Instant>>) {
    let router = super::router(&app);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    http.header_read_timeout(Duration::from_millis(app.limits.header_timeout_ms.max(1)));
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let mut upkeep = tokio::time::interval(UPKEEP);
    let deadline = loop {
        let next = async {
            // The semaphore is never closed; were it, there would be nothing to accept.
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        tokio::select! {
            deadline = stopped(&mut stop) => break deadline,
            _ = upkeep.tick() => app.metrics.run_upkeep(),
            accepted = next => match accepted {
                Some((slot, Ok((stream, _)))) => {
                    let write_timeout = Duration::from_millis(app.limits.write_timeout_ms.max(1));
                    let stream = patient(stream, write_timeout);
                    tokio::spawn(connection(http.clone(), stream, router.clone(), stop.clone(), slot));
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
    if timeout_at(deadline, slots.acquire_many(CONNECTIONS)).await.is_err() {
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

/// Waits until the server is to stop; when everything must have ended.
async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // Whoever could say so is gone.
        Err(_) => Instant::now(),
    }
}
