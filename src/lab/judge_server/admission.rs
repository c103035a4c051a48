//! Who may connect and ask how often: two buckets and a count of connections for each client.
//!
//! Requests beyond the rate are answered with 429. Connections are allowed twice as often as requests, so that a client with a
//! connection for each request hears of the 429 first; one that goes on all the same is hung up on before a handshake costs
//! anything.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::JudgeLimits;

/// Clients told apart; further ones share one share. It is reached only by clients that are busy at the same time: about 8 MB.
const MAX_CLIENTS: usize = 65_536;
/// Between two searches for clients that can be forgotten, each of which looks at all of them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// All clients. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    interval: Duration,
    burst: u32,
    connections: usize,
    connections_per_client: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    clients: HashMap<IpAddr, Client>,
    /// Stands for all that the table has no room for.
    others: Client,
    open: usize,
    swept: Option<Instant>,
}

#[derive(Debug, Default)]
struct Client {
    requests: Bucket,
    connects: Bucket,
    open: usize,
}

/// A token bucket, kept as the time at which it will be full.
#[derive(Debug, Default)]
struct Bucket {
    full: Option<Instant>,
}

/// The right to a connection; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    clients: Clients,
    /// `None` is one of the others.
    client: Option<IpAddr>,
}

impl Clients {
    pub(super) fn new(limits: &JudgeLimits) -> Self {
        Clients(Arc::new(Inner {
            interval: limits.interval,
            burst: limits.burst.get(),
            connections: limits.connections,
            connections_per_client: limits.connections_per_client,
            table: Mutex::default(),
        }))
    }

    /// Takes in a connection from `address`; `None` when it has to be closed.
    pub(super) fn seat(&self, address: IpAddr, now: Instant) -> Option<Seat> {
        let inner = &*self.0;
        let mut table = self.table();
        if table.open >= inner.connections {
            return None;
        }
        let client = table.place_for(client_of(address), now);
        let state = table.state(client);
        if state.open >= inner.connections_per_client {
            return None;
        }
        let connects = &mut state.connects;
        connects
            .take(now, inner.interval / 2, inner.burst.saturating_mul(2))
            .ok()?;
        state.open += 1;
        table.open += 1;
        Some(Seat {
            clients: self.clone(),
            client,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Takes a request.
    ///
    /// # Errors
    /// The client has none left; how long until it has one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let inner = &*self.clients.0;
        let mut table = self.clients.table();
        let requests = &mut table.state(self.client).requests;
        requests.take(now, inner.interval, inner.burst)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.clients.table();
        table.open -= 1;
        table.state(self.client).open -= 1;
    }
}

impl Table {
    /// Under which name this client is found from now on.
    fn place_for(&mut self, client: IpAddr, now: Instant) -> Option<IpAddr> {
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&client) {
            let swept = self.swept.is_some_and(|at| now < at + SWEEP_EVERY);
            if !swept {
                self.swept = Some(now);
                self.clients.retain(|_, client| !client.is_idle(now));
            }
            if self.clients.len() >= MAX_CLIENTS {
                return None;
            }
        }
        Some(client)
    }

    fn state(&mut self, client: Option<IpAddr>) -> &mut Client {
        match client {
            Some(client) => self.clients.entry(client).or_default(),
            None => &mut self.others,
        }
    }
}

impl Client {
    /// True when forgetting it changes nothing.
    fn is_idle(&self, now: Instant) -> bool {
        self.open == 0 && self.requests.is_full(now) && self.connects.is_full(now)
    }
}

impl Bucket {
    /// Takes a token out of at most `burst`, of which one comes back every `interval`.
    fn take(&mut self, now: Instant, interval: Duration, burst: u32) -> Result<(), Duration> {
        let full = self.full.map_or(now, |full| full.max(now));
        let missing = full - now;
        let most = interval.saturating_mul(burst.saturating_sub(1));
        if missing > most {
            return Err(missing - most);
        }
        self.full = full.checked_add(interval);
        Ok(())
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full.is_none_or(|full| full <= now)
    }
}

/// The client behind an address: with IPv6 the network, whose other 64 bits a client chooses as it likes.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two requests saved up, one a second; two connections for one client, `connections` for all.
    fn clients(connections: usize) -> Clients {
        Clients::new(&JudgeLimits {
            interval: SECOND,
            burst: NonZeroU32::new(2).unwrap(),
            connections,
            connections_per_client: 2,
            ..JudgeLimits::default()
        })
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_taken_at_once_and_comes_back_at_the_rate() {
        let (clients, now) = (clients(9), start());
        let seat = clients.seat(ip("192.0.2.1"), now).unwrap();
        assert_eq!(seat.take(now), Ok(()));
        assert_eq!(seat.take(now), Ok(()));
        assert_eq!(seat.take(now), Err(SECOND));
        assert_eq!(seat.take(now + SECOND / 2), Err(SECOND / 2));
        assert_eq!(seat.take(now + SECOND), Ok(()));
        assert_eq!(seat.take(now + SECOND), Err(SECOND));
        // A refusal is not charged, and no more than the burst is ever saved up.
        let later = now + SECOND * 60;
        assert_eq!([seat.take(later), seat.take(later)], [Ok(()), Ok(())]);
        assert_eq!(seat.take(later), Err(SECOND));
        drop(seat);
        let seat = clients.seat(ip("192.0.2.1"), later).unwrap();
        assert_eq!(
            seat.take(later),
            Err(SECOND),
            "a new connection is no new client"
        );
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let (clients, now) = (clients(99), start());
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.3", "192.0.2.4", false),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let one = clients.seat(ip(one), now).unwrap();
            assert_eq!([one.take(now), one.take(now)], [Ok(()), Ok(())]);
            let other = clients.seat(ip(other), now).unwrap();
            assert_eq!(other.take(now).is_err(), same, "{one:?} {other:?}");
        }
    }

