//! Schedules, worked by hand and at random.

use proptest::prelude::*;

use super::*;

fn one(cpus: u32) -> Capacity {
    Capacity { cpus, gpus: 0, memory: 0 }
}

#[test]
fn needs_come_first_and_a_failure_skips_what_needs_it() {
    let needs = [vec![], vec![JobId(0)], vec![JobId(1)], vec![]];
    let mut schedule = Schedule::new(&needs, &[one(1); 4], one(2), true);
    assert_eq!(schedule.next_to_judge(), Some(JobId(0)));
    assert_eq!(schedule.next_to_judge(), Some(JobId(3)));
    assert_eq!(schedule.next_to_judge(), None);
    schedule.stale(JobId(0));
    schedule.stale(JobId(3));
    assert_eq!(schedule.next_to_start().map(|s| s.0), Some(JobId(0)));
    schedule.failed(JobId(0));
    assert_eq!(schedule.take_skipped(), [(JobId(1), JobId(0), true), (JobId(2), JobId(0), true)]);
    assert_eq!(schedule.next_to_start().map(|s| s.0), Some(JobId(3)));
    schedule.done(JobId(3));
    assert!(schedule.settled());
}

#[test]
fn jobs_elsewhere_take_places_there_and_nothing_here() {
    let mut schedule = Schedule::new(&vec![vec![]; 4], &[one(1); 4], one(1), false);
    for job in 0..3 {
        schedule.send_elsewhere(JobId(job), 7, 2);
    }
    while let Some(job) = schedule.next_to_judge() {
        schedule.stale(job);
    }
    let mut started: Vec<usize> = std::iter::from_fn(|| schedule.next_to_start()).map(|(job, _)| job.0).collect();
    assert_eq!(started, [0, 1, 3], "two there, one here");
    assert_eq!(schedule.running_elsewhere(), 2);
    schedule.done(JobId(0));
    started.extend(schedule.next_to_start().map(|(job, _)| job.0));
    assert_eq!(started, [0, 1, 3, 2]);
}

#[test]
fn gpus_are_granted_by_number_and_given_back() {
    let gpu = Capacity { cpus: 1, gpus: 1, memory: 0 };
    let mut schedule =
        Schedule::new(&[vec![], vec![], vec![]], &[gpu; 3], Capacity { cpus: 8, gpus: 2, memory: 0 }, false);
    for _ in 0..3 {
        let job = schedule.next_to_judge().unwrap();
        schedule.stale(job);
    }
    assert_eq!(schedule.next_to_start(), Some((JobId(0), vec![0])));
    assert_eq!(schedule.next_to_start(), Some((JobId(1), vec![1])));
    assert_eq!(schedule.next_to_start(), None);
    schedule.done(JobId(0));
    assert_eq!(schedule.next_to_start(), Some((JobId(2), vec![0])));
}

proptest! {
    /// Everything settles, nothing starts before its needs, never more runs than there is room for, and what needs a
    /// failed job is skipped.
    #[test]
    fn every_schedule_settles(
        edges in prop::collection::vec(prop::collection::vec(0usize..40, 0..4), 1..40),
        fates in prop::collection::vec(0u8..4, 40),
        cpus in prop::collection::vec(1u32..4, 40),
        room in 1u32..4,
        keep_going: bool,
    ) {
        let needs: Vec<Vec<JobId>> = edges.iter().enumerate()
            .map(|(i, from)| {
                let set: BTreeSet<JobId> = from.iter().filter(|&&f| f < i).map(|&f| JobId(f)).collect();
                set.into_iter().collect()
            })
            .collect();
        let demands: Vec<Capacity> = (0..needs.len()).map(|i| one(cpus[i])).collect();
        let mut schedule = Schedule::new(&needs, &demands, one(room), keep_going);
        let mut running: Vec<JobId> = Vec::new();
        for _ in 0..10_000 {
            while let Some(job) = schedule.next_to_judge() {
                prop_assert!(needs[job.0].iter().all(|n| schedule.state(*n) == State::Done));
                if fates[job.0] == 0 { schedule.done(job) } else { schedule.stale(job) }
            }
            while let Some((job, _)) = schedule.next_to_start() {
                running.push(job);
                let used: u32 = running.iter().map(|j| demands[j.0].cpus.min(room)).sum();
                prop_assert!(used <= room);
            }
            if running.is_empty() { break; }
            let job = running.remove(0);
            if fates[job.0] == 1 { schedule.failed(job); } else { schedule.done(job) }
        }
        prop_assert!(schedule.settled());
        for (i, needs) in needs.iter().enumerate() {
            if needs.iter().any(|n| matches!(schedule.state(*n), State::Failed | State::Skipped(_) | State::Stopped(_))) {
                prop_assert!(matches!(schedule.state(JobId(i)), State::Skipped(_) | State::Stopped(_)));
            }
        }
    }
}
