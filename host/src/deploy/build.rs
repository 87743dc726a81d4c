//! Compiles and links an application's components, in parallel and off the request path, and makes
//! revisions of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use skep_core::instances::HandlerKind;
use skep_core::manifest::{Manifest, Mistake, Service};
use skep_core::name::ServiceName;
use tokio::sync::Semaphore;
use wasmtime::component::{InstancePre, Linker};
use wasmtime_wasi_http::p3;

use super::machinery::{Machinery, Works};
use super::progress::{Progress, StepBegun};
use super::{Application, Link, Part, Runs, chain, most_instances};
use crate::artifact::Digest;
use crate::capability::{self, Granted};
use crate::core_dump::CoreDumps;
use crate::engine::{Kind, PoolSize};
use crate::generation::{Home, Slot, Target};
use crate::instance::memory::MemoryLimits;
use crate::instance::pool::{Pool, Reuse};
use crate::instance::remains::Remains;
use crate::instance::shared::{Group, Sharing};
use crate::instance::{GuestState, InstanceLimits, Mould, live, worker};
use crate::link::{self, Wire};
use crate::memory::ServiceMemory;
use crate::memory::buffers::Buffers;
use crate::scheduler::Share;
use crate::service::{
    Admission, Beside, Cutting, Handler, Leases, RequestLimits, Revision, Service as Handle,
    places_beyond,
};

/// Live instances of all services together, unless the manifest says otherwise: each may hold
/// some MiB, and its slot some GiB of address space.
const INSTANCES_MAX: u32 = 2048;

/// Instances beyond those that serve: probes.
const SPARE_INSTANCES: u32 = 8;

/// While a revision takes the place of another both serve, and the other stays for a while to come
/// back to. A slot that is not in use costs address space alone.
const REVISIONS_AT_ONCE: u64 = 2;

/// Bytes. No memory of a 32-bit guest is larger; a slot takes as much address space in any case, and
/// each service's own limit holds beside it.
const SLOT_MEMORY: u64 = 4 << 30;

/// The kinds of engine that an application needs.
pub(super) fn kinds(application: &Application) -> impl Iterator<Item = Kind> {
    Kind::ALL
        .into_iter()
        .filter(|kind| each(application).any(|(_, part)| part.engine() == *kind))
}

/// The pools that an application needs of an engine. Where all kinds together may not have what
/// they want, each gets its share.
pub(super) fn pool_size(application: &Application, kind: Kind) -> PoolSize {
    let manifest = &application.manifest;
    let of_kind = |(_, part): &(&Service, &Part)| part.engine() == kind;
    let sum = |sum, (service, part): (&Service, &Part)| {
        let most = most_instances(service, part);
        let beyond = match application.links.encircle(&service.name.value) {
            true => places_beyond(most as usize) as u64,
            false => 0,
        };
        // Those that are kept for handles on their resources come beside those at work, and those
        // that serve calls beside those that are shared by several requests.
        let kept = u64::from(application.links.lead_to(&service.name.value));
        let beside = u64::from(calls_beside(application, service, part));
        let all = u64::from(most) * (1 + kept + beside);
        u64::saturating_add(sum, REVISIONS_AT_ONCE * (all + beyond))
    };
    let wanted = each(application).filter(of_kind).fold(0, sum);
    let wanted_by_all = each(application).fold(0, sum).max(1);
    let most = manifest
        .host
        .instances
        .as_ref()
        .map_or(INSTANCES_MAX, |most| most.value);
    let share = u64::from(most)
        .saturating_mul(wanted)
        .div_ceil(wanted_by_all);
    let instances = u32::try_from(wanted.min(share)).unwrap_or(u32::MAX);
    let most_of = |limit: fn(&Service) -> u64| {
        let limits = each(application)
            .filter(of_kind)
            .map(|(service, _)| limit(service));
        limits.max().unwrap_or(0)
    };
    let tables = most_of(|service| service.limits.table_elements.into());
    PoolSize {
        instances: instances.saturating_add(SPARE_INSTANCES),
        memory: most_of(|service| service.limits.memory.as_u64()).max(SLOT_MEMORY),
        table_elements: usize::try_from(tables).unwrap_or(usize::MAX),
        stack: manifest.host.stack.as_usize(),
    }
}

