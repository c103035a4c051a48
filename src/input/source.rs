//! The jobs of arguments and files, made a few at a time where they are wanted.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::yield_now;
use url::Url;

use crate::error::{Error, Problem};
use crate::job::{DoneSet, Job, RequestSpec, Role};
use crate::outcome::{Finished, Outcome};

use super::block::{Block, Format};
use super::outlook::{Outlook, ToCome};
use super::reader::{Input, LOOK_AHEAD, Parcel, read_all};
use super::sitemap::{Errand, Fetched};
use super::{BATCH, JobSource, Settings, Source};

/// Inputs that are open and understood, not yet read; see [`super::prepare`].
pub struct Prepared {
    urls: Vec<String>,
    inputs: Vec<Input>,
    /// What the inputs send; at its end when there are none.
    receiver: Receiver<Parcel>,
    outlook: Outlook,
    request: Arc<RequestSpec>,
}

impl Prepared {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        if settings.urls.is_empty() && settings.files.is_empty() {
            return Err(Problem::new("nothing to fetch: no URL and no input file")
                .hint("name URLs as arguments, or a file with -i urls.txt (-i - reads stdin)")
                .into());
        }
        let stdin = settings.files.iter().filter(|file| **file == Source::Stdin);
        if stdin.count() > 1 {
            return Err(Problem::new("standard input can be read only once")
                .at("-i -")
                .into());
        }
        let (sender, receiver) = channel(LOOK_AHEAD);
        let named = settings.urls.iter().map(|url| Some(url.len() as u64));
        let sizes = named.chain(settings.files.iter().map(Source::size));
        let outlook = Outlook::new(sizes.sum());
        let mut inputs = Vec::with_capacity(settings.files.len());
        for source in &settings.files {
            inputs.push(Input::open(source, &settings, sender.clone())?);
        }
        Ok(Prepared {
            urls: settings.urls,
            inputs,
            receiver,
            outlook,
            request: settings.request,
        })
    }

    /// More jobs than this cannot be sent; `None` when nobody can tell.
    pub fn most(&self) -> Option<u64> {
        self.outlook.most()
    }

    /// The columns of the CSV inputs that become `tag`, each once, in order: what a CSV output can name in its header.
    pub fn tag_columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for columns in self.inputs.iter().filter_map(Input::columns) {
            for name in columns.tags() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// Fails unless jobs can have a field `name` in their tag: a CSV has to have that column. What JSONL has is seen later, see
    /// [`ReaderSource::watch_tag`].
    ///
    /// # Errors
    /// A CSV without it, or nothing but URLs.
    pub fn check_tag(&self, name: &str) -> Result<(), Problem> {
        let mut can_have = false;
        for input in &self.inputs {
            can_have |= input.check_tag(name)?;
        }
        if can_have {
            return Ok(());
        }
        Err(
            Problem::new(format!("no input has fields, so none is called {name:?}"))
                .at("--sticky").hint(
                "read a CSV with such a column, or JSONL with \"tag\"; --sticky host needs neither",
            ),
        )
    }

    /// Starts to read; jobs in `done` are skipped and counted.
    ///
    /// # Errors
    /// [`Error::Io`] when no thread can be started.
    pub fn start(self, done: DoneSet) -> Result<ReaderSource, Error> {
        let Prepared {
            urls,
            inputs,
            receiver,
            outlook,
            request,
        } = self;
        let mut block = Block::new(Format::Named);
        for url in &urls {
            block.push([url.as_bytes()], false, url.len() as u64);
        }
        let thread = if inputs.is_empty() {
            None
        } else {
            let thread = Builder::new().name("input".to_owned());
            let started = thread.spawn(move || read_all(inputs));
            Some(started.map_err(|error| Error::io("start", "the input thread", error))?)
        };
        Ok(ReaderSource {
            block,
            at: 0,
            receiver,
            thread,
            errand: None,
            request,
            done,
            skipped: Arc::default(),
            watched: None,
            to_come: ToCome::default(),
            seq: 0,
            outlook,
        })
    }
}

/// The jobs of the arguments and files, read by a thread that ends when this is dropped (or when its `read` returns).
#[derive(Debug)]
pub struct ReaderSource {
    /// What jobs are made of at present, the arguments first, and its row that is next.
    block: Block,
    at: usize,
    receiver: Receiver<Parcel>,
    /// `None` when there is nothing to read, and when it has ended.
    thread: Option<JoinHandle<()>>,
    /// What the thread waits for, and whether there is a row that says that it could not be had.
    errand: Option<(Errand, bool)>,
    request: Arc<RequestSpec>,
    done: DoneSet,
    skipped: Arc<AtomicU64>,
    /// A field of tags, and how many jobs have it and have it not.
    watched: Option<(Box<str>, [Arc<AtomicU64>; 2])>,
    to_come: ToCome,
    /// Jobs so far, skipped ones included: the position in the input.
    seq: u64,
    outlook: Outlook,
}

