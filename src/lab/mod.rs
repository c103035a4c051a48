//! The lab: the project's own hostile network on loopback, for tests, benchmarks, rehearsals and `demo`.
//!
//! A [`Lab`] holds any number of forward proxies and every site whose name ends in `.test`. Proxies are numbered from 0;
//! number *n* is reached, and appears to sites, at [`address_of`]`(n)`: three listeners (HTTP, HTTP in TLS, SOCKS) stand for
//! all of them, because the address dialled says which one is meant. Sites have no sockets: the proxy that is asked for one
//! answers in its place, inside the tunnel with a certificate of the lab's authority ([`Lab::ca_pem`]). Where a real
//! connection has to be seen, [`Lab::origin_address`] is a listener that proxies dial from their own addresses, and
//! whose peer address therefore proves who connected.
//!
//! What is wrong with a proxy is a list of [`Fault`]s; how a site behaves is a [`HostPlan`]; what it answers by path is the
//! table below. Everything that is rolled is rolled from the seed. Counters are always on; the log of [`Hit`]s is asked for.
//!
//! It needs Linux, where all of 127.0.0.0/8 is local. It takes connections from this machine only, dials nothing but
//! loopback, and resolves no names. It does not imitate the timing of real networks beyond a delay for each answer. The one part
//! that is meant for the open Internet is [`JudgeServer`], the lab's judge by itself.
//!
//! # Pages
#![doc = include_str!("pages.md")]

mod address;
mod answer;
mod builder;
mod fault;
mod http2;
mod judge;
mod judge_server;
mod listen;
mod mix;
mod origin;
mod pages;
mod plan;
mod proxy_http;
mod proxy_socks;
mod rehearsal;
pub mod scenario;
mod script;
mod serve;
mod stats;
mod stream;
mod tls;
mod tunnel;
mod wire;
mod world;

pub use address::{JUDGE_ADDRESS, MAX_PROXIES, ORIGIN_ADDRESS, address_of, number_of};
pub use builder::{Builder, GatewaySpec, ProxySpec};
pub use fault::{BadTls, DRIP_BYTES, Fault, GREETING, TUNNEL_CUT_BYTES};
pub use judge_server::{JudgeCounts, JudgeLimits, JudgeServer, JudgeSettings, JudgeTls, KeyFile};
pub use mix::Mix;
pub use origin::Origin;
pub use plan::{BanRule, BanStyle, Errors, Flapping, HostPlan, Quota};
pub use script::{Asked, Script, Shown};
pub use stats::{Hit, HostStats, ProxyStats, Stats, busiest_window};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::proxy::{Credentials, Labels, Proxy, Rotation};
use crate::secret::Secret;
use listen::{BlackHole, Role};
use rehearsal::Rehearsal;
use world::{Gate, World};

/// A running lab. Dropping it ends all of its tasks; [`Lab::stop`] also waits for them.
///
/// A panic in one of its tasks is raised again by `stop` or `drop`, so that a test cannot pass over a broken lab.
#[derive(Debug)]
pub struct Lab {
    world: Arc<World>,
    ports: Ports,
    runner: Option<Runner>,
}

/// What keeps a lab running.
#[derive(Debug)]
enum Runner {
    Here(Running),
    Thread(oneshot::Sender<()>, JoinHandle<()>),
}

/// Tasks, and sockets that have to stay open.
#[derive(Debug)]
struct Running {
    tasks: JoinSet<()>,
    _refusing: TcpSocket,
    _black_hole: Option<BlackHole>,
}

/// Where each sort of proxy listens, on every address.
#[derive(Debug, Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    socks: u16,
    refusing: u16,
    black_hole: u16,
    origin: u16,
    judge: u16,
}

impl Lab {
    /// A lab without proxies, whose hosts all answer.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a lab on a thread and a runtime of its own, apart from the client it serves. Waits for it to listen, some
    /// milliseconds.
    ///
    /// # Errors
    /// As [`Builder::start`]; no thread or runtime.
    pub fn spawn_thread(builder: Builder) -> io::Result<Lab> {
        let (started, wait) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lab".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let serve = async {
                    match run(&builder).await {
                        Ok((world, ports, running)) => {
                            if started.send(Ok((world, ports))).is_ok() {
                                // Both a message and a dropped sender mean the end.
                                let _ = stopped.await;
                            }
                            finish(running).await;
                        }
                        // The other side waits for exactly one message.
                        Err(error) => drop(started.send(Err(error))),
                    }
                };
                match runtime {
                    Ok(runtime) => runtime.block_on(serve),
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        let (world, ports) = wait
            .recv()
            .map_err(|_| io::Error::other("the lab's thread has ended"))??;
        Ok(Lab {
            world,
            ports,
            runner: Some(Runner::Thread(stop, thread)),
        })
    }

