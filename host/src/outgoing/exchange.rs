//! One request and its response on a connection. The connection goes back to the pool when both
//! directions have ended well; if anybody lets go before that, it is cut, so that a peer never
//! waits for a guest that has gone and never takes a broken body for a whole one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::Error;

use super::connection::Connection;
use super::limits::Timeouts;
use super::pool::Pool;
use super::upload::{Stage, UploadWatch};
use super::{Sending, Slot};

pub(super) struct Exchange {
    watch: Arc<UploadWatch>,
    pool: Arc<Pool>,
    held: Mutex<Held>,
}

/// What the exchange occupies.
struct Held {
    connection: Option<Connection>,
    slot: Option<Slot>,
    /// The response has ended while the request body had not.
    answered: bool,
}

impl Exchange {
    pub(super) fn new(
        watch: Arc<UploadWatch>,
        pool: Arc<Pool>,
        connection: Connection,
        slot: Option<Slot>,
    ) -> Arc<Self> {
        watch.start();
        Arc::new(Self {
            watch,
            pool,
            held: Mutex::new(Held {
                connection: Some(connection),
                slot,
                answered: false,
            }),
        })
    }

    /// The response has ended well.
    fn response_ended(&self) {
        if self.watch.is_sent() {
            self.give_back();
        } else if self.watch.is_over() {
            self.cut();
        } else {
            self.held.lock().answered = true;
            // The body may have ended between the question and the note.
            if self.watch.is_over() {
                self.upload_ended();
            }
        }
    }

    /// The request body is over, well or not.
    fn upload_ended(&self) {
        if !self.held.lock().answered {
            return;
        }
        if self.watch.is_sent() {
            self.give_back();
        } else {
            self.cut();
        }
    }

    fn give_back(&self) {
        let (connection, _slot) = self.release();
        if let Some(connection) = connection {
            self.pool.put(connection);
        }
    }

    /// Ends both directions at once. A connection that is this exchange's own closes here; on a
    /// shared one the stream is reset, and if the peer has stopped taking its body, which a reset
    /// cannot reach, nobody else is put on that connection any more.
    fn cut(&self) {
        let unfinished = !self.watch.is_over();
        self.watch.cut();
        let (connection, _slot) = self.release();
        if let Some(connection) = connection.filter(|c| unfinished && c.is_shared()) {
            self.pool.forget(&connection);
        }
    }

    fn release(&self) -> (Option<Connection>, Option<Slot>) {
        let mut held = self.held.lock();
        (held.connection.take(), held.slot.take())
    }
}

/// The response's hold on the exchange. Dropped, it cuts.
pub(super) struct Guard {
    exchange: Option<Arc<Exchange>>,
}

impl Guard {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange: Some(exchange),
        }
    }

    /// The response has ended well.
    pub(super) fn finish(mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.response_ended();
        }
    }

    /// The connection turned out to be dead and the request unsent: takes the slot for the next
    /// try.
    pub(super) fn dissolve(mut self) -> Option<Slot> {
        let (_connection, slot) = self.exchange.take()?.release();
        slot
    }

    /// The request body's hold on the exchange: tells how it ended; dropped before that, it cuts.
    pub(super) fn sending(&self, timeouts: Timeouts) -> Sending {
        let unfinished = self.exchange.as_ref().filter(|x| !x.watch.is_sent());
        let Some(exchange) = unfinished else {
            return Box::new(std::future::ready(Ok(())));
        };
        let mut hold = SendingHold {
            exchange: Some(Arc::clone(exchange)),
        };
        let watch = Arc::clone(&exchange.watch);
        Box::new(async move {
            tokio::select! {
                biased;
                outcome = watch.outcome() => {
                    hold.finish();
                    outcome
                }
                late = patience(&watch, timeouts) => Err(late),
            }
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.cut();
        }
    }
}

struct SendingHold {
    exchange: Option<Arc<Exchange>>,
}

impl SendingHold {
    fn finish(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.upload_ended();
        }
    }
}

impl Drop for SendingHold {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.cut();
        }
    }
}

/// While the guest is the slow one, how often to look whether it still is: the precision with
/// which very short time-outs of a guest are kept.
const GUEST_RECHECK: Duration = Duration::from_millis(50);

/// Ends when the peer has kept us waiting for too long: for its answer once the request is sent,
/// or for taking the next piece of it. Waiting for the guest does not count; its own deadline does.
pub(super) async fn patience(watch: &UploadWatch, timeouts: Timeouts) -> Error {
    loop {
        let ending = watch.ending();
        let now = Instant::now();
        let (due, late) = watch.look(|stage| match stage {
            Stage::Network { since } => (
                *since + timeouts.between_bytes,
                Some(Error::ConnectionWriteTimeout),
            ),
            Stage::Guest => (now + timeouts.between_bytes.max(GUEST_RECHECK), None),
            Stage::Sent { at } | Stage::Failed { at, .. } => (
                *at + timeouts.first_byte,
                Some(Error::ConnectionReadTimeout),
            ),
        });
        match late {
            Some(late) if due <= now => return late,
            _ => {}
        }
        tokio::select! {
            () = ending => {}
            () = sleep_until(due) => {}
        }
    }
}