impl ReaderSource {
    /// Jobs left out because they are done; counts on while the source is in use elsewhere.
    pub fn skipped(&self) -> Arc<AtomicU64> {
        self.skipped.clone()
    }

    /// How many jobs have this field in their tag, and how many have not; counts on while the source is in use elsewhere.
    pub fn watch_tag(&mut self, name: &str) -> [Arc<AtomicU64>; 2] {
        let (_, counts) = self.watched.insert((name.into(), Default::default()));
        counts.clone()
    }

    /// Jobs still to come, about; follows the reading while the source is in use elsewhere.
    pub fn to_come(&self) -> ToCome {
        self.to_come.clone()
    }

    /// The job that brings a sitemap.
    fn send_for(&self, url: &Url) -> Job {
        // Asked for as the pages are, but for what is sent to them.
        let request = RequestSpec {
            method: Method::GET,
            body: Bytes::new(),
            headers: self.request.asking_headers(),
        };
        Job {
            role: Role::Sitemap,
            ..Job::new(self.seq, url.as_str(), Arc::new(request))
        }
    }

    /// The jobs of the next rows of the block, [`BATCH`] rows at most.
    fn make(&mut self) -> Vec<Job> {
        let end = self.block.len().min(self.at + BATCH);
        let mut jobs = Vec::with_capacity(end - self.at);
        for at in self.at..end {
            let Some(job) = self.block.job(at, self.seq, &self.request) else {
                continue;
            };
            self.seq += 1;
            if let Some((name, [with, without])) = &self.watched {
                let has = job
                    .tag
                    .as_ref()
                    .is_some_and(|tag| tag.contains_key(&**name));
                let count = if has { with } else { without };
                count.fetch_add(1, Ordering::Relaxed);
            }
            if self.done.take(job.id) {
                self.skipped.fetch_add(1, Ordering::Relaxed);
            } else {
                jobs.push(job);
            }
        }
        let bytes = self.block.size_of(self.at..end);
        self.outlook.note(bytes, jobs.len() as u64);
        self.to_come.set(self.outlook.remaining());
        self.at = end;
        jobs
    }
}