    /// Number of proxies.
    pub fn len(&self) -> usize {
        self.world.proxies.len()
    }

    /// True for a lab without proxies.
    pub fn is_empty(&self) -> bool {
        self.world.proxies.is_empty()
    }

    /// Proxy `number` as an entry of the pool.
    ///
    /// # Panics
    /// There is no such proxy.
    pub fn proxy(&self, number: u32) -> Proxy {
        let state = self.world.proxy(number);
        let credentials = self
            .credentials(number)
            .map(|(user, password)| Credentials {
                user: Secret::new(user),
                password: Secret::new(password),
            });
        let host = address_of(state.gate).to_string();
        let proxy = Proxy::new(state.spec.scheme, &host, self.port(number), credentials);
        match self.is_rotating(number) {
            true => proxy.with_labels(Labels {
                rotation: Rotation::PerConnection,
                ..Labels::default()
            }),
            false => proxy,
        }
    }

    /// All entries of the pool: a proxy or exit each, and one for a gateway that rotates by itself.
    pub fn proxies(&self) -> Vec<Proxy> {
        self.listed().map(|number| self.proxy(number)).collect()
    }

    /// Proxy `number` as people write it, credentials included.
    ///
    /// # Panics
    /// There is no such proxy.
    pub fn proxy_url(&self, number: u32) -> String {
        self.proxy(number).url().expose().to_owned()
    }

    /// A proxy list file with all of [`Lab::proxies`].
    pub fn proxy_list(&self) -> String {
        let mut list = String::new();
        for proxy in self.proxies() {
            list.push_str(proxy.line().expose());
            list.push('\n');
        }
        list
    }

