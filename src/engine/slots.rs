//! The tasks of the attempts, one for each request in flight, used again and again.
//!
//! A task of its own for every attempt costs an allocation of some kilobytes, a copy of its whole state into it, and a place in
//! two lists: a twentieth of what a fetch costs. Here a task that has brought its result waits for the next call. It is the
//! interface of a `JoinSet` otherwise: nothing is detached, a panic comes out of the next join, dropping the set ends all.

use std::future::Future;
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

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has an idle task called with `call`, or a new one, which runs `work` for this and all later calls.
    pub(super) fn start<W, F>(&mut self, call: A, work: impl FnOnce() -> W)
    where
        W: Fn(A) -> F + Send + 'static,
        F: Future<Output = T> + Send,
    {
        if let Some(number) = self.idle.pop() {
            let seat = &self.seats[number];
            *seat.call() = Some(call);
            seat.called.notify_one();
            return;
        }
        let seat = Arc::new(Seat {
            call: Mutex::new(Some(call)),
            called: Notify::new(),
        });
        let number = self.seats.len();
        self.seats.push(seat.clone());
        let (results, work) = (self.sender.clone(), work());
        // Boxed: a task cell with the attempt's kilobytes in it would take the allocator's slow path.
        self.tasks.spawn(Box::pin(async move {
            loop {
                let call = seat.wait().await;
                let brought = work(call).await;
                if results.send((number, brought)).is_err() {
                    return;
                }
            }
        }));
    }

    /// The next result, in the order they were brought. Pending for ever when nothing is under way. Cancel-safe.
    pub(super) async fn join_next(&mut self) -> Result<T, JoinError> {
        tokio::select! {
            biased;
            Some(result) = self.results.recv() => Ok(self.take(result)),
            Some(Err(error)) = self.tasks.join_next() => Err(error),
            else => std::future::pending().await,
        }
    }

    /// A result that is there.
    pub(super) fn try_join_next(&mut self) -> Option<T> {
        let result = self.results.try_recv().ok()?;
        Some(self.take(result))
    }

    fn take(&mut self, (number, result): (usize, T)) -> T {
        self.idle.push(number);
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

    fn doubling() -> impl Fn(u32) -> std::future::Ready<u32> {
        |n| std::future::ready(2 * n)
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
                all.push(slots.join_next().await.unwrap());
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
        slots.start(1, || |n| async move { panic!("call {n}") });
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
                move |n: u32| {
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
        assert_eq!(slots.try_join_next(), Some(0));
        assert_eq!(slots.try_join_next(), None);
        assert_eq!(Arc::strong_count(&gate), 1, "nobody waits any more");
    }
}