impl JobSource for ReaderSource {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        loop {
            if self.at == self.block.len() {
                match self.receiver.recv().await {
                    Some(Parcel::Rows(block)) => (self.block, self.at) = (block, 0),
                    Some(Parcel::Failed(error)) => return Some(Err(error)),
                    Some(Parcel::Errand(errand)) => {
                        let job = self.send_for(&errand.url);
                        // Sitemaps are read in every run: what they list changes. Only a failure has a row.
                        self.errand = Some((errand, self.done.take(job.id)));
                        return Some(Ok(vec![job]));
                    }
                    None => {
                        // The senders are gone, so the thread is at its end; a panic there must not pass for the end of
                        // the input.
                        if let Some(thread) = self.thread.take()
                            && let Err(panic) = thread.join()
                        {
                            resume_unwind(panic);
                        }
                        return None;
                    }
                }
            }
            let jobs = self.make();
            if !jobs.is_empty() {
                return Some(Ok(jobs));
            }
            // A long stretch of comments or of jobs that are done must not hold up the task.
            yield_now().await;
        }
    }

    fn answered(&mut self, mut done: Finished) -> Option<Finished> {
        let (errand, has_row) = self.errand.take()?;
        if done.record.outcome == Outcome::Ok {
            let at = done.record.final_url.as_deref();
            let fetched = Fetched {
                body: done.body,
                at: at.and_then(|url| Url::parse(url).ok()),
            };
            // The thread may be at its end because something else has failed.
            let _ = errand.reply.send(fetched);
            return None;
        }
        if has_row {
            return None;
        }
        done.record.seq = self.seq;
        done.body = Bytes::new();
        self.seq += 1;
        Some(done)
    }

    fn remaining(&self) -> Option<u64> {
        self.outlook.remaining()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, Read};
    use std::task::{Context, Poll, Waker};
    use std::{pin::pin, thread};

    use ::csv::ByteRecord;
    use proptest::prelude::*;

    use super::super::csv::Table;
    use super::super::{BUFFER, InputFormat, jsonl, text};
    use super::*;

    type Opened = (InputFormat, Box<dyn Read + Send>);

    fn source(urls: &[String], inputs: Vec<Opened>, done: DoneSet) -> ReaderSource {
        let (sender, receiver) = channel(LOOK_AHEAD);
        let open = |(format, reader)| {
            Input::new(reader, "here".to_owned(), format, None, sender.clone()).unwrap()
        };
        let prepared = Prepared {
            urls: urls.to_vec(),
            inputs: inputs.into_iter().map(open).collect(),
            receiver,
            outlook: Outlook::new(None),
            request: Arc::default(),
        };
        drop(sender);
        prepared.start(done).unwrap()
    }

    /// Every read brings as many bytes as its turn says.
    struct Pieces {
        content: Cursor<Vec<u8>>,
        sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
    }

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes.next().unwrap().min(into.len());
            self.content.read(&mut into[..size])
        }
    }

    /// What each line is, by the book.
    fn line_by_line(
        content: &[u8],
        limit: usize,
        parse: fn(&[u8], bool, u64, &Arc<RequestSpec>) -> Option<Job>,
        jobs: &mut Vec<Job>,
    ) {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        for line in content.split(|byte| *byte == b'\n') {
            let too_long = line.strip_suffix(b"\r").unwrap_or(line).len() > limit;
            let kept = &line[..line.len().min(limit)];
            jobs.extend(parse(kept, too_long, jobs.len() as u64, &Arc::default()));
        }
    }

    fn row_by_row(content: &[u8], jobs: &mut Vec<Job>) {
        let mut table = Table::new(content, "here", None, None).unwrap();
        let columns = table.columns().clone();
        let mut row = ByteRecord::new();
        while table.advance(&mut row).unwrap() {
            jobs.push(columns.job(row.iter(), jobs.len() as u64, &Arc::default()));
        }
    }

    /// Lines of every kind, some of them many times.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let long = (text::MAX_LINE - 2..text::MAX_LINE + 2, "[\r]{0,2}");
        let line = prop_oneof![
            8 => "http://[a-z]{1,3}/[a-z]{0,9}\r?".prop_map(String::into_bytes),
            4 => r#"\{"url":"http://[a-z]/","body":"[a-z]{0,9}"\}"#.prop_map(String::into_bytes),
            2 => "( ?#.{0,9}|[ \r]{0,3})".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..20),
            1 => long.prop_map(|(length, end)| ("x".repeat(length) + &end).into_bytes()),
        ];
        let some =
            (line, prop_oneof![4 => 1..3_usize, 1 => 1..300_usize]).prop_map(|(line, times)| {
                [line.as_slice(), b"\n"]
                    .concat()
                    .repeat(times.min(1 + 60_000 / (line.len() + 1)))
            });
        let mark = prop_oneof![Just(""), Just("\u{feff}http://first/\n")];
        (mark, prop::collection::vec(some, 0..8), any::<bool>()).prop_map(|(mark, lines, ended)| {
            let mut content = [mark.as_bytes(), &lines.concat()].concat();
            if !ended {
                content.pop();
            }
            content
        })
    }

    fn rows() -> impl Strategy<Value = Vec<u8>> {
        let row = "(http://[a-z]{1,9}/,[a-z]{0,3}|\"http://[a-z]/?[a-z,\n]{0,9}\",\"[a-z\n,]{0,9}\"|[a-z,]{0,9})\r?\n";
        let some = (row, prop_oneof![4 => 1..3_usize, 1 => 1..300_usize]);
        let some = some.prop_map(|(row, times)| row.repeat(times));
        prop::collection::vec(some, 0..8)
            .prop_map(|rows| format!("url,note\n{}", rows.concat()).into_bytes())
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1..30_usize, 1_000..100_000_usize], 1..10)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn however_blocks_fall_the_jobs_are_those_of_line_by_line(
            named in 0..150_usize,
            lines in lines(),
            rows in rows(),
            sizes in sizes(),
        ) {
            let urls: Vec<String> = (0..named).map(|at| format!("http://named/{at}")).collect();
            let mut expected: Vec<Job> = Vec::new();
            for url in &urls {
                expected.push(Job::new(expected.len() as u64, url, Arc::default()));
            }
            line_by_line(&lines, text::MAX_LINE, text::job, &mut expected);
            line_by_line(&lines, jsonl::MAX_LINE, jsonl::job, &mut expected);
            row_by_row(&rows, &mut expected);

            let pieces = |format, content: &Vec<u8>| -> Opened {
                let content = Cursor::new(content.clone());
                let sizes = sizes.clone().into_iter().cycle();
                (format, Box::new(Pieces { content, sizes }))
            };
            let inputs = vec![
                pieces(InputFormat::Text, &lines),
                pieces(InputFormat::Jsonl, &lines),
                pieces(InputFormat::Csv, &rows),
            ];
            let mut source = source(&urls, inputs, DoneSet::default());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let jobs = runtime.block_on(async {
                let mut jobs = Vec::new();
                while let Some(batch) = source.next().await {
                    let batch = batch.unwrap();
                    assert!((1..=BATCH).contains(&batch.len()));
                    jobs.extend(batch);
                }
                jobs
            });
            prop_assert_eq!(format!("{jobs:#?}"), format!("{expected:#?}"));
        }
    }

    /// The same lines for ever; counts their bytes.
    struct Endless {
        lines: Vec<u8>,
        read: Arc<AtomicU64>,
    }

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let at = self.read.load(Ordering::Relaxed) as usize % self.lines.len();
            let count = (&self.lines[at..]).read(into)?;
            self.read.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    #[tokio::test]
    async fn what_is_read_ahead_is_bounded() {
        let padding = "x".repeat(jsonl::MAX_LINE - 100);
        for line in [
            "{\"url\":\"http://a/\"}\n".to_owned(),
            format!("{{\"url\":\"http://a/\",\"body\":\"{padding}\"}}\n"),
        ] {
            let length = line.len();
            let read = Arc::default();
            let endless = Endless {
                lines: line.repeat(1 + BUFFER / length).into_bytes(),
                read: Arc::clone(&read),
            };
            let input: Opened = (InputFormat::Jsonl, Box::new(endless));
            let mut source = source(&[], vec![input], DoneSet::default());
            // What waits, what waits to be sent and what is being taken; and what is not cut yet.
            let bound = (LOOK_AHEAD + 3) * (BUFFER + length);
            for _ in 0..20 {
                loop {
                    let read = read.load(Ordering::Relaxed) as usize;
                    let ahead = read - source.seq as usize * length;
                    assert!(ahead <= bound, "{ahead} bytes ahead, {bound} at most");
                    if source.receiver.len() == LOOK_AHEAD {
                        break;
                    }
                    thread::yield_now();
                }
                source.next().await.unwrap().unwrap();
            }
        }
    }

    #[test]
    fn jobs_that_are_done_are_left_out_a_few_at_a_time() {
        let fresh = "http://a/fresh";
        let content = format!("{}{fresh}", "http://a/\n# comment\n".repeat(5000));
        let mut done = DoneSet::default();
        for _ in 0..5000 {
            done.insert(Job::new(0, "http://a/", Arc::default()).id);
        }
        let input: Opened = (InputFormat::Text, Box::new(Cursor::new(content)));
        let mut source = source(&[], vec![input], done);
        let skipped = source.skipped();
        let mut before = 0;
        let jobs = loop {
            // A call that is dropped while it waits loses nothing.
            let polled = pin!(source.next()).poll(&mut Context::from_waker(Waker::noop()));
            let now = skipped.load(Ordering::Relaxed);
            assert!(now - before <= BATCH as u64);
            before = now;
            match polled {
                Poll::Ready(jobs) => break jobs.unwrap().unwrap(),
                Poll::Pending => thread::yield_now(),
            }
        };
        assert_eq!((&*jobs[0].input, jobs[0].seq), (fresh, 5000));
        assert_eq!(before, 5000);
    }

    #[tokio::test]
    async fn what_was_read_before_a_failure_is_still_good_and_nothing_after_it_is() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let inputs: Vec<Opened> = vec![
            (InputFormat::Text, Box::new(&b"http://a/\nhttp://b/"[..])),
            (
                InputFormat::Text,
                Box::new((&b"http://c/\nhttp://"[..]).chain(Failing)),
            ),
            (InputFormat::Text, Box::new(&b"http://d/"[..])),
        ];
        let mut source = source(&[], inputs, DoneSet::default());
        let mut urls = Vec::new();
        let error = loop {
            match source.next().await.expect("an error before the end") {
                Ok(jobs) => urls.extend(jobs.into_iter().map(|job| job.input)),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(urls, ["http://a/", "http://b/", "http://c/"].map(Box::from));
        assert!(error.contains("here"), "{error}");
        assert!(source.next().await.is_none());
    }

    #[tokio::test]
    #[should_panic(expected = "out of order")]
    async fn a_panic_while_reading_goes_on_where_jobs_are_taken() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("out of order");
            }
        }
        let input: Opened = (InputFormat::Text, Box::new(Broken));
        source(&[], vec![input], DoneSet::default()).next().await;
    }

    #[tokio::test]
    async fn arguments_need_no_thread_and_say_how_many_are_to_come() {
        let settings = Settings {
            urls: vec!["http://a/".to_owned(); BATCH + 2],
            ..Settings::default()
        };
        let prepared = Prepared::new(settings).unwrap();
        let mut source = prepared.start(DoneSet::default()).unwrap();
        assert!(source.thread.is_none());
        for left in [2, 0] {
            source.next().await.unwrap().unwrap();
            assert_eq!(source.remaining(), Some(left));
        }
        assert!(source.next().await.is_none());
    }
}
