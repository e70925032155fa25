//! Threads for a walk, started only once there is enough for them to do: a walk over three files must not pay for them.
//!
//! The last task in is the first out, so that a walk goes deep before it goes wide and holds few folders at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Units of work (about a microsecond each) after which starting threads pays.
const WORTH_HELP: usize = 500;

/// The tasks of one walk and the threads that carry them out.
pub(super) struct Crew<'h, T> {
    queue: Mutex<Queue<T>>,
    ready: Condvar,
    waiting: AtomicUsize,
    done: AtomicUsize,
    hands: &'h (dyn Fn() -> usize + Sync),
}

struct Queue<T> {
    tasks: Vec<T>,
    /// Tasks queued or at work; at zero the walk is over.
    unfinished: usize,
}

impl<'h, T: Send> Crew<'h, T> {
    /// Carries out `first` and whatever tasks push, with up to `hands` threads of which the caller is one; asked for only
    /// once they are needed, since the system takes its time to say. Each thread has a scratch of its own.
    pub(super) fn run<S: Default>(
        hands: &'h (dyn Fn() -> usize + Sync),
        first: Vec<T>,
        work: impl Fn(T, &Self, &mut S) + Sync,
    ) {
        let unfinished = first.len();
        let crew = Self {
            queue: Mutex::new(Queue { tasks: first, unfinished }),
            ready: Condvar::new(),
            waiting: AtomicUsize::new(unfinished),
            done: AtomicUsize::new(0),
            hands,
        };
        std::thread::scope(|scope| {
            let mut alone = true;
            let mut scratch = S::default();
            while let Some(task) = crew.take() {
                if alone && crew.done.load(Ordering::Relaxed) >= WORTH_HELP {
                    alone = false;
                    for _ in 1..crew.hands() {
                        // Where the system gives no more threads, fewer hands do the same work.
                        let helper = || {
                            let mut scratch = S::default();
                            while let Some(task) = crew.take() {
                                let _end = End(&crew);
                                work(task, &crew, &mut scratch);
                            }
                        };
                        if std::thread::Builder::new().name("tree".to_owned()).spawn_scoped(scope, helper).is_err() {
                            break;
                        }
                    }
                }
                let _end = End(&crew);
                work(task, &crew, &mut scratch);
            }
        });
    }

    /// Adds tasks; the last of them is the first to be carried out.
    pub(super) fn push(&self, tasks: impl IntoIterator<Item = T>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.tasks.len();
        queue.tasks.extend(tasks);
        let added = queue.tasks.len() - before;
        queue.unfinished += added;
        self.waiting.fetch_add(added, Ordering::Relaxed);
        drop(queue);
        match added {
            0 => {}
            1 => self.ready.notify_one(),
            _ => self.ready.notify_all(),
        }
    }

    /// Tells that so many units of work were done (or are certain to come).
    pub(super) fn worked(&self, units: usize) {
        self.done.fetch_add(units, Ordering::Relaxed);
    }

    /// Whether a thread could soon have nothing to do, so that a long task should be split.
    pub(super) fn is_hungry(&self) -> bool {
        let hands = self.hands();
        hands > 1 && self.waiting.load(Ordering::Relaxed) < hands
    }

    /// How many threads there may be.
    pub(super) fn hands(&self) -> usize {
        (self.hands)().max(1)
    }

    /// The next task; none when all are finished.
    fn take(&self) -> Option<T> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(task) = queue.tasks.pop() {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return Some(task);
            }
            if queue.unfinished == 0 {
                return None;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Counts a task as finished, even where it panics: the others must not wait for it for ever.
struct End<'a, 'h, T>(&'a Crew<'h, T>);

impl<T> Drop for End<'_, '_, T> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.unfinished -= 1;
        if queue.unfinished == 0 {
            drop(queue);
            self.0.ready.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_task_is_carried_out_once() {
        for hands in [1, 2, 7] {
            let sum = AtomicU64::new(0);
            Crew::run(&|| hands, vec![12u64], |n: u64, crew: &Crew<'_, u64>, (): &mut ()| {
                sum.fetch_add(1, Ordering::Relaxed);
                crew.worked(100);
                if n > 0 {
                    crew.push([n - 1, n - 1]);
                }
            });
            assert_eq!(sum.into_inner(), (1 << 13) - 1, "{hands} hands");
        }
    }

    #[test]
    fn no_tasks_end_at_once() {
        Crew::run(&|| 3, Vec::new(), |(): (), _: &Crew<'_, ()>, (): &mut ()| {});
    }
}
