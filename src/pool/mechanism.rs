//! Leaving one mechanism out, to find out what it is worth. For benchmarks: no flag and no file sets it.

use super::Pool;
use super::slot::State;

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Requests of a pair held below the quota that bans have shown.
    Quota,
    /// Refusals of many exits at once taken for a limit of the host.
    HostWideLimit,
    /// A host that nobody reaches asked by one request at a time.
    HostBreaker,
    /// Second attempts, those of the end game included.
    Hedging,
    /// Duplicates of the last requests in idle slots.
    EndGame,
    /// Unknown proxies probed beside the requests; without it a request finds out.
    ProbeLane,
    /// Unknown proxies probed while those that are READY suffice.
    Exploration,
    /// Failures that may be the host's kept back until it shows; without it they are the proxy's.
    Attribution,
    /// Less time for a proxy that has never served; without it all have the same.
    StrangerPatience,
    /// Connects given up after what others took; without it after the user's own limit.
    ConnectTimeout,
    /// Requests at once as many as a proxy is seen to bear; without it as many as the user allows.
    Capacity,
    /// Quarantined proxies looked at early while the run starves.
    Recheck,
    /// A pause while this machine has no network.
    Pause,
    /// The best of 32; without it of 2.
    ManyChoices,
    /// A failure costs as much as two answers take; without it nothing.
    FailureCost,
}

impl Mechanism {
    /// All.
    pub const ALL: [Mechanism; 15] = [
        Mechanism::Quota,
        Mechanism::HostWideLimit,
        Mechanism::HostBreaker,
        Mechanism::Hedging,
        Mechanism::EndGame,
        Mechanism::ProbeLane,
        Mechanism::Exploration,
        Mechanism::Attribution,
        Mechanism::StrangerPatience,
        Mechanism::ConnectTimeout,
        Mechanism::Capacity,
        Mechanism::Recheck,
        Mechanism::Pause,
        Mechanism::ManyChoices,
        Mechanism::FailureCost,
    ];

    /// For a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Quota => "learned quota",
            Mechanism::HostWideLimit => "host-wide limit",
            Mechanism::HostBreaker => "host breaker",
            Mechanism::Hedging => "second attempts",
            Mechanism::EndGame => "end game",
            Mechanism::ProbeLane => "probe lane",
            Mechanism::Exploration => "exploration while served",
            Mechanism::Attribution => "failures in doubt kept back",
            Mechanism::StrangerPatience => "less time for strangers",
            Mechanism::ConnectTimeout => "adaptive connect timeout",
            Mechanism::Capacity => "adaptive capacity",
            Mechanism::Recheck => "early look at the quarantined",
            Mechanism::Pause => "own-network pause",
            Mechanism::ManyChoices => "best of 32 (of 2)",
            Mechanism::FailureCost => "cost of a failure",
        }
    }
}

impl Pool {
    /// True when this one is left out.
    pub(crate) fn without(&self, mechanism: Mechanism) -> bool {
        self.settings.without == Some(mechanism)
    }

    /// What has to be so from the beginning.
    pub(super) fn leave_out(&mut self) {
        match self.settings.without {
            Some(Mechanism::ProbeLane) => {
                for at in 0..self.roster.slots.len() as u32 {
                    self.roster.slot_mut(at).state = State::Ready;
                    self.roster.refile(at);
                }
            }
            Some(Mechanism::Capacity) => {
                let most = self.settings.proxy_concurrency;
                self.roster
                    .slots
                    .iter_mut()
                    .for_each(|slot| slot.bears(most));
            }
            Some(Mechanism::ConnectTimeout) => self.connect_timeout.fix(),
            _ => {}
        }
    }
}
