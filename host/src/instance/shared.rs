//! Several requests at once on one instance: WASI 0.3's `handler`.
//!
//! Such an instance is an actor: one task owns its store and runs wasmtime's event loop in it;
//! requests reach it through a channel and it answers each through its own. A trap ends all the
//! requests on it, which is what sharing an instance means.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, Stream};
use http_body::Frame;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use wasmtime::component::{Accessor, Resource, TypedFunc};
use wasmtime::{AsContextMut, Store, format_err};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView, p3};

use super::errand::Errand;
use super::meter::Meter;
use super::tasks::Tasks;
use super::{Failure, GuestState, Mould, cut_text};
use crate::scheduler::Computation;
use crate::service::{DOING_TOLD, Doing, Lost};
use crate::task;

/// The compiled and linked code of a revision, with the mould of its instances.
pub struct Code {
    pub(crate) pre: ServicePre<GuestState>,
    pub(crate) mould: Mould,
}

/// How instances are shared and for how long they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Requests that one instance serves in its life.
    pub requests: u64,
    /// Requests on one instance at the same time.
    pub concurrent: u32,
    /// Instances kept ready, also when idle.
    pub warm: usize,
    /// How long an instance without a request is kept.
    pub idle: Duration,
}

/// What several holders must learn about the end of an instance.
type SharedFailure = Arc<Failure>;

struct Job {
    /// The request's on its instance.
    number: u64,
    request: http::Request<WasiBody>,
    errand: Errand,
    answer: oneshot::Sender<Result<http::Response<WasiBody>, SharedFailure>>,
}

/// The part of an actor that its requests see.
struct Actor {
    instance: AtomicU64,
    jobs: mpsc::UnboundedSender<Job>,
    /// Requests on it now: the answer has not been given, or its body is not finished.
    in_flight: AtomicU32,
    /// Requests given to it so far.
    given: AtomicU64,
    /// It takes no more requests and ends when the last has gone.
    retired: AtomicBool,
    /// Something above has changed.
    changed: Notify,
    /// Why it ended, if it crashed.
    crash: Mutex<Option<SharedFailure>>,
    /// What it is doing, by the number of the request on it; when it ends, what it was doing.
    doing: Mutex<HashMap<u64, Doing>>,
    /// What it was doing when it ended, before those who asked had learnt of it.
    was_doing: Mutex<Vec<Doing>>,
    /// A request on it has outlived its deadline; nobody but the actor's end can stop it.
    cut: AtomicBool,
    meter: Arc<Meter>,
}

/// Told of every instance that crashed: why, and what was lost.
pub(crate) type OnCrash = Box<dyn Fn(SharedFailure, Lost) + Send + Sync>;

/// The shared instances of one revision.
pub struct Group {
    code: Arc<Code>,
    sharing: Sharing,
    on_crash: OnCrash,
    actors: Mutex<HashMap<u64, Arc<Actor>>>,
    numbers: AtomicU64,
}

