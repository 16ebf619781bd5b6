//! A bar on stderr while a model is rebuilt, here or by a server: how far it is, and how long it will take.
//!
//! It shows what the model's drift report says of the rebuild. Nothing is drawn, and nothing is asked, where stderr is no
//! terminal or the answer is wanted as JSON. Not here: the work itself, which goes on in a thread beside.
use super::{Context, access::Access};
use crate::output::{Document, Failure, at, count, number, thousands};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    future::pending,
    io::{self, IsTerminal},
    thread,
    time::Duration,
};
use tokio::{
    runtime, signal,
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

/// How often the drift report is asked for.
const EVERY: Duration = Duration::from_millis(200);

/// The code a program ends with that a second Ctrl-C broke off.
const BROKEN_OFF: i32 = 130;

/// Does long work on a model and shows how its rebuild gets on. Ctrl-C stops an engine of our own in order, which calls
/// the work off; a server goes on with it. A second Ctrl-C breaks off: the model is as it was then too.
///
/// # Errors
/// Those of the work.
pub(super) fn watched(
    context: &Context,
    access: &Access,
    model: &str,
    work: impl FnOnce() -> Result<Document, Failure> + Send,
) -> Result<Document, Failure> {
    let bar = bar(!context.out.json && io::stderr().is_terminal());
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::unreachable(format!("the work cannot be watched: {error}")))?;
    let poll = || Seen::of(&access.drift(Some(model)).ok()?);
    let is_ours = !access.is_served();
    let done = thread::scope(|scope| {
        let (tell, told) = oneshot::channel();
        let stop = |asked: u32| {
            bar.finish_and_clear();
            if asked > 1 {
                std::process::exit(BROKEN_OFF);
            }
            context.out.note("stopping; the model stays as it is. Ctrl-C again breaks off at once");
            // Beside, so that the next Ctrl-C is heard.
            scope.spawn(|| access.stop());
        };
        // Nobody listens only where this thread has panicked.
        scope.spawn(move || tell.send(work()).is_ok());
        runtime.block_on(watch(told, &bar, poll, is_ours.then_some(stop)))
    });
    bar.finish_and_clear();
    done
}

/// Shows what `poll` tells until the work is done; `stop` is told how often Ctrl-C was pressed. Where it is not given
/// Ctrl-C does what it always does.
async fn watch(
    told: oneshot::Receiver<Result<Document, Failure>>,
    bar: &ProgressBar,
    poll: impl Fn() -> Option<Seen>,
    stop: Option<impl Fn(u32)>,
) -> Result<Document, Failure> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = 0;
    let mut told = told;
    loop {
        let interrupted = async {
            match &stop {
                Some(stop) if signal::ctrl_c().await.is_ok() => stop,
                _ => pending().await,
            }
        };
        tokio::select! {
            done = &mut told => {
                return done.unwrap_or_else(|_| Err(Failure::unreachable("the work ended without an answer")));
            }
            stop = interrupted => {
                asked += 1;
                stop(asked);
            }
            _ = ticks.tick(), if !bar.is_hidden() => {
                if let Some(seen) = poll() {
                    seen.show(bar);
                }
            }
        }
    }
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    events: u64,
    of: u64,
    eta_seconds: Option<f64>,
}

impl Seen {
    /// What a drift report of one model tells; `None` where it is not being rebuilt.
    fn of(drift: &Document) -> Option<Self> {
        let rebuild = at(drift.items("models").first()?, &["rebuild"]);
        rebuild.as_object()?;
        Some(Self {
            events: count(rebuild, &["events"]),
            of: count(rebuild, &["events_total"]),
            eta_seconds: number(rebuild, &["eta_seconds"]),
        })
    }

    fn show(self, bar: &ProgressBar) {
        // More may come in meanwhile than there was when it began.
        bar.set_length(self.of.max(self.events));
        bar.set_position(self.events);
        let left = match self.eta_seconds {
            // Every event is folded; the rows are looked at again before they are put in place.
            _ if self.events >= self.of => "comparing".to_owned(),
            Some(seconds) => format!("{} s left", thousands(seconds.ceil() as u64)),
            None => "starting".to_owned(),
        };
        bar.set_message(left);
    }
}

fn bar(is_shown: bool) -> ProgressBar {
    if !is_shown {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} events {elapsed_precise} {msg}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn report(rebuild: &str) -> Document {
        Document::parse(format!("{{\"models\":[{{\"model\":\"m\",\"rebuild\":{rebuild}}}],\"consumers\":[]}}")).unwrap()
    }

    fn shown(rebuild: &str) -> Option<(u64, Option<u64>, String)> {
        let bar = bar(false);
        Seen::of(&report(rebuild))?.show(&bar);
        Some((bar.position(), bar.length(), bar.message()))
    }

    #[test]
    fn a_report_is_shown_as_far_as_it_tells() {
        assert_eq!(shown("null"), None);
        assert_eq!(Seen::of(&Document::parse("{\"models\":[]}".into()).unwrap()), None);
        let of = |n, length, text: &str| Some((n, Some(length), text.to_owned()));
        let start = r#"{"events":0,"events_total":9,"seconds":0.1,"eta_seconds":null}"#;
        assert_eq!(shown(start), of(0, 9, "starting"));
        let middle = r#"{"events":400,"events_total":9000,"seconds":0.5,"eta_seconds":1234.2}"#;
        assert_eq!(shown(middle), of(400, 9000, "1,235 s left"));
        let more = r#"{"events":12,"events_total":9,"seconds":0.5,"eta_seconds":0}"#;
        assert_eq!(shown(more), of(12, 12, "comparing"));
    }

    #[test]
    fn it_is_asked_until_the_work_is_done_and_not_at_all_where_nothing_is_shown() {
        // A terminal that is not there, so that the bar is drawn as on one.
        let drawn = || {
            let target = ProgressDrawTarget::term_like(Box::new(Nowhere));
            ProgressBar::with_draw_target(Some(0), target)
        };
        for (bar, asks) in [(drawn(), 3), (bar(false), 0)] {
            assert_eq!(bar.is_hidden(), asks == 0);
            let (tell, told) = oneshot::channel();
            let tell = RefCell::new(Some(tell));
            let end = || tell.take().unwrap().send(Document::parse("{}".into())).unwrap();
            let asked = Cell::new(0);
            let poll = || {
                asked.set(asked.get() + 1);
                if asked.get() == 3 {
                    end();
                }
                Seen::of(&report(&format!(r#"{{"events":{},"events_total":9}}"#, asked.get())))
            };
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if asks == 0 {
                end();
            }
            let done = runtime.block_on(watch(told, &bar, poll, None::<fn(u32)>));
            assert_eq!(done.unwrap().text(), "{}");
            assert_eq!((asked.get(), bar.position()), (asks, asks));
        }
    }

    #[derive(Debug)]
    struct Nowhere;

    impl indicatif::TermLike for Nowhere {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn write_str(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