/// Whether a service wants core dumps of instances on an engine of this kind.
pub(super) fn wants_core_dumps(application: &Application, kind: Kind) -> bool {
    each(application).any(|(service, part)| part.engine() == kind && service.core_dumps.is_some())
}

fn each(application: &Application) -> impl Iterator<Item = (&Service, &Part)> {
    let parts = &application.parts;
    application
        .manifest
        .services
        .values()
        .filter_map(|service| {
            // Reading an application leaves no service without a part.
            parts.get(&service.name.value).map(|part| (service, part))
        })
}

/// One service, compiled, linked and closed.
pub struct Built {
    /// The revision that is to answer.
    pub revision: Arc<Revision>,
    /// Its component.
    pub digest: Digest,
    /// How it runs.
    pub role: Runs,
}

/// A revision that is to be made.
#[derive(Clone)]
pub struct Order {
    /// Of which service.
    pub service: ServiceName,
    /// Counted from 1 within the service.
    pub number: u32,
    /// What it reports crashes to.
    pub handle: Arc<Handle>,
    /// What its own calls go by.
    pub home: Arc<Home>,
}

/// Builds what is ordered, in that order; `slots` has all services of the application, `progress` who
/// waits for it. Blocking: compiling takes seconds per MiB where the cache has nothing.
///
/// # Errors
/// All mistakes, each at the place that names the component.
pub fn build(
    application: &Application,
    machinery: &Machinery,
    orders: &[Order],
    slots: &BTreeMap<ServiceName, Slot>,
    progress: &Progress,
) -> Result<Vec<Built>, Vec<Mistake>> {
    let (done, all) = (&AtomicUsize::new(0), orders.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = orders.len().div_ceil(threads).max(1);
    let built: Vec<Result<Built, Mistake>> = std::thread::scope(|scope| {
        let builders: Vec<_> = orders
            .chunks(share)
            .map(|orders| {
                let one = move |order: &Order| {
                    let service = application.manifest.services.get(&order.service)?;
                    let part = application.parts.get(&order.service)?;
                    let making = Making {
                        application,
                        service,
                        part,
                        order,
                        slots,
                    };
                    progress.begins(StepBegun::Build {
                        service: order.service.clone(),
                        done: done.load(Ordering::Relaxed),
                        of: all,
                    });
                    let made = making.revision(machinery);
                    done.fetch_add(1, Ordering::Relaxed);
                    Some(made)
                };
                scope.spawn(move || orders.iter().filter_map(one).collect::<Vec<_>>())
            })
            .collect();
        let join = |builder: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
            builder
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        builders.into_iter().flat_map(join).collect()
    });
    let mut revisions = Vec::new();
    let mut mistakes = Vec::new();
    for result in built {
        match result {
            Ok(built) => revisions.push(built),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        Ok(revisions)
    } else {
        Err(mistakes)
    }
}

/// The making of one revision.
struct Making<'a> {
    application: &'a Application,
    service: &'a Service,
    part: &'a Part,
    order: &'a Order,
    slots: &'a BTreeMap<ServiceName, Slot>,
}

impl Making<'_> {
    fn revision(&self, machinery: &Machinery) -> Result<Built, Mistake> {
        let Making {
            application,
            service,
            part,
            order,
            ..
        } = *self;
        let name = &service.name.value;
        let handle = order.handle.clone();
        let mistake = |code, what: String| Mistake::new(code, service.component.span.clone(), what);
        let Some(works) = machinery.works.get(&part.engine()) else {
            return Err(mistake(
                "engine",
                format!("`{name}` has no engine to run on: a bug of Skep's"),
            ));
        };
        let (pre, digest) = self.linked(works)?;
        let memory = ServiceMemory::new(
            service.limits.memory_total.as_u64(),
            machinery.memory.clone(),
        );
        let lobby = Buffers::new(memory.clone(), u64::MAX);
        let granted = capability::grant(
            service,
            &application.source,
            handle.name().clone(),
            order.number,
            machinery.sink.clone(),
            lobby.clone(),
        )
        .map_err(|error| mistake("grant", chain(&error)))?;
        let stack = application.manifest.host.stack.as_u64();
        let share = machinery
            .scheduler
            .share(service.limits.cpu_weight, service.limits.cpu_share);
        let remains = Arc::new(Remains::default());
        let log = granted.log.clone();
        let core_dumps = self.core_dumps(machinery);
        let instances: Arc<AtomicU64> = Arc::default();
        let mould = || Mould {
            remains: remains.clone(),
            instances: instances.clone(),
            core_dumps: core_dumps.clone(),
            ..mould(
                service,
                works,
                granted.clone(),
                memory.clone(),
                stack,
                share.clone(),
            )
        };
        let beside = match calls_beside(application, service, part) {
            true => {
                let code = Arc::new(live::Code::provider(pre.clone(), mould()));
                let most = most_instances(service, part).min(service.limits.concurrency);
                Some(Beside {
                    code,
                    pool: Pool::new(reuse(service)),
                    admission: Admission::new(most as usize, service.limits.queue as usize),
                })
            }
            false => None,
        };
        let handler = self
            .handler(pre, mould())
            .map_err(|error| mistake("link", format!("`{name}`: {error:#}")))?;
        let limits = &service.limits;
        let revision = Revision {
            number: order.number,
            exports: part.interfaces().cloned().collect(),
            handler,
            beside,
            limits: RequestLimits {
                deadline: limits.deadline,
                request_body: limits.request_body.as_u64(),
                response_body: limits.response_body.as_u64(),
            },
            admission: Admission::new(places(service, part) as usize, limits.queue as usize),
            kept: Arc::new(Semaphore::new(most_instances(service, part) as usize)),
            leases: Leases::default(),
            memory,
            lobby,
            log,
            remains,
            clock: machinery.clock.clone(),
            cutting: Cutting::default(),
            handed_over: AtomicBool::new(false),
        };
        Ok(Built {
            revision: Arc::new(revision),
            digest,
            role: part.role,
        })
    }

    /// Its code, with all that it imports.
    fn linked(&self, works: &Works) -> Result<(InstancePre<GuestState>, Digest), Mistake> {
        let Making {
            service,
            part,
            order,
            ..
        } = *self;
        let name = &service.name.value;
        let mistake = |code, what: String| Mistake::new(code, service.component.span.clone(), what);
        let compiled = works
            .cache
            .component(&part.artifact)
            .map_err(|error| mistake("compile", format!("`{name}`: {}", chain(&error))))?;
        let linker = works
            .linkers
            .get(part.linked)
            .map_err(|error| mistake("link", format!("`{name}`: {error:#}")))?;
        let wires = self.wires();
        let linker = match wires.is_empty() {
            true => linker,
            false => {
                let mut linked = Linker::clone(&linker);
                link::define(
                    &mut linked,
                    &compiled.component,
                    order.handle.name(),
                    &wires,
                )
                .map_err(|error| mistake("link", format!("`{name}`: {}", chain(&error))))?;
                Arc::new(linked)
            }
        };
        let pre = linker
            .instantiate_pre(&compiled.component)
            .map_err(|error| {
                mistake(
                    "link",
                    format!("`{name}` does not fit the host's interfaces: {error:#}"),
                )
            })?;
        Ok((pre, compiled.digest))
    }

    /// Where its dumps go, if it wants any.
    fn core_dumps(&self, machinery: &Machinery) -> Option<Arc<CoreDumps>> {
        match (self.service.core_dumps, &machinery.core_dumps) {
            (Some(settings), Some((writer, directory))) => Some(CoreDumps::new(
                writer.clone(),
                directory.clone(),
                self.order.handle.name().clone(),
                self.order.number,
                settings,
            )),
            _ => None,
        }
    }

    fn handler(&self, pre: InstancePre<GuestState>, mould: Mould) -> wasmtime::Result<Handler> {
        let Making {
            service,
            part,
            order,
            ..
        } = *self;
        match part.role {
            Runs::Handler(HandlerKind::Sync) => {
                let code = Arc::new(live::Code::handler(pre, mould)?);
                let pool = Pool::new(reuse(service));
                Ok(Handler::Once { code, pool })
            }
            Runs::Provider => {
                let code = Arc::new(live::Code::provider(pre, mould));
                let pool = Pool::new(reuse(service));
                Ok(Handler::Once { code, pool })
            }
            Runs::Handler(kind @ HandlerKind::Async) => {
                let policy = service.instances.for_handler(kind);
                let sharing = Sharing {
                    requests: u64::from(policy.reuse),
                    concurrent: policy.concurrent,
                    warm: policy.warm as usize,
                    idle: policy.idle,
                };
                let code = crate::instance::shared::Code {
                    pre: p3::bindings::ServicePre::new(pre)?,
                    mould,
                };
                let (handle, number) = (order.handle.clone(), order.number);
                let on_crash = Box::new(move |failure, lost| {
                    handle.crashed(number, lost, failure);
                });
                Ok(Handler::Shared(Group::new(
                    Arc::new(code),
                    sharing,
                    on_crash,
                )))
            }
            Runs::Worker => {
                let pre = worker::CommandPre::new(pre)?;
                Ok(Handler::Worker(Arc::new(worker::Code { pre, mould })))
            }
        }
    }

    /// What the service imports of others.
    fn wires(&self) -> Vec<Wire> {
        let Making {
            application,
            service,
            order,
            ..
        } = *self;
        let caller = &service.name.value;
        let links = application.links.of(caller);
        let mut policies: BTreeMap<&ServiceName, Arc<link::Policy>> = BTreeMap::new();
        let wire = |link: &'_ Link| {
            let slot = *self.slots.get(&link.callee)?;
            let (callee, _) = application.manifest.services.get_key_value(&link.callee)?;
            let policy = policies.entry(callee).or_insert_with(|| {
                let said = application.manifest.link_policy(caller, callee);
                let name = Arc::from(callee.as_str());
                let callee = link::Callee::new(name, slot, order.home.clone());
                Arc::new(link::Policy::new(said, order.handle.name().clone(), callee))
            });
            Some(Wire {
                import: link.import.clone(),
                policy: policy.clone(),
                export: link.export.as_str().into(),
                mutual: application.links.are_mutual(link),
            })
        };
        links.filter_map(wire).collect()
    }
}

