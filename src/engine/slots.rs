//! The tasks of the attempts, one for each request in flight, used again and again.
//!
//! A task of its own for every attempt costs an allocation of some kilobytes, a copy of its whole state into it, and a place in
//! two lists: a twentieth of what a fetch costs. Here a task that has brought its result waits for the next call. It is the
//! interface of a `JoinSet` otherwise: nothing is detached, a panic comes out of the next join, dropping the set ends all. What
//! is under way can be told to stop; it then brings its result early, and does not lose what it was called with.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet};

/// See the module text. `A` is what a task is called with, `T` what it brings.
pub(super) struct Slots<A, T> {
    tasks: JoinSet<()>,
    seats: Vec<Arc<Seat<A>>>,
    /// Numbers of seats whose tasks wait.
    idle: Vec<usize>,
    sender: mpsc::UnboundedSender<(usize, T)>,
    results: mpsc::UnboundedReceiver<(usize, T)>,
}

/// Where a task is called.
struct Seat<A> {
    /// Only ever held for a move.
    call: Mutex<Option<A>>,
    called: Notify,
    stop: Stop,
}

/// Tells what is under way to stop.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<(AtomicBool, Notify)>);

impl Stop {
    /// Returns when the call it was given with is to stop.
    pub(super) async fn told(&self) {
        let (told, news) = &*self.0;
        // News of an earlier call that had ended by then may still be there.
        while !told.load(Ordering::Acquire) {
            news.notified().await;
        }
    }
}

impl<A> Seat<A> {
    fn call(&self) -> std::sync::MutexGuard<'_, Option<A>> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self) -> A {
        loop {
            if let Some(call) = self.call().take() {
                return call;
            }
            self.called.notified().await;
        }
    }
}

impl<A: Send + 'static, T: Send + 'static> Slots<A, T> {
    pub(super) fn new() -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        Slots {
            tasks: JoinSet::new(),
            seats: Vec::new(),
            idle: Vec::new(),
            sender,
            results,
        }
    }

    /// Calls under way, or brought and not yet joined.
    pub(super) fn len(&self) -> usize {
        self.seats.len() - self.idle.len()
    }

    /// Numbers of calls are below this.
    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has an idle task called with `call`, or a new one, which runs `work` for this and all later calls. Gives the call's number,
    /// which is its own until its result is joined.
    pub(super) fn start<W, F>(&mut self, call: A, work: impl FnOnce() -> W) -> usize
    where
        W: Fn(A, Stop) -> F + Send + 'static,
        F: Future<Output = T> + Send,
    {
        if let Some(number) = self.idle.pop() {
            let seat = &self.seats[number];
            seat.stop.0.0.store(false, Ordering::Release);
            *seat.call() = Some(call);
            seat.called.notify_one();
            return number;
        }
        let seat = Arc::new(Seat {
            call: Mutex::new(Some(call)),
            called: Notify::new(),
            stop: Stop::default(),
        });
        let number = self.seats.len();
        self.seats.push(seat.clone());
        let (results, work) = (self.sender.clone(), work());
        // Boxed: a task cell with the attempt's kilobytes in it would take the allocator's slow path.
        self.tasks.spawn(Box::pin(async move {
            loop {
                let call = seat.wait().await;
                let brought = work(call, seat.stop.clone()).await;
                if results.send((number, brought)).is_err() {
                    return;
                }
            }
        }));
        number
    }

    /// Tells call `number` to stop. Its result is still to be joined.
    pub(super) fn stop(&self, number: usize) {
        if let Some(seat) = self.seats.get(number) {
            let (told, news) = &*seat.stop.0;
            told.store(true, Ordering::Release);
            news.notify_one();
        }
    }

    /// The next result and its call's number, in the order they were brought. Pending for ever when nothing is under way.
    /// Cancel-safe.
    pub(super) async fn join_next(&mut self) -> Result<(usize, T), JoinError> {
        tokio::select! {
            biased;
            Some(result) = self.results.recv() => Ok(self.take(result)),
            Some(Err(error)) = self.tasks.join_next() => Err(error),
            else => std::future::pending().await,
        }
    }

    /// A result that is there.
    pub(super) fn try_join_next(&mut self) -> Option<(usize, T)> {
        let result = self.results.try_recv().ok()?;
        Some(self.take(result))
    }

    fn take(&mut self, result: (usize, T)) -> (usize, T) {
        self.idle.push(result.0);
        result
    }

    /// Ends all tasks wherever they are, and waits for that. The results that were brought are still to be joined.
    ///
    /// # Panics
    /// With the panic of a task.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    fn doubling() -> impl Fn(u32, Stop) -> std::future::Ready<u32> {
        |n, _| std::future::ready(2 * n)
    }

    #[tokio::test]
    async fn a_task_that_is_done_takes_the_next_call() {
        let mut slots = Slots::new();
        for round in 0..100 {
            for n in 0..3 {
                slots.start(n, doubling);
            }
            assert_eq!(slots.len(), 3);
            let mut all = Vec::new();
            for _ in 0..3 {
                all.push(slots.join_next().await.unwrap().1);
            }
            all.sort_unstable();
            assert_eq!(all, [0, 2, 4], "{round}");
            assert!(slots.is_empty() && slots.try_join_next().is_none());
        }
        assert_eq!(slots.seats.len(), 3);
    }

    #[tokio::test]
    async fn a_panic_comes_out_of_the_next_join() {
        let mut slots = Slots::<u32, u32>::new();
        slots.start(1, || |n, _| async move { panic!("call {n}") });
        let error = slots.join_next().await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "call 1");
    }

    #[tokio::test]
    async fn a_shutdown_ends_what_is_under_way_and_keeps_what_was_brought() {
        let mut slots = Slots::new();
        let gate = Arc::new(Semaphore::new(1));
        for n in 0..5 {
            let gate = gate.clone();
            slots.start(n, || {
                move |n: u32, _| {
                    let gate = gate.clone();
                    async move {
                        gate.acquire().await.unwrap().forget();
                        n
                    }
                }
            });
        }
        while slots.results.is_empty() {
            tokio::task::yield_now().await;
        }
        slots.shutdown().await;
        assert_eq!(slots.try_join_next().map(|(_, n)| n), Some(0));
        assert_eq!(slots.try_join_next(), None);
        assert_eq!(Arc::strong_count(&gate), 1, "nobody waits any more");
    }

    #[tokio::test]
    async fn a_call_that_is_told_to_stop_brings_its_result_and_the_next_one_runs_on() {
        let mut slots = Slots::new();
        let waiting = || {
            |n: u32, stop: Stop| async move {
                tokio::select! {
                    () = std::future::ready(()), if n == 0 => n,
                    () = stop.told() => n + 1,
                }
            }
        };
        for _ in 0..10 {
            let ended = slots.start(0, waiting);
            while slots.results.is_empty() {
                tokio::task::yield_now().await;
            }
            // Too late for this one, and nothing to the next, which takes its seat.
            slots.stop(ended);
            assert_eq!(slots.join_next().await.unwrap(), (ended, 0));
            let number = slots.start(10, waiting);
            assert_eq!(number, ended);
            for _ in 0..10 {
                tokio::task::yield_now().await;
                assert_eq!(slots.try_join_next(), None);
            }
            slots.stop(number);
            assert_eq!(slots.join_next().await.unwrap(), (number, 11));
        }
    }
}