impl Group {
    pub(crate) fn new(code: Arc<Code>, sharing: Sharing, on_crash: OnCrash) -> Arc<Group> {
        let (actors, numbers) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Group {
            code,
            sharing,
            on_crash,
            actors,
            numbers,
        })
    }

    /// Proves that the component can be instantiated.
    pub(crate) async fn try_instance(&self) -> Result<(), Failure> {
        let meter = Meter::new(self.code.mould.limits.cpu);
        let making = {
            let (code, meter) = (self.code.clone(), meter.clone());
            async move {
                let mut store = code.mould.store(code.mould.number(), meter);
                let made = code.pre.instantiate_async(&mut store).await;
                made.map(drop).map_err(|error| {
                    let failure = Failure::of_instantiation(error, store.data());
                    code.mould.bury(store, Some(&failure));
                    failure
                })
            }
        };
        let made = Computation::background(&self.code.mould.share, &meter, making).await;
        made.unwrap_or_else(|panicked| Err(Failure::of_panic(panicked)))
    }

    /// Instances now, busy or idle.
    pub(crate) fn instances(&self) -> usize {
        self.actors.lock().len()
    }

    /// Starts instances up to the warm minimum and ends those that have been idle for too long.
    pub(crate) fn tend(self: &Arc<Group>) {
        let missing = self.sharing.warm.saturating_sub(self.instances());
        for _ in 0..missing {
            self.start();
        }
    }

    /// Memory is short: no instance is kept that is not at work.
    pub(crate) fn empty(&self) {
        for actor in self.actors.lock().values() {
            if actor.in_flight.load(Ordering::Relaxed) == 0 {
                actor.retire();
            }
        }
    }

    /// A restart: no instance takes another request; each ends when its last one has gone.
    pub(crate) fn retire(&self) {
        for actor in self.actors.lock().values() {
            actor.retire();
        }
    }

    /// Ends all instances now, with the requests on them.
    pub(crate) fn cut(&self) {
        for actor in self.actors.lock().values() {
            actor.cut();
        }
    }

    /// Gives the request to the busiest instance that has room, or to a new one. Whoever calls has
    /// been admitted, so that there are never more instances than the manifest allows.
    pub(crate) fn send(
        self: &Arc<Group>,
        request: http::Request<WasiBody>,
        errand: Errand,
        doing: Doing,
    ) -> Pending {
        let (answer, receiver) = oneshot::channel();
        let (actor, number) = self.assign();
        actor.doing.lock().insert(number, doing);
        let job = Job {
            number,
            request,
            errand,
            answer,
        };
        if actor.jobs.send(job).is_err() {
            // It has just ended. Its channel's other half answered by being dropped, and so will
            // this one: the request is lost with it, which the caller may retry.
            tracing::debug!("an instance ended while a request was being given to it");
        }
        Pending {
            actor: Some(Use { actor, number }),
            receiver,
        }
    }

    /// The instance for a request, and the request's number on it.
    fn assign(self: &Arc<Group>) -> (Arc<Actor>, u64) {
        let mut actors = self.actors.lock();
        let fits = |actor: &&Arc<Actor>| {
            !actor.retired.load(Ordering::Relaxed)
                && actor.in_flight.load(Ordering::Relaxed) < self.sharing.concurrent
        };
        let busiest = actors
            .values()
            .filter(fits)
            .max_by_key(|a| a.in_flight.load(Ordering::Relaxed));
        let actor = match busiest {
            Some(actor) => actor.clone(),
            None => self.spawn(&mut actors),
        };
        actor.in_flight.fetch_add(1, Ordering::Relaxed);
        let number = actor.given.fetch_add(1, Ordering::Relaxed) + 1;
        if number >= self.sharing.requests {
            actor.retired.store(true, Ordering::Relaxed);
        }
        (actor, number)
    }

    fn start(self: &Arc<Group>) {
        let mut actors = self.actors.lock();
        self.spawn(&mut actors);
    }

    fn spawn(self: &Arc<Group>, actors: &mut HashMap<u64, Arc<Actor>>) -> Arc<Actor> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let actor = Arc::new(Actor {
            instance: AtomicU64::new(0),
            jobs,
            in_flight: AtomicU32::new(0),
            given: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            changed: Notify::new(),
            crash: Mutex::default(),
            doing: Mutex::default(),
            was_doing: Mutex::default(),
            cut: AtomicBool::new(false),
            meter: Meter::new(self.code.mould.limits.cpu),
        });
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        actors.insert(number, actor.clone());
        let group = self.clone();
        let running = actor.clone();
        task::spawn(task::Kind::Instance, async move {
            group.live(&running, queue).await;
            group.actors.lock().remove(&number);
        });
        actor
    }

    /// An actor's life, from instantiation to the drop of its store.
    async fn live(&self, actor: &Arc<Actor>, queue: mpsc::UnboundedReceiver<Job>) {
        let serving = serve(self.code.clone(), actor.clone(), queue, self.sharing.idle);
        let mut serving = Computation::of_many(&self.code.mould.share, &actor.meter, serving);
        // Outside of the poll, which it outlives: a `Notified` that is dropped wakes nobody.
        let mut changed = pin!(actor.changed.notified());
        let result = std::future::poll_fn(|cx| {
            while changed.as_mut().poll(cx).is_ready() {
                changed.set(actor.changed.notified());
                serving.nudge();
            }
            if actor.cut.load(Ordering::Relaxed) {
                return Poll::Ready(Err(actor.ended_by(Failure::Deadline)));
            }
            let ended = ready!(serving.poll(cx));
            Poll::Ready(
                ended.unwrap_or_else(|panicked| Err(actor.ended_by(Failure::of_panic(panicked)))),
            )
        })
        .await;
        actor.retired.store(true, Ordering::Relaxed);
        if let Err(failure) = result
            && failure.is_crash()
        {
            let lost = Lost {
                instance: actor.instance.load(Ordering::Relaxed),
                doing: std::mem::take(&mut *actor.was_doing.lock()),
                cpu: actor.meter.used(),
            };
            (self.on_crash)(failure, lost);
        }
    }
}

