//! Starts real programs on free loopback ports and ends them.
//!
//! Each runs in the foreground, unprivileged, in a directory of its own, in a process group of its own. It counts as started once
//! it is the owner of listening sockets on its ports: that a port answers would not show who answers. Its logs are printed when
//! the test fails.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// The loopback address from which the proxies that can choose one leave for the target.
pub(crate) const EXIT: &str = "127.0.0.9";

/// The target's name. It resolves inside the proxies alone: by squid's `hosts_file`, and by nss_wrapper in the others.
pub(crate) const TARGET: &str = "origin.test";

/// How many more names the target has (see [`target`]).
const ALIASES: usize = 64;

/// A name of the target's of its own for every `n`: what befalls one host must not bear on the next.
pub(crate) fn target(n: usize) -> String {
    assert!(n < ALIASES, "more names are needed");
    format!("n{n}.{TARGET}")
}

/// All names of the target, for the resolvers of proxies.
pub(crate) fn hosts() -> String {
    let names = (0..ALIASES).map(target);
    let names = std::iter::once(TARGET.to_owned()).chain(names);
    names.map(|name| format!("127.0.0.1 {name}\n")).collect()
}

/// The user every proxy with a password knows.
pub(crate) const USER: &str = "wheel";

/// Its password.
pub(crate) const PASSWORD: &str = "s3cret-canary";

/// [`PASSWORD`] as `crypt(3)` stores it.
pub(crate) const PASSWORD_HASH: &str = "$6$proxywheelrig$SW6Y/4AvzQmoIqMogmW/dM9GqsM1IE3u9QKAeM4.xnLhmvGXvJJGo50WEcBmJot2o1wa/wkNK0srSe/006HpF0";

/// The ports a proxy refuses where nobody goes to the origin.
pub(crate) const NONE_REFUSED: [u16; 2] = [1, 2];

/// Starts of one program: another process may take a free port between our looking and the program's binding.
const START_ATTEMPTS: u32 = 5;

/// A start that takes longer has failed; squid needs about a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at a process or file.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// `nobody` on every Debian.
const NOBODY: u32 = 65_534;

/// A program, and the Debian package it comes in.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

impl Program {
    /// Where it is installed. Servers live in `sbin`, which is not on every user's path.
    fn find(&self) -> PathBuf {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|dir| dir.join(self.name))
            .find(|file| file.is_file())
            .unwrap_or_else(|| {
                panic!(
                    "{} is not installed; tests/run installs it (Debian package {})",
                    self.name, self.package
                )
            })
    }
}

/// The directory and ports of one server.
pub(crate) struct Site {
    dir: TempDir,
    ports: Vec<u16>,
}

impl Site {
    /// The server's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port with this index.
    pub(crate) fn port(&self, index: usize) -> u16 {
        self.ports[index]
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.dir().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory of the server");
        }
        fs::write(path, text).expect("a file of the server");
    }

    /// Writes a configuration: `@KEY@` becomes the value, `@DIR@` the directory, `@EXIT@` the exit address.
    pub(crate) fn write_config(&self, name: &str, template: &str, values: &[(&str, String)]) {
        let dir = self.dir().display().to_string();
        let mut text = template.replace("@DIR@", &dir).replace("@EXIT@", EXIT);
        for (key, value) in values {
            text = text.replace(&format!("@{key}@"), value);
        }
        assert!(!text.contains('@'), "a key without value in {name}: {text}");
        self.write(name, text);
    }
}

/// How a server is started in its site.
pub(crate) struct Launch {
    /// Arguments.
    pub(crate) args: Vec<String>,
    /// Resolve names and users from files of the site instead of the system's.
    pub(crate) own_names: bool,
}

/// A running server; killed and reaped when dropped.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    site: Site,
}