    #[test]
    fn connections_are_bounded_for_one_client_and_for_all() {
        let (clients, now) = (clients(3), start());
        let first = clients.seat(ip("192.0.2.1"), now).unwrap();
        let _second = clients.seat(ip("192.0.2.1"), now).unwrap();
        assert!(clients.seat(ip("192.0.2.1"), now).is_none());
        let _third = clients.seat(ip("192.0.2.2"), now).unwrap();
        assert!(clients.seat(ip("192.0.2.3"), now).is_none());
        drop(first);
        assert!(clients.seat(ip("192.0.2.1"), now).is_some());
    }

    #[test]
    fn connections_without_end_are_refused_after_the_requests_are() {
        let (clients, now) = (clients(9), start());
        let address = ip("192.0.2.1");
        let answers: Vec<Option<bool>> = (0..5)
            .map(|_| Some(clients.seat(address, now)?.take(now).is_ok()))
            .collect();
        let [yes, told] = [Some(true), Some(false)];
        assert_eq!(answers, [yes, yes, told, told, None]);
        assert!(clients.seat(address, now + SECOND).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_only_who_has_everything_back() {
        let (clients, now) = (clients(9), start());
        let busy = |from: usize, now| {
            for number in from..from + MAX_CLIENTS {
                let address =
                    IpAddr::from([1, (number >> 16) as u8, (number >> 8) as u8, number as u8]);
                drop(clients.seat(address, now).unwrap());
            }
        };
        busy(0, now);
        let len = || clients.table().clients.len();
        assert_eq!(len(), MAX_CLIENTS);
        // The others share one share.
        let (one, other) = (
            clients.seat(ip("192.0.2.1"), now),
            clients.seat(ip("192.0.2.2"), now),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!([one.take(now), other.take(now)], [Ok(()), Ok(())]);
        assert!(one.take(now).is_err() && other.take(now).is_err());
        assert!(clients.seat(ip("192.0.2.3"), now).is_none());
        assert_eq!(len(), MAX_CLIENTS);
        let later = now + SECOND * 2;
        let _own = clients.seat(ip("192.0.2.4"), later).unwrap();
        assert_eq!(len(), 1);
        drop((one, other));
        assert_eq!(clients.table().others.open, 0);
    }
}
