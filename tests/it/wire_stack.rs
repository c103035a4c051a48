//! A lab on a thread of its own and the settings to fetch through it: the whole program but its command line.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::client::{Client, Settings};
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::{Builder, Lab, Origin, number_of};
use proxywheel::outcome::{Attempt, Finished};
use proxywheel::pool::Strategy;
use proxywheel::proxy::Proxy;
use url::Url;

/// What every test starts from.
pub(crate) struct Stack {
    pub(crate) lab: Lab,
    ca: tempfile::NamedTempFile,
}

impl Stack {
    pub(crate) fn start(builder: Builder) -> Self {
        let lab = Lab::spawn_thread(builder).unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), lab.ca_pem()).unwrap();
        Stack { lab, ca }
    }

    /// Every member in turn, so that a faulty one gets its share; the lab's authority for targets; no patience for what
    /// never answers.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.pool.strategy = Strategy::RoundRobin;
        settings.pool.connect_timeout = Duration::from_secs(2);
        settings.egress.cacert = Some(self.ca.path().to_owned());
        settings.egress.proxy_cacert = Some(self.ca.path().to_owned());
        settings.engine.max_time = Duration::from_secs(20);
        settings
    }

    /// A client over these members of the lab.
    pub(crate) fn client_of(
        &self,
        settings: Settings,
        members: impl IntoIterator<Item = u32>,
    ) -> Client {
        let members = members.into_iter();
        self.client_with(settings, members.map(|number| self.lab.proxy(number)))
    }

    /// A client over the whole lab.
    pub(crate) fn client(&self, settings: Settings) -> Client {
        self.client_with(settings, self.lab.proxies())
    }

    pub(crate) fn client_with(
        &self,
        settings: Settings,
        proxies: impl IntoIterator<Item = Proxy>,
    ) -> Client {
        let proxies: Vec<_> = proxies.into_iter().map(Arc::new).collect();
        let builder = Client::builder().configure(|own| *own = settings);
        builder.proxies(proxies).build().unwrap()
    }
}

/// A GET of `url`.
pub(crate) fn job(url: &str) -> Job {
    Job::new(0, url, Arc::new(RequestSpec::default()))
}

/// Which proxy of the lab an attempt went through.
pub(crate) fn number(attempt: &Attempt) -> u32 {
    let address: Ipv4Addr = attempt.proxy.host().parse().unwrap();
    number_of(address).unwrap()
}

/// All proxies that `done` went through.
pub(crate) fn numbers(done: &Finished) -> BTreeSet<u32> {
    done.record.attempt_log.iter().map(number).collect()
}

/// What `url` brings through an honest proxy.
pub(crate) fn page_of(url: &str) -> bytes::Bytes {
    let url = Url::parse(url).unwrap();
    let path = &url[url::Position::BeforePath..];
    Origin::expected_body(url.host_str().unwrap(), path)
}

/// The row is ok and its body is the page of `url`.
pub(crate) fn assert_page(done: &Finished, url: &str) {
    let record = &done.record;
    assert!(record.ok, "{url}: {}", tell(done));
    assert!(done.body == page_of(url), "{url}: a wrong body");
}

/// A row in short, for messages.
pub(crate) fn tell(done: &Finished) -> String {
    let record = &done.record;
    let attempts: Vec<_> = record
        .attempt_log
        .iter()
        .map(|attempt| format!("{}: {}", number(attempt), tell_attempt(attempt)))
        .collect();
    format!(
        "{} {:?} {:?} [{}]",
        record.outcome,
        record.status,
        record.error,
        attempts.join("; ")
    )
}

/// An attempt in one line: outcome, blame, status, rule, error.
pub(crate) fn tell_attempt(attempt: &Attempt) -> String {
    let error = attempt.error.as_ref().map_or(String::new(), |error| {
        format!(" {}/{}", error.kind, error.phase.unwrap_or("-"))
    });
    let rule = attempt.rule.as_deref().unwrap_or("-");
    format!("{} {:?} {rule}{error}", attempt.outcome, attempt.blame)
}
