//! The first generation of a host's life: the one that was acknowledged last, or, if something has been
//! changed on disk since, one that comes after it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use super::Walk;
use super::effects::{Application, Effects, Told};
use super::open::Changes;
use super::roster::{Members, Order, Prepared, Roster, Wanted};
use crate::generation::Reason;
use crate::name::ServiceName;

/// What a host starts with.
pub struct First<E: Effects> {
    pub application: Arc<E::Application>,
    /// The generation that was acknowledged last; none if none ever was.
    pub last: Option<u64>,
    /// Its revisions that go on as they were.
    pub revisions: BTreeMap<ServiceName, u32>,
    /// The numbers that the next revisions of services get, as far as can be read: for where nothing can be
    /// written down. Of a service that is not here nothing is known.
    pub next: BTreeMap<ServiceName, u32>,
    /// The application is exactly what was acknowledged last.
    pub is_as_recorded: bool,
}

/// A start that serves, or is about to, and is not written down yet.
pub struct Unwritten<E: Effects> {
    /// None if there is nothing to write down, or it cannot be.
    entry: Option<E::Entry>,
    prepared: Prepared<E>,
}

impl<E: Effects> Walk<E> {
    /// Builds the application and starts it; comes back when every service has started or failed
    /// to, or the patience is over. The start is still to be written down: see [`Walk::write_down`]. A
    /// host that cannot write anything down serves all the same, and says so.
    ///
    /// # Errors
    /// If it cannot be built; nothing is left running.
    pub async fn start(
        effects: E,
        first: First<E>,
    ) -> Result<(Arc<Walk<E>>, Unwritten<E>), E::Error> {
        let First {
            application,
            last,
            mut revisions,
            next,
            is_as_recorded,
        } = first;
        let mut turn = effects.turn().await;
        let is_new = |name: &ServiceName| !revisions.contains_key(name);
        let numbered = |name: ServiceName| {
            let number = next.get(&name).copied().unwrap_or(1);
            (name, number)
        };
        let new = application.services().filter(is_new).map(numbered);
        let new: BTreeMap<ServiceName, u32> = new.collect();
        let wanted = Wanted::new(application.clone(), Reason::Start);
        let (number, entry) = match last {
            Some(last) if is_as_recorded => (last, None),
            _ => {
                let begun = effects.begin(&turn.bench, &wanted, new.clone()).await;
                let entry = match begun {
                    Ok((entry, numbers)) => {
                        revisions.extend(numbers);
                        Some(entry)
                    }
                    Err(error) => {
                        effects.tell(Told::Unwritten { error: &error });
                        revisions.extend(new);
                        None
                    }
                };
                (last.map_or(1, |last| last + 1), entry)
            }
        };
        turn.gives(&revisions);
        let order = Order {
            before: None,
            application: &application,
            kept: Members::new(),
            number,
            revisions: &revisions,
        };
        let prepared = match effects.prepare(&mut turn.bench, order).await {
            Ok(prepared) => prepared,
            Err(error) => {
                if let Some(entry) = entry {
                    effects.refuse(entry, &error).await;
                }
                return Err(error);
            }
        };
        drop(turn);
        effects.arrange(&application, &prepared.members);
        effects.start_all(&prepared.members).await;
        effects.show(&prepared.generation, None);
        let roster = Roster {
            generation: prepared.generation.clone(),
            application,
            members: prepared.members.clone(),
            standby: Members::new(),
            trial: None,
        };
        let walk = Arc::new(Walk {
            effects,
            roster: RwLock::new(Arc::new(roster)),
            changes: Mutex::new(Changes::Open),
            ending: Mutex::default(),
            resting: Mutex::default(),
        });
        Ok((walk, Unwritten { entry, prepared }))
    }

    /// Writes down that what was started is what serves, also after the next start. What cannot be
    /// written down serves all the same, and is told of in the log.
    pub async fn write_down(&self, start: Unwritten<E>) {
        let Unwritten { entry, prepared } = start;
        let Some(mut entry) = entry else {
            return;
        };
        let effects = &self.effects;
        let mut turn = effects.turn().await;
        match effects.commit(&mut turn.bench, &mut entry, &prepared).await {
            Ok(()) => effects.tidy(entry),
            Err(error) => {
                effects.tell(Told::Unwritten { error: &error });
                effects.refuse(entry, &error).await;
            }
        }
    }
}