impl Server {
    /// Starts `program` with `ports` free ports; `configure` writes its files and says how it is called.
    pub(crate) fn start(
        program: &Program,
        ports: usize,
        configure: impl Fn(&Site) -> Launch,
    ) -> Server {
        let path = program.find();
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            let site = Site {
                dir: TempDir::with_prefix("proxywheel-real-").expect("a temporary directory"),
                ports: free_ports(ports),
            };
            let launch = configure(&site);
            let mut server = Server {
                name: program.name,
                child: spawn(&path, &site, &launch),
                site,
            };
            match server.wait_until_listening() {
                Ok(()) => return server,
                Err(text) => why = text,
            }
        }
        panic!("{} does not start: {why}", program.name);
    }

    /// The port with this index.
    pub(crate) fn port(&self, index: usize) -> u16 {
        self.site.port(index)
    }

    /// A file the server wrote into its directory.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.site.dir().join(name)).unwrap_or_default()
    }

    /// Changes a file that it serves.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.site.write(name, text);
    }

    /// Ends it and its children at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // The whole group: dante serves from children. The group lives as long as its leader is not reaped.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("sh")
                .args(["-c", &format!("kill -s KILL -- -{}", self.child.id())])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_until_listening(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of our child") {
                return Err(format!("it ended with {status}\n{}", self.logs()));
            }
            let open = listening_ports(self.child.id()).unwrap_or_default();
            // Apache listens, reads its configuration again, and listens anew: only an answer shows that it is done.
            let answers = |port: &u16| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                open.contains(port) && TcpStream::connect_timeout(&address, START_LIMIT).is_ok()
            };
            if self.site.ports.iter().all(answers) {
                return Ok(());
            }
            if begun.elapsed() > START_LIMIT {
                return Err(format!(
                    "no listener after {START_LIMIT:?}\n{}",
                    self.logs()
                ));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The ends of all its logs.
    fn logs(&self) -> String {
        let mut text = String::new();
        let Ok(entries) = fs::read_dir(self.site.dir()) else {
            return text;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_log =
                path.extension().is_some_and(|end| end == "log") || path.ends_with("hits.txt");
            if is_log && let Ok(end) = tail(&path, 6_000) {
                let _ = writeln!(text, "--- {} {}\n{end}", self.name, path.display());
            }
        }
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// A port that refuses connections for as long as this lives: bound, so that nobody else gets it, and not listening.
pub(crate) struct ClosedPort {
    socket: Socket,
}

impl ClosedPort {
    /// Takes a port.
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        ClosedPort { socket }
    }

    /// Its number.
    pub(crate) fn port(&self) -> u16 {
        let address = self.socket.local_addr().expect("the bound address");
        address.as_socket_ipv4().expect("an IPv4 address").port()
    }
}

/// Ports that are free now. All are held until all are known, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"))
        .collect();
    held.iter()
        .map(|listener| listener.local_addr().expect("the bound address").port())
        .collect()
}

/// Starts the program through `setpriv`: it ends with the thread that started it even where no destructor runs, and is `nobody`
/// where the tests are root, because squid refuses to serve as root.
fn spawn(path: &Path, site: &Site, launch: &Launch) -> Child {
    let own = fs::metadata("/proc/self").expect("proc is mounted");
    let is_root = own.uid() == 0;
    let (uid, gid) = if is_root {
        (NOBODY, NOBODY)
    } else {
        (own.uid(), own.gid())
    };
    if launch.own_names {
        site.write("hosts", hosts());
        site.write(
            "passwd",
            format!("rig:x:{uid}:{gid}:rig:/:/bin/false\n{USER}:x:1999:1999:known:/:/bin/false\n"),
        );
        site.write("group", format!("rig:x:{gid}:\n{USER}:x:1999:\n"));
        site.write(
            "shadow",
            format!("{USER}:{PASSWORD_HASH}:20000:0:99999:7:::\n"),
        );
    }
    let output = fs::File::create(site.dir().join("output.log")).expect("a log file");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root {
        fs::set_permissions(site.dir(), fs::Permissions::from_mode(0o755)).expect("our directory");
        give_away(site.dir(), uid, gid).expect("our files");
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
        command.arg("--clear-groups");
    }
    command.args(["--", "env"]);
    if launch.own_names {
        let file = |name: &str| site.dir().join(name).display().to_string();
        command.args([
            format!("LD_PRELOAD={}", nss_wrapper().display()),
            format!("NSS_WRAPPER_HOSTS={}", file("hosts")),
            format!("NSS_WRAPPER_PASSWD={}", file("passwd")),
            format!("NSS_WRAPPER_GROUP={}", file("group")),
            format!("NSS_WRAPPER_SHADOW={}", file("shadow")),
        ]);
    }
    command
        .arg(path)
        .args(&launch.args)
        .current_dir(site.dir())
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .process_group(0);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv (Debian package util-linux): {error}"))
}

/// The library that answers `getaddrinfo` and `getspnam` from files, so that no test edits the system's.
fn nss_wrapper() -> PathBuf {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    multiarch
        .map(|entry| entry.path())
        .chain(["/usr/lib", "/usr/lib64"].map(PathBuf::from))
        .map(|dir| dir.join("libnss_wrapper.so"))
        .find(|file| file.is_file())
        .expect("libnss_wrapper.so is not installed; tests/run installs it (Debian package libnss-wrapper)")
}

fn give_away(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// The TCP ports this process listens on.
fn listening_ports(pid: u32) -> io::Result<HashSet<u16>> {
    let sockets: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
    let table = fs::read_to_string("/proc/net/tcp")?;
    let ports = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let is_ours = *fields.get(3)? == "0A" && sockets.contains(*fields.get(9)?);
        let (_, port) = fields[1].rsplit_once(':')?;
        is_ours
            .then(|| u16::from_str_radix(port, 16).ok())
            .flatten()
    });
    Ok(ports.collect())
}

/// The last bytes of a file.
fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[test]
fn a_closed_port_refuses_and_a_killed_server_is_gone() {
    let closed = ClosedPort::new();
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, closed.port()));
    assert_eq!(
        refused.expect_err("nobody listens").kind(),
        io::ErrorKind::ConnectionRefused
    );

    let mut server = crate::microsocks::Microsocks::open();
    let address = (Ipv4Addr::LOCALHOST, server.server.port(0));
    TcpStream::connect(address).expect("it listens");
    server.server.kill();
    TcpStream::connect(address).expect_err("it is gone");
}