    /// The authority that signs the certificates of sites and TLS proxies, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.world.authority.pem()
    }

    /// A real listener that answers like any site, by http and https alike. Its host name is [`ORIGIN_ADDRESS`].
    pub fn origin_address(&self) -> SocketAddr {
        (ORIGIN_ADDRESS, self.ports.origin).into()
    }

    /// The judge's URL: every site of the lab is one below `/judge`, and this one is also reached directly, from the client's
    /// own address. It is down while the plan of [`JUDGE_ADDRESS`] says so.
    pub fn judge_url(&self, https: bool) -> String {
        let scheme = if https { "https" } else { "http" };
        format!("{scheme}://{JUDGE_ADDRESS}:{}/judge", self.ports.judge)
    }

    /// A snapshot of all counters.
    pub fn stats(&self) -> Stats {
        Stats {
            proxies: self
                .world
                .proxies
                .iter()
                .map(|proxy| proxy.counters.snapshot())
                .collect(),
            hosts: self.world.origin.stats(),
            hits_dropped: self.world.origin.hits().dropped(),
        }
    }

    /// What its scenario's world was asked so far; `None` for a lab without a scenario.
    pub fn tally(&self) -> Option<scenario::Tally> {
        let rehearsal = self.world.rehearsal.as_ref()?;
        Some(rehearsal.tally())
    }

    /// The hits logged so far.
    pub fn hits(&self) -> Vec<Hit> {
        self.world.origin.hits().all()
    }

    /// The hits logged so far, which are then forgotten.
    pub fn take_hits(&self) -> Vec<Hit> {
        self.world.origin.hits().take()
    }

    /// Changes what is wrong with a proxy from its next request on. Its address stays: see [`Fault::Refuse`] and
    /// [`Fault::BlackHole`].
    ///
    /// # Panics
    /// There is no such proxy.
    pub fn set_faults(&self, number: u32, faults: Vec<Fault>) {
        self.world.proxy(number).set_faults(faults);
    }

    /// Changes how a host behaves from its next request on.
    pub fn set_host(&self, name: &str, plan: HostPlan) {
        self.world.origin.set_plan(name, plan);
    }

    /// From now on a host shows what a script says.
    pub fn set_site(&self, name: &str, script: Script) {
        self.world.origin.set_script(name, script);
    }

    /// Ends all tasks and waits for them.
    ///
    /// # Panics
    /// A task of the lab has panicked.
    pub async fn stop(mut self) {
        match self.runner.take() {
            Some(Runner::Here(running)) => finish(running).await,
            Some(Runner::Thread(stop, thread)) => {
                drop(stop);
                // The thread has nothing left to do but drop its sockets.
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                if let Ok(Err(payload)) = joined {
                    std::panic::resume_unwind(payload);
                }
            }
            None => {}
        }
        // Drop raises what connections have panicked with.
    }

    fn listed(&self) -> impl Iterator<Item = u32> {
        let count = u32::try_from(self.world.proxies.len()).unwrap_or(MAX_PROXIES);
        (0..count).filter(|number| {
            self.world.proxy(*number).gate == *number || !self.is_rotating(*number)
        })
    }

    fn gate(&self, number: u32) -> &Gate {
        &self.world.gates[self.world.proxy(number).gate as usize]
    }

    fn is_rotating(&self, number: u32) -> bool {
        matches!(self.gate(number), Gate::Gateway(gateway) if gateway.per_connection)
    }

    fn credentials(&self, number: u32) -> Option<(String, String)> {
        match self.gate(number) {
            Gate::Gateway(gateway) if gateway.per_connection => {
                Some((gateway.user.clone(), gateway.password.clone()))
            }
            Gate::Gateway(gateway) => Some((
                format!("{}-{}", gateway.user, number - gateway.first),
                gateway.password.clone(),
            )),
            Gate::Own | Gate::Shut => self.world.proxy(number).spec.credentials.clone(),
        }
    }

    fn port(&self, number: u32) -> u16 {
        let spec = &self.world.proxy(number).spec;
        if spec.faults.contains(&Fault::Refuse) {
            self.ports.refusing
        } else if spec.faults.contains(&Fault::BlackHole) {
            self.ports.black_hole
        } else {
            match Role::of(spec.scheme) {
                Role::Http | Role::Origin => self.ports.http,
                Role::Https => self.ports.https,
                Role::Socks => self.ports.socks,
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(Runner::Thread(stop, thread)) = self.runner.take() {
            drop(stop);
            if thread.join().is_err() && !std::thread::panicking() {
                panic!("the lab's thread has panicked");
            }
        }
        let panic = &self.world.panic;
        let panic = panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(text) = panic
            && !std::thread::panicking()
        {
            panic!("a task of the lab has panicked: {text}");
        }
    }
}

impl Builder {
    /// Starts the lab on the current runtime.
    ///
    /// # Errors
    /// No free port or descriptor, an impossible proxy, or more proxies than addresses.
    pub async fn start(self) -> io::Result<Lab> {
        let (world, ports, running) = run(&self).await?;
        Ok(Lab {
            world,
            ports,
            runner: Some(Runner::Here(running)),
        })
    }
}

async fn run(builder: &Builder) -> io::Result<(Arc<World>, Ports, Running)> {
    let (proxies, gates) = builder.build()?;
    let needs_black_hole = proxies
        .iter()
        .any(|proxy| proxy.spec.faults.contains(&Fault::BlackHole));
    let black_hole = match needs_black_hole {
        true => Some(BlackHole::open().await?),
        false => None,
    };
    let (refusing, refusing_port) = listen::refusing()?;
    let world = Arc::new(World {
        seed: builder.seed,
        gates,
        proxies,
        origin: Origin::new(
            builder.seed,
            builder.default_plan.clone(),
            builder.plans.iter().cloned(),
            builder.hit_capacity,
            tokio::time::Instant::now().into_std(),
        )?,
        authority: tls::Authority::try_new(!builder.http1_only)?,
        rehearsal: builder.rehearsal.as_ref().map(|(scenario, seed)| {
            Rehearsal::new(scenario, *seed, tokio::time::Instant::now().into_std())
        }),
        panic: Mutex::new(None),
    });
    let mut tasks = JoinSet::new();
    let mut listen = |address: Ipv4Addr, role: Role| -> io::Result<u16> {
        let listener = listen::bind(address)?;
        let port = listener.local_addr()?.port();
        tasks.spawn(listen::run(world.clone(), listener, role));
        Ok(port)
    };
    let ports = Ports {
        http: listen(Ipv4Addr::UNSPECIFIED, Role::Http)?,
        https: listen(Ipv4Addr::UNSPECIFIED, Role::Https)?,
        socks: listen(Ipv4Addr::UNSPECIFIED, Role::Socks)?,
        origin: listen(ORIGIN_ADDRESS, Role::Origin)?,
        judge: listen(JUDGE_ADDRESS, Role::Origin)?,
        refusing: refusing_port,
        black_hole: black_hole.as_ref().map_or(refusing_port, |hole| hole.port),
    };
    let running = Running {
        tasks,
        _refusing: refusing,
        _black_hole: black_hole,
    };
    Ok((world, ports, running))
}

async fn finish(mut running: Running) {
    running.tasks.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "a task of the lab has panicked: boom")]
    async fn a_panic_of_a_task_is_raised_when_the_lab_stops() {
        let lab = Lab::builder().perfect(1).start().await.unwrap();
        lab.world.note_panic(&"boom");
        lab.stop().await;
    }
}
