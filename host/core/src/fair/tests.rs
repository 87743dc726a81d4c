use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Runs one thread for so many slices; all work goes back to the queue. Tells what each share used.
fn turns(
    queue: &mut FairQueue<ShareId>,
    slices: u32,
    slice: Duration,
) -> BTreeMap<ShareId, Duration> {
    let mut used = BTreeMap::new();
    let mut now = Duration::ZERO;
    for _ in 0..slices {
        match queue.next(now) {
            Next::Run(id, work) => {
                assert_eq!(id, work);
                now += slice;
                queue.charge(id, slice, now);
                *used.entry(id).or_insert(Duration::ZERO) += slice;
                queue.push(id, work).unwrap();
            }
            Next::Wait(wait) => now += wait,
            Next::Idle => panic!("there is always work"),
        }
    }
    used
}

#[test]
fn a_hundred_of_one_weigh_no_more_than_one_of_another() {
    let mut queue = FairQueue::default();
    let (many, one) = (queue.join(100, None), queue.join(100, None));
    for _ in 0..100 {
        queue.push(many, many).unwrap();
    }
    queue.push(one, one).unwrap();
    let used = turns(&mut queue, 1000, MS);
    assert_eq!(used[&many], 500 * MS);
    assert_eq!(used[&one], 500 * MS);
}

#[test]
fn weights_divide_the_time() {
    let mut queue = FairQueue::default();
    let (heavy, light) = (queue.join(300, None), queue.join(100, None));
    queue.push(heavy, heavy).unwrap();
    queue.push(light, light).unwrap();
    let used = turns(&mut queue, 1000, MS);
    assert_eq!(used[&heavy], 750 * MS);
}

#[test]
fn who_was_idle_has_saved_nothing_up() {
    let mut queue = FairQueue::default();
    let (busy, idle) = (queue.join(100, None), queue.join(100, None));
    queue.push(busy, busy).unwrap();
    turns(&mut queue, 1000, MS);
    queue.push(idle, idle).unwrap();
    let used = turns(&mut queue, 100, MS);
    assert!(used[&busy] >= 49 * MS, "{used:?}");
}

#[test]
fn work_of_one_service_takes_turns() {
    let mut queue = FairQueue::default();
    let id = queue.join(100, None);
    for work in ["a", "b", "c"] {
        queue.push(id, work).unwrap();
    }
    let mut order = String::new();
    for _ in 0..6 {
        let Next::Run(id, work) = queue.next(MS) else {
            panic!("there is work");
        };
        queue.charge(id, MS, MS);
        order.push_str(work);
        queue.push(id, work).unwrap();
    }
    assert_eq!(order, "abcabc");
}

#[test]
fn a_used_up_share_waits_and_holds_nobody_up() {
    let mut queue = FairQueue::default();
    let budget = Arc::new(Budget::new(10, MS));
    let (limited, free) = (queue.join(100, Some(budget.clone())), queue.join(100, None));
    budget.charge(Duration::ZERO, 2 * MS);
    queue.push(limited, limited).unwrap();
    assert_eq!(queue.next(Duration::ZERO), Next::Wait(10 * MS));
    queue.push(free, free).unwrap();
    assert_eq!(queue.next(Duration::ZERO), Next::Run(free, free));
    assert_eq!(queue.next(10 * MS), Next::Run(limited, limited));
    assert_eq!(queue.next(10 * MS), Next::Idle);
}

#[test]
fn who_has_left_gets_its_work_back() {
    let mut queue = FairQueue::default();
    let id = queue.join(100, None);
    queue.push(id, 1).unwrap();
    assert_eq!(queue.waiting(), 1);
    assert_eq!(queue.leave(id), [1]);
    assert_eq!(queue.push(id, 2), Err(2));
    queue.charge(id, MS, MS);
    assert_eq!(queue.next(MS), Next::Idle);
    assert_eq!(queue.waiting(), 0);
}

