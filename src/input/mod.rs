//! Where jobs come from: arguments, text, JSONL and CSV, streamed with a bounded look-ahead.

use std::future::Future;

use crate::error::Error;
use crate::job::Job;

/// A stream of jobs in small batches. Implemented by the reader thread and by the library's own streams.
pub trait JobSource: Send + 'static {
    /// The next jobs, `None` at the end. Cancel-safe: a dropped call loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Result<Vec<Job>, Error>>> + Send;
}
