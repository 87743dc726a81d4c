//! In which order linked services start: a callee before its callers, as far as that is possible.
//!
//! Links may form cycles, and what people write (`after`, the order of a group) comes first. So of
//! the links only those that agree with it count; within a cycle, those that lead back in the file
//! (the callee is written first).
use std::collections::BTreeSet;

/// For each member, those that it starts after because it calls them. Members are numbered in the
/// order of the file; `after` has pairs (later, earlier) without a cycle, `calls` pairs (caller,
/// callee) of any kind. Both together, with the answer for the calls, have no cycle.
pub fn starts_after(
    members: usize,
    after: &[(usize, usize)],
    calls: &[(usize, usize)],
) -> Vec<Vec<usize>> {
    let inside =
        |(one, other): &&(usize, usize)| *one < members && *other < members && one != other;
    let after: BTreeSet<(usize, usize)> = after.iter().filter(inside).copied().collect();
    let calls: BTreeSet<(usize, usize)> = calls.iter().filter(inside).copied().collect();
    let mut edges = vec![Vec::new(); members];
    for (later, earlier) in after.iter().chain(&calls) {
        edges[*later].push(*earlier);
    }
    let cycle = cycles(&edges);
    let mut ordered = vec![Vec::new(); members];
    for (later, earlier) in &after {
        ordered[*later].push(*earlier);
    }
    let mut chosen = vec![Vec::new(); members];
    for (caller, callee) in calls {
        let agrees = cycle[caller] != cycle[callee]
            || (callee < caller && !reaches(&ordered, callee, caller));
        if agrees && !after.contains(&(caller, callee)) {
            ordered[caller].push(callee);
            chosen[caller].push(callee);
        }
    }
    chosen
}

/// A number for each member, the same for those that reach one another (Tarjan's strongly connected
/// components, without recursion since a chain may be as long as the application).
fn cycles(edges: &[Vec<usize>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let mut seen = vec![UNSEEN; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut component = vec![UNSEEN; edges.len()];
    let mut open = Vec::new();
    let mut count = 0;
    for start in 0..edges.len() {
        if seen[start] != UNSEEN {
            continue;
        }
        // Members on the way, each with how many of its edges have been walked.
        let mut way = vec![(start, 0)];
        while let Some((member, walked)) = way.last_mut() {
            let member = *member;
            if *walked == 0 {
                seen[member] = count;
                low[member] = count;
                count += 1;
                open.push(member);
            }
            let next = edges[member].get(*walked).copied();
            *walked += 1;
            match next {
                Some(next) if seen[next] == UNSEEN => way.push((next, 0)),
                Some(next) if component[next] == UNSEEN => {
                    low[member] = low[member].min(seen[next])
                }
                Some(_) => {}
                None => {
                    if low[member] == seen[member] {
                        while let Some(one) = open.pop() {
                            component[one] = member;
                            if one == member {
                                break;
                            }
                        }
                    }
                    way.pop();
                    if let Some((before, _)) = way.last() {
                        low[*before] = low[*before].min(low[member]);
                    }
                }
            }
        }
    }
    component
}

/// Whether a walk along the edges leads from one to the other.
fn reaches(edges: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = vec![false; edges.len()];
    let mut way = vec![from];
    while let Some(member) = way.pop() {
        if member == to {
            return true;
        }
        if !std::mem::replace(&mut seen[member], true) {
            way.extend(&edges[member]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_callee_starts_before_its_callers_unless_people_say_otherwise() {
        // 0 is written first. Rows: after, calls, and what follows.
        type Pairs<'a> = &'a [(usize, usize)];
        let rows: [(Pairs<'_>, Pairs<'_>, Pairs<'_>); 7] = [
            (&[], &[(0, 1), (1, 2)], &[(0, 1), (1, 2)]),
            // Each calls the other: the one that is written first starts first.
            (&[], &[(0, 1), (1, 0)], &[(1, 0)]),
            (&[], &[(0, 1), (1, 2), (2, 0)], &[(2, 0)]),
            // What `after` says already, and what it contradicts.
            (&[(0, 1)], &[(0, 1)], &[]),
            (&[(1, 0)], &[(0, 1)], &[]),
            (&[(0, 2)], &[(2, 1), (1, 0)], &[(1, 0)]),
            // Calling oneself is no reason to wait.
            (&[], &[(1, 1)], &[]),
        ];
        for (after, calls, expected) in rows {
            let chosen = starts_after(3, after, calls);
            let pairs = chosen.iter().enumerate();
            let pairs = pairs.flat_map(|(caller, all)| all.iter().map(move |one| (caller, *one)));
            assert_eq!(pairs.collect::<Vec<_>>(), expected, "{after:?} {calls:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_never_has_a_cycle_and_keeps_every_call_outside_of_one(
            // Later ones after earlier ones of a hidden order have no cycle.
            hidden in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            after in proptest::collection::vec((0..12_usize, 0..12_usize), 0..10),
            calls in proptest::collection::vec((0..12_usize, 0..12_usize), 0..30),
        ) {
            let after: Vec<_> = after
                .into_iter()
                .filter(|(later, earlier)| hidden[*later] > hidden[*earlier])
                .collect();
            let chosen = starts_after(12, &after, &calls);
            let mut all = chosen.clone();
            for (later, earlier) in &after {
                all[*later].push(*earlier);
            }
            for (member, edges) in all.iter().enumerate() {
                for next in edges {
                    prop_assert!(!reaches(&all, *next, member), "{member} waits for itself");
                }
            }
            let mut both = vec![Vec::new(); 12];
            for (from, to) in after.iter().chain(&calls) {
                both[*from].push(*to);
            }
            for (caller, callee) in calls {
                let kept = chosen[caller].contains(&callee) || after.contains(&(caller, callee));
                prop_assert!(kept || reaches(&both, callee, caller));
            }
        }
    }
}