proptest! {
    /// Whatever comes and goes, two services that both have work all the time are never further apart
    /// than two slices of each, by weight.
    #[test]
    fn backlogged_services_stay_together(
        weights in proptest::collection::vec(1..1000_u32, 2..6),
        slices in proptest::collection::vec((1..4000_u64, 0..6_usize, any::<bool>()), 50..400),
    ) {
        let mut queue = FairQueue::default();
        let always: Vec<_> = weights.iter().map(|weight| (queue.join(*weight, None), *weight)).collect();
        let now_and_then = queue.join(100, None);
        for (id, _) in &always {
            queue.push(*id, *id).unwrap();
        }
        let mut used: BTreeMap<ShareId, f64> = always.iter().map(|(id, _)| (*id, 0.0)).collect();
        let mut longest = 0.0_f64;
        for (micros, pushes, back) in slices {
            for _ in 0..pushes {
                queue.push(now_and_then, now_and_then).unwrap();
            }
            let Next::Run(id, work) = queue.next(Duration::ZERO) else {
                panic!("there is always work");
            };
            let slice = Duration::from_micros(micros);
            queue.charge(id, slice, Duration::ZERO);
            longest = longest.max(slice.as_secs_f64());
            if id != now_and_then {
                *used.get_mut(&id).unwrap() += slice.as_secs_f64();
                queue.push(id, work).unwrap();
            } else if back {
                queue.push(id, work).unwrap();
            }
        }
        for (a, weight_a) in &always {
            for (b, weight_b) in &always {
                let (a, b) = (used[a] / f64::from(*weight_a), used[b] / f64::from(*weight_b));
                let bound = longest * (1.0 / f64::from(*weight_a) + 1.0 / f64::from(*weight_b)) + 1e-9;
                prop_assert!((a - b).abs() <= bound, "{a} {b} {bound}");
            }
        }
    }

    /// Nothing is lost and nothing is given out twice.
    #[test]
    fn every_piece_is_given_out_once(pushes in proptest::collection::vec((0..4_usize, 0..3_u32), 1..200)) {
        let mut queue = FairQueue::default();
        let ids: Vec<_> = (0..4).map(|_| queue.join(100, None)).collect();
        let (mut pushed, mut taken) = (Vec::new(), Vec::new());
        for (number, (share, takes)) in pushes.into_iter().enumerate() {
            queue.push(ids[share], number).unwrap();
            pushed.push(number);
            for _ in 0..takes {
                if let Next::Run(id, work) = queue.next(Duration::ZERO) {
                    queue.charge(id, MS, MS);
                    taken.push(work);
                }
            }
        }
        while let Next::Run(id, work) = queue.next(Duration::ZERO) {
            queue.charge(id, MS, MS);
            taken.push(work);
        }
        taken.sort_unstable();
        prop_assert_eq!(taken, pushed);
    }
}

#[test]
fn who_is_at_work_is_not_taken_for_one_that_was_idle() {
    let mut queue = FairQueue::default();
    let (ahead, behind) = (queue.join(100, None), queue.join(100, None));
    let now = Duration::ZERO;
    let next = |queue: &mut FairQueue<ShareId>| match queue.next(now) {
        Next::Run(id, _) => id,
        other => panic!("{other:?}"),
    };
    queue.push(ahead, ahead).unwrap();
    assert_eq!(next(&mut queue), ahead);
    queue.charge(ahead, 10 * MS, now);
    // One after the other, on two threads.
    queue.push(behind, behind).unwrap();
    queue.push(ahead, ahead).unwrap();
    assert_eq!(next(&mut queue), behind);
    assert_eq!(next(&mut queue), ahead);
    // The first is still at work when it has more to do: it is as far behind as before.
    queue.push(behind, behind).unwrap();
    queue.push(ahead, ahead).unwrap();
    assert_eq!(next(&mut queue), behind);
}
