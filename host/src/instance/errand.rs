//! What an instance is at work for: whose request, how many services on the way, until when. It
//! travels with every call that the instance makes.

use std::sync::Arc;
use std::time::Instant;

use crate::gateway::RequestId;
use crate::generation::Generation;
use crate::trace::Trace;

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errand {
    /// The request of a client that it began with; none for what the host does of its own accord.
    pub(crate) request: Option<RequestId>,
    /// The generation that it goes by, if it began with a request.
    pub(crate) generation: Option<Arc<Generation>>,
    /// The trace that it is part of, if anybody cares.
    pub(crate) trace: Option<Arc<Trace>>,
    /// How many requests and calls of services led to this one.
    pub(crate) depth: u32,
    /// When nobody waits for it any more.
    pub(crate) deadline: Option<Instant>,
    /// The instances that wait for it.
    pub(crate) waiting: Option<Arc<Waiting>>,
}

/// An instance that waits for another's answer, and those that wait for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// As in [`super::GuestState::identity`].
    instance: u64,
    behind: Option<Arc<Waiting>>,
}

impl Errand {
    /// The errand of a call that the instance makes on this one.
    pub(crate) fn next(&self, instance: u64) -> Errand {
        let waiting = Waiting {
            instance,
            behind: self.waiting.clone(),
        };
        Errand {
            request: self.request.clone(),
            generation: self.generation.clone(),
            trace: self.trace.clone(),
            depth: self.depth.saturating_add(1),
            deadline: self.deadline,
            waiting: Some(Arc::new(waiting)),
        }
    }

    /// The errand of a copy, which goes by that generation, and which nobody waits for.
    pub(crate) fn apart(&self, generation: Arc<Generation>) -> Errand {
        Errand {
            generation: Some(generation),
            trace: None,
            waiting: None,
            ..self.clone()
        }
    }

    /// Whether that instance waits for it.
    pub(crate) fn is_awaited_by(&self, instance: u64) -> bool {
        let mut waiting = self.waiting.as_ref();
        while let Some(one) = waiting {
            if one.instance == instance {
                return true;
            }
            waiting = one.behind.as_ref();
        }
        false
    }

    /// Another errand has come to an instance that is still at work for this one. Where nobody can tell
    /// which of them a call of the instance's is for (see `tasks`), it counts as the deeper and the
    /// more patient of the two, goes by the newer generation (the instance is in both), and is in no
    /// trace: it might be the wrong one.
    pub(crate) fn join(&mut self, other: Errand) {
        let depth = self.depth.max(other.depth);
        let deadline = match (self.deadline, other.deadline) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            _ => None,
        };
        let number = |errand: &Errand| errand.generation.as_ref().map(|one| one.number());
        let generation = match number(self) > number(&other) {
            true => self.generation.take(),
            false => other.generation.clone(),
        };
        *self = Errand {
            generation,
            depth,
            deadline,
            trace: None,
            ..other
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_is_one_deeper_and_awaited_by_all_on_its_way() {
        let first = Errand::default().next(7);
        let second = first.next(8);
        assert_eq!((first.depth, second.depth), (1, 2));
        assert!(second.is_awaited_by(7) && second.is_awaited_by(8));
        assert!(!first.is_awaited_by(8));
        assert!(!Errand::default().is_awaited_by(0));
    }

    #[test]
    fn two_errands_at_once_count_as_the_deeper_and_the_more_patient() {
        let now = Instant::now();
        let errand = |depth, seconds| Errand {
            depth,
            deadline: Some(now + Duration::from_secs(seconds)),
            ..Errand::default()
        };
        let mut both = errand(3, 1);
        both.join(errand(1, 2));
        assert_eq!(both.depth, 3);
        assert_eq!(both.deadline, Some(now + Duration::from_secs(2)));
        both.join(Errand::default());
        assert_eq!(both.deadline, None);
    }

    #[test]
    fn two_errands_at_once_are_in_no_trace() {
        let mut headers = http::HeaderMap::new();
        let tracer = crate::trace::Tracer::default();
        let mut errand = || Errand {
            trace: tracer.request(&mut headers, true).map(|begun| begun.trace),
            ..Errand::default()
        };
        let (mut one, other) = (errand(), errand());
        assert!(one.next(1).trace.is_some());
        one.join(other);
        assert!(one.next(1).trace.is_none());
    }
}