/// Whether calls of its functions are served by instances other than those that serve requests.
fn calls_beside(application: &Application, service: &Service, part: &Part) -> bool {
    let callable = || part.interfaces().next().is_some();
    let called = application.links.lead_to(&service.name.value) || callable();
    part.role == Runs::Handler(HandlerKind::Async) && called
}

/// Requests, or calls, at a time.
fn places(service: &Service, part: &Part) -> u32 {
    let limits = &service.limits;
    match part.role {
        Runs::Handler(kind) => {
            let instances = service.instances.for_handler(kind);
            limits
                .concurrency
                .min(instances.max.saturating_mul(instances.concurrent))
        }
        Runs::Provider => limits.concurrency.min(most_instances(service, part)),
        Runs::Worker => 1,
    }
}

fn mould(
    service: &Service,
    works: &Works,
    granted: Arc<Granted>,
    memory: Arc<ServiceMemory>,
    stack: u64,
    share: Arc<Share>,
) -> Mould {
    let limits = &service.limits;
    Mould {
        engine: works.engine.clone(),
        granted,
        limits: InstanceLimits {
            memory: MemoryLimits {
                memory: limits.memory.as_u64(),
                policy: limits.memory_policy,
                table_elements: limits.table_elements as usize,
                buffers: limits.buffers.as_u64(),
                stack,
            },
            cpu: limits.cpu,
            handles: limits.handles as usize,
            hostcall_fuel: limits.hostcall_fuel.as_usize(),
            headers: limits.headers.as_usize(),
        },
        memory,
        share,
        instances: Arc::default(),
        remains: Arc::default(),
        core_dumps: None,
    }
}

/// How instances that serve one at a time are kept.
fn reuse(service: &Service) -> Reuse {
    let policy = service.instances.for_handler(HandlerKind::Sync);
    Reuse {
        requests: u64::from(policy.reuse),
        warm: policy.warm as usize,
        idle_ms: u64::try_from(policy.idle.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The routing table of a checked manifest.
///
/// # Errors
/// Conflicts, which a checked manifest has none of.
pub(crate) fn routes(
    manifest: &Manifest,
    handle: impl Fn(&ServiceName) -> Option<Arc<Handle>>,
) -> Result<skep_core::route::RouteTable<Target>, Vec<skep_core::route::RouteConflict>> {
    let routes = manifest.routes.iter().filter_map(|route| {
        let service = handle(&route.service.value)?;
        let target = Target {
            service,
            timeout: route.timeout,
            route: route.spec.value.path.to_string().into(),
        };
        Some((route.spec.value.clone(), target))
    });
    skep_core::route::RouteTable::build(routes.collect())
}
