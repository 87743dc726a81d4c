//! Copies of what comes to a service go to a candidate as well: what that answers is compared with what
//! was answered, counted, and dropped.
//!
//! Only what may be made twice is copied: requests whose method says so (RFC 9110, section 9.2), calls
//! that their link calls idempotent. The original never waits for its copy, and of copies there are but
//! so many at a time. What a copy leads to goes by the candidate's generation.

mod original;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::future::{Either, select};
use http::Method;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use skep_core::rollout::Share;
use skep_core::shadow::{Answer, Comparison, NotCopied, Outcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use wasmtime::component::Type;

pub(super) use self::original::{Original, OriginalCall, Watched};
use self::original::{Sight, called};
use super::{Call, CallCause, Invocation, Refused, Service, Wanted};
use crate::gateway::RequestId;
use crate::generation::Generation;
use crate::task;

/// Copies to one candidate at the same time.
const COPIES: usize = 64;

/// How long a copy may take beyond the original's end, if the candidate does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a service's calls are copied to; usually nowhere, which costs one look at a flag.
#[derive(Default)]
pub(super) struct Tap {
    is_open: AtomicBool,
    shadow: ArcSwapOption<Shadow>,
}

/// See the module.
pub(crate) struct Shadow {
    candidate: Arc<Service>,
    /// What copies go by.
    generation: Arc<Generation>,
    share: Share,
    writes: bool,
    places: Arc<Semaphore>,
    comparison: Mutex<Comparison>,
    over: watch::Sender<bool>,
}

impl Tap {
    pub(super) fn set(&self, shadow: Option<Arc<Shadow>>) {
        self.is_open.store(shadow.is_some(), Ordering::Release);
        self.shadow.store(shadow);
    }

    fn shadow(&self) -> Option<Arc<Shadow>> {
        match self.is_open.load(Ordering::Acquire) {
            true => self.shadow.load_full(),
            false => None,
        }
    }

    /// Has a request made again at the candidate, if there is one and it may be.
    pub(super) fn copy_request(&self, call: &Call) -> Option<Original> {
        self.shadow()?.copy_request(call)
    }

    /// The same with a call.
    pub(super) fn copy_call(&self, invocation: &Invocation) -> Option<OriginalCall> {
        self.shadow()?.copy_call(invocation)
    }
}

impl Shadow {
    /// Copies of that share of the calls, also of requests that write, if so.
    pub(crate) fn new(
        candidate: Arc<Service>,
        generation: Arc<Generation>,
        share: Share,
        writes: bool,
    ) -> Arc<Shadow> {
        Arc::new(Shadow {
            candidate,
            generation,
            share,
            writes,
            places: Arc::new(Semaphore::new(COPIES)),
            comparison: Mutex::default(),
            over: watch::Sender::new(false),
        })
    }

    /// Copies that are under way are let go.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    /// What has been found so far.
    pub(crate) fn comparison(&self) -> Comparison {
        self.comparison.lock().clone()
    }

    fn copy_request(self: Arc<Self>, call: &Call) -> Option<Original> {
        if !self.share.takes(fastrand::u32(..)) {
            return None;
        }
        let copied = match self.may_be_made_twice(call.request.method()) {
            true => call.copy(self.generation.clone()),
            false => return self.passed_over(NotCopied::NotIdempotent),
        };
        let Some(call) = copied else {
            return self.passed_over(NotCopied::NotToBeHad);
        };
        let place = self.places.clone().try_acquire_owned();
        let Ok(place) = place else {
            return self.passed_over(NotCopied::Busy);
        };
        let route = call.route.as_deref().unwrap_or("(through another service)");
        let label = Label {
            place: format!("{} {route}", call.request.method()),
            request: Some(call.request_id.clone()),
        };
        let (original, answered) = Original::new();
        let copy = self.clone().ask(call);
        let answered = async { answered.await.ok() };
        self.begin(label, place, copy, answered);
        Some(original)
    }

    /// RFC 9110, section 9.2.2.
    fn may_be_made_twice(&self, method: &Method) -> bool {
        let writes = matches!(*method, Method::PUT | Method::DELETE);
        matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || (writes && self.writes)
    }

    fn copy_call(self: Arc<Self>, invocation: &Invocation) -> Option<OriginalCall> {
        // The host's own.
        if matches!(invocation.wanted, Wanted::Inside(_)) || !self.share.takes(fastrand::u32(..)) {
            return None;
        }
        let Some(types) = invocation.repeatable.clone() else {
            return self.passed_over(NotCopied::NotIdempotent);
        };
        let Some(invocation) = invocation.copy(self.generation.clone()) else {
            return self.passed_over(NotCopied::NotToBeHad);
        };
        let place = self.places.clone().try_acquire_owned();
        let Ok(place) = place else {
            return self.passed_over(NotCopied::Busy);
        };
        let function = &invocation.function;
        let label = Label {
            place: format!("{}#{}", function.interface, function.name),
            request: invocation.errand.request.clone(),
        };
        let (original, answered) = OriginalCall::new();
        let copy = self.clone().invoke(invocation, types.clone());
        let answered = async move { answered.await.ok()?.answer(&types) };
        self.begin(label, place, copy, answered);
        Some(original)
    }

    fn passed_over<T>(&self, why: NotCopied) -> Option<T> {
        self.comparison.lock().not_copied(why);
        None
    }

    /// Makes the copy, as long as somebody waits for the original.
    fn begin(
        self: Arc<Self>,
        label: Label,
        place: OwnedSemaphorePermit,
        copy: impl Future<Output = Option<Answer>> + Send + 'static,
        original: impl Future<Output = Option<Answer>> + Send + 'static,
    ) {
        task::spawn(task::Kind::Shadow, async move {
            let _place = place;
            let mut over = self.over.subscribe();
            let both = pin!(self.both(copy, original));
            let over = pin!(over.wait_for(|over| *over));
            let both = match select(both, over).await {
                Either::Left((both, _)) => both,
                Either::Right(_) => None,
            };
            let mut comparison = self.comparison.lock();
            match both {
                Some((active, copy)) => {
                    let request = label.request.as_ref().map(RequestId::as_str);
                    comparison.compare(&label.place, request, &active, &copy);
                }
                None => comparison.not_compared(),
            }
        });
    }

    async fn both(
        &self,
        copy: impl Future<Output = Option<Answer>>,
        original: impl Future<Output = Option<Answer>>,
    ) -> Option<(Answer, Answer)> {
        let began = Instant::now();
        match select(pin!(copy), pin!(original)).await {
            Either::Left((copy, original)) => {
                let copy = copy?;
                Some((original.await?, copy))
            }
            Either::Right((original, copy)) => {
                let original = original?;
                let copy = tokio::time::timeout(self.patience(), copy).await;
                let copy = copy.unwrap_or_else(|_| {
                    Some(Answer {
                        outcome: Outcome::Failed("deadline".to_owned()),
                        took: began.elapsed(),
                    })
                });
                Some((original, copy?))
            }
        }
    }

    fn patience(&self) -> Duration {
        let candidate = self.candidate.active();
        candidate.map_or(PATIENCE, |revision| revision.limits().deadline)
    }

    /// What the candidate answers to a request; none if it has no room.
    async fn ask(self: Arc<Self>, call: Call) -> Option<Answer> {
        let began = Instant::now();
        let head_only = call.head_only;
        let (answer, _) = self.candidate.call(call).await;
        let took = began.elapsed();
        let response = match answer {
            Ok(response) => response,
            Err(Refused::Shed(_)) => return None,
            Err(refused) => {
                let outcome = Outcome::Failed(CallCause::Refused(refused).label().to_owned());
                return Some(Answer { outcome, took });
            }
        };
        let mut sight = Sight::of(&response, took);
        let mut body = response.into_body();
        while !head_only && let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => sight.frame(frame.data_ref()),
                Err(error) => return Some(sight.broken(&error)),
            }
        }
        Some(sight.whole())
    }

    /// What the candidate answers to a call; none if it has no room.
    async fn invoke(
        self: Arc<Self>,
        mut invocation: Invocation,
        types: Arc<[Type]>,
    ) -> Option<Answer> {
        let began = Instant::now();
        let answered = self.candidate.invoke(&mut invocation, began).await;
        called(&answered, began.elapsed())?.answer(&types)
    }
}

/// What was copied, for the report.
struct Label {
    place: String,
    request: Option<RequestId>,
}