impl Actor {
    /// Writes down why it ends, before its store is dropped: a dropped store closes its streams as
    /// if they had come to their end, and whoever reads them must be able to tell.
    fn ended_by(&self, failure: Failure) -> SharedFailure {
        let failure = Arc::new(failure);
        // Before its requests learn of the end: the next one must not be given to it.
        self.retired.store(true, Ordering::Release);
        let doing: Vec<Doing> = self
            .doing
            .lock()
            .values()
            .take(DOING_TOLD)
            .cloned()
            .collect();
        *self.was_doing.lock() = doing;
        *self.crash.lock() = Some(failure.clone());
        failure
    }

    /// Requests that are over need their generations no more.
    fn forget_ended(&self, tasks: &mut Tasks) {
        let doing = self.doing.lock();
        if tasks.len() > doing.len() {
            tasks.keep(|number| doing.contains_key(&number));
        }
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

async fn serve(
    code: Arc<Code>,
    actor: Arc<Actor>,
    mut queue: mpsc::UnboundedReceiver<Job>,
    idle: Duration,
) -> Result<(), SharedFailure> {
    let mut store = code.mould.store(code.mould.number(), actor.meter.clone());
    actor
        .instance
        .store(store.data().instance(), Ordering::Relaxed);
    let made = instantiate(&code, &mut store).await;
    let handle = match made {
        Ok(handle) => handle,
        Err(error) => {
            let failure = actor.ended_by(Failure::of_instantiation(error, store.data()));
            code.mould.bury(store, Some(&failure));
            return Err(failure);
        }
    };
    let at_work = store.data().set_to_work();
    let served = store
        .run_concurrent(async |accessor| accept(accessor, handle, &actor, &mut queue, idle).await)
        .await;
    drop(at_work);
    served.and_then(|served| served).map_err(|error| {
        let failure = actor.ended_by(Failure::of_call(error, store.data()));
        code.mould.bury(store, Some(&failure));
        failure
    })
}

/// `wasi:http/handler@0.3.0#handle`.
type Handle = TypedFunc<(Resource<p3::Request>,), (Result<Resource<p3::Response>, ErrorCode>,)>;

/// The interface that [`ServicePre`] has found.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// The function itself and not bindings of it, since what it is called for is known by the call's task.
async fn instantiate(code: &Code, store: &mut Store<GuestState>) -> wasmtime::Result<Handle> {
    let instance = code
        .pre
        .instance_pre()
        .instantiate_async(&mut *store)
        .await?;
    let interface = instance.get_export_index(&mut *store, None, HANDLER);
    let interface = interface.ok_or_else(|| format_err!("it does not export {HANDLER}"))?;
    let handle = instance.get_export_index(&mut *store, Some(&interface), "handle");
    let handle = handle.ok_or_else(|| format_err!("{HANDLER} has no `handle`"))?;
    instance.get_typed_func(store, handle)
}

/// Takes requests until the instance is retired and its last request has gone.
async fn accept(
    accessor: &Accessor<GuestState>,
    handle: Handle,
    actor: &Actor,
    queue: &mut mpsc::UnboundedReceiver<Job>,
    idle: Duration,
) -> wasmtime::Result<()> {
    let mut answering = pin!(FuturesUnordered::new());
    let mut idle_until = pin!(tokio::time::sleep(idle));
    let mut busy = false;
    std::future::poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(answered)) = answering.as_mut().poll_next(cx) {
                let answered: wasmtime::Result<()> = answered;
                answered?;
            }
            if let Poll::Ready(Some(job)) = queue.poll_recv(cx) {
                actor.meter.reset();
                accessor.with(|mut store| {
                    store.as_context_mut().set_epoch_deadline(1);
                });
                let alone = actor.in_flight.load(Ordering::Relaxed) <= 1;
                answering.push(answer(accessor, handle, job, alone));
                continue;
            }
            break;
        }
        if actor.in_flight.load(Ordering::Acquire) > 0 {
            busy = true;
            accessor.with(|mut store| actor.forget_ended(&mut store.get().tasks));
            return Poll::Pending;
        }
        if std::mem::take(&mut busy) {
            accessor.with(|mut store| store.get().rest());
            idle_until
                .as_mut()
                .reset(tokio::time::Instant::now() + idle);
        }
        let waited = idle_until.as_mut().poll(cx).is_ready();
        if actor.retired.load(Ordering::Relaxed) {
            // What the guest still does after its last response may take as long as an idle
            // instance is kept; nobody waits for it.
            let at_rest = accessor.poll_no_interesting_tasks(cx).is_ready();
            if at_rest || waited {
                return Poll::Ready(Ok(()));
            }
        } else if waited {
            actor.retired.store(true, Ordering::Relaxed);
            idle_until
                .as_mut()
                .reset(tokio::time::Instant::now() + idle);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// One request on the guest, up to its response's head. Only an error that ends the instance is
/// returned; what the guest says in good order goes to the caller.
async fn answer(
    accessor: &Accessor<GuestState>,
    handle: Handle,
    job: Job,
    alone: bool,
) -> wasmtime::Result<()> {
    let Job {
        number,
        request,
        errand,
        answer,
    } = job;
    accessor.with(|mut store| store.get().appraise_at_rest())?;
    let (request, sent) = accessor.with(|mut store| {
        if alone {
            store.get().begin(errand.clone());
        } else {
            store.get().begin_beside(errand.clone());
        }
        let (request, sent) = p3::Request::from_http(store.get().http().hooks, request);
        // Boxed, as its type would otherwise borrow the store.
        (
            request,
            Box::pin(sent) as Pin<Box<dyn Future<Output = _> + Send>>,
        )
    });
    let call = accessor.with(|mut store| {
        let request = store.get().http().table.push(request)?;
        let call = handle.start_call_concurrent(store.as_context_mut(), (request,))?;
        // Before its guest runs.
        store.get().tasks.begin(call.task(), number, errand);
        wasmtime::Result::<_>::Ok(call)
    })?;
    let (answered,) = handle.finish_call_concurrent(accessor, call).await?;
    let response = match answered {
        Ok(response) => accessor.with(|mut store| store.get().http().table.delete(response))?,
        Err(code) => {
            let code = cut_text(&format_args!("{code:?}"));
            let _ = answer.send(Err(Arc::new(Failure::ErrorCode { code })));
            return Ok(());
        }
    };
    let response = accessor.with(|mut store| response.into_http(&mut store, sent))?;
    // The client may have gone; then the body is dropped here and the guest sees its stream close.
    let _ = answer.send(Ok(response));
    Ok(())
}

/// Counts a request on its instance; told off when dropped.
struct Use {
    actor: Arc<Actor>,
    number: u64,
}

impl Drop for Use {
    fn drop(&mut self) {
        self.actor.doing.lock().remove(&self.number);
        self.actor.in_flight.fetch_sub(1, Ordering::Release);
        self.actor.changed.notify_one();
    }
}

/// A request given to a shared instance, whose answer is awaited. Dropping it cancels the request.
pub(crate) struct Pending {
    /// `None` once it has been answered.
    actor: Option<Use>,
    receiver: oneshot::Receiver<Result<http::Response<WasiBody>, SharedFailure>>,
}

impl Pending {
    /// The response, its body still coming from the instance.
    pub(crate) async fn response(
        mut self,
        deadline: Instant,
    ) -> Result<(http::response::Parts, SharedBody), SharedFailure> {
        let answered = tokio::time::timeout_at(deadline.into(), &mut self.receiver).await;
        let Ok(answered) = answered else {
            return Err(Arc::new(Failure::Deadline));
        };
        // It is taken once, here; dropping `self` before cancels the request.
        let Some(actor) = self.actor.take() else {
            return Err(Arc::new(Failure::NoResponse));
        };
        match answered {
            Ok(Ok(response)) => {
                let (parts, body) = response.into_parts();
                Ok((
                    parts,
                    SharedBody {
                        body,
                        actor,
                        done: false,
                    },
                ))
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                // Its store is being dropped: nobody else must be sent there.
                actor.actor.retired.store(true, Ordering::Release);
                Err(actor.actor.failure().await)
            }
        }
    }

    /// What charges its instance.
    pub(crate) fn meter(&self) -> Option<Arc<Meter>> {
        self.actor.as_ref().map(|used| used.actor.meter.clone())
    }

    /// The instance's number, 0 until it is known.
    pub(crate) fn instance(&self) -> u64 {
        self.actor
            .as_ref()
            .map_or(0, |actor| actor.actor.instance.load(Ordering::Relaxed))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(actor) = &self.actor {
            actor.actor.overdue();
        }
    }
}

impl Actor {
    /// Why it ended. The task that owns it writes this right after its channels have closed.
    async fn failure(&self) -> SharedFailure {
        const TRIES: u32 = 500;
        const PAUSE: Duration = Duration::from_millis(1);
        for _ in 0..TRIES {
            if let Some(failure) = self.crash.lock().clone() {
                return failure;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Arc::new(Failure::NoResponse)
    }

    /// A request has outlived its deadline, or its client has gone. wasmtime cannot cancel one call of several, so the
    /// instance takes no more; if nobody else is on it, it ends now.
    fn overdue(&self) {
        self.retire();
        if self.in_flight.load(Ordering::Relaxed) <= 1 {
            self.cut();
        }
    }
}

/// The body of a response from a shared instance.
pub(crate) struct SharedBody {
    body: WasiBody,
    actor: Use,
    done: bool,
}

impl SharedBody {
    /// CPU time charged to the instance since it last took a request.
    pub(crate) fn cpu(&self) -> Duration {
        self.actor.actor.meter.used()
    }

    /// The instance's number.
    pub(crate) fn instance(&self) -> u64 {
        self.actor.actor.instance.load(Ordering::Relaxed)
    }

    /// The client has gone or its patience is at an end, and the body is not whole.
    pub(crate) fn abandon(&self) {
        self.actor.actor.overdue();
    }

    /// The next frame; an error if the instance crashed before the body was whole.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SharedBodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let polled = http_body::Body::poll_frame(Pin::new(&mut self.body), cx);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.done = true;
                Poll::Ready(Some(Err(SharedBodyError::Invalid(error))))
            }
            Poll::Ready(None) => {
                self.done = true;
                // A store that is dropped closes its streams as if they had come to their end.
                match self.actor.actor.crash.lock().clone() {
                    Some(failure) => Poll::Ready(Some(Err(SharedBodyError::Failed(failure)))),
                    None => Poll::Ready(None),
                }
            }
        }
    }
}

/// How a shared body can end badly.
pub(crate) enum SharedBodyError {
    /// The instance crashed.
    Failed(SharedFailure),
    /// The guest wrote a body that contradicts its headers, or ended it with an error code.
    Invalid(HttpError),
}
