//! `judge`: from its start to its end, and what it cannot start with.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use insta::assert_snapshot;
use proxywheel::echo::{Echo, PublicKey};

use crate::running::{Running, until};
use crate::{proxywheel, shown};

/// A judge that listens.
pub(crate) struct Judge {
    running: Running,
    pub(crate) address: String,
    key: PublicKey,
}

impl Judge {
    pub(crate) fn start(directory: &Path, words: &str) -> Self {
        let mut command = proxywheel();
        command.current_dir(directory).arg("judge");
        let mut running = Running::start(command.args(words.split_whitespace()));
        until("the key", || {
            assert!(running.is_running(), "{}", running.said());
            running.said().contains("public key") && running.said().ends_with(")\n")
        });
        let said = running.said();
        let after = |label: &str| {
            let rest = said.split_once(label).expect(label).1;
            rest.split(['/', ' ']).next().expect("a word").to_owned()
        };
        let address = after("judge at http://");
        let rest = said.split_once("public key ").expect("a key").1;
        let key = rest.split_once(' ').expect("a word").0;
        Judge {
            running,
            address,
            key: PublicKey::from_base64(key).expect("a key"),
        }
    }

    fn echo(&self) -> Echo {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let request = b"GET /echo?nonce=5f HTTP/1.1\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n");
        Echo::read(&answer[at.expect("a head") + 4..], Some(&self.key)).expect("signed")
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        assert!(self.running.kill(), "{}", self.running.said());
    }

    /// Ends it with a signal, cleanly.
    fn end(mut self, signal: &str) -> String {
        self.running.signal(signal);
        assert_eq!(
            self.running.wait().code(),
            Some(0),
            "{}",
            self.running.said()
        );
        self.running.said()
    }
}

#[cfg(unix)]
#[test]
fn it_signs_with_the_key_it_tells_which_outlives_it_in_a_file() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("judge.key");
    let words = "--listen 127.0.0.1:0 --key judge.key";
    let first = Judge::start(directory.path(), words);
    assert_eq!(first.echo().nonce.as_deref(), Some("5f"));
    let key = first.key;
    let said = first.end("TERM");
    assert!(said.contains("(new, kept in judge.key)"), "{said}");
    assert!(
        said.ends_with("1 requests answered, 0 refused by the limits\n"),
        "{said}"
    );
    let mode = fs::metadata(&path).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("mode");
    let second = Judge::start(directory.path(), words);
    second.echo();
    assert_eq!(second.key, key);
    let said = second.end("INT");
    assert!(said.contains("(from judge.key)"), "{said}");
    assert!(said.contains("hint: chmod 600 judge.key"), "{said}");

    let third = Judge::start(directory.path(), "--listen 127.0.0.1:0");
    assert_ne!(third.key, key);
    assert!(
        third
            .end("TERM")
            .contains("for this start only: --key FILE keeps one")
    );
}

/// A certificate and its key, as files of this name.
fn certificate(directory: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    let write = |end: &str, text: String| {
        fs::write(directory.join(format!("{name}.{end}")), text).expect("written");
    };
    write("crt", made.cert.pem());
    write("key", made.signing_key.serialize_pem());
}

#[test]
fn a_broken_certificate_at_sighup_leaves_the_one_before() {
    let directory = tempfile::tempdir().expect("a directory");
    certificate(directory.path(), "a");
    let words = "--listen 127.0.0.1:0 --listen-tls 127.0.0.1:0 --tls a.crt,a.key";
    let judge = Judge::start(directory.path(), words);
    assert!(judge.running.said().contains("judge at https://127.0.0.1:"));
    let key = fs::read(directory.path().join("a.key")).expect("the key");
    fs::write(directory.path().join("a.key"), "").expect("written");
    judge.running.signal("HUP");
    until("the complaint", || {
        judge.running.said().contains("stays the one before")
    });
    assert!(
        judge
            .running
            .said()
            .contains("error: --tls: a.key holds no private key")
    );
    fs::write(directory.path().join("a.key"), key).expect("written");
    judge.running.signal("HUP");
    until("the reading", || {
        judge.running.said().contains("is read again")
    });
    judge.echo();
    judge.end("TERM");
}

/// Everything a judge shows that cannot start.
fn refused(directory: &Path, words: &str) -> String {
    let mut command = proxywheel();
    command.current_dir(directory).arg("judge");
    let output = command.args(words.split_whitespace()).output();
    shown(&output.expect("runs"))
}

#[test]
fn flags_that_do_not_work_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = |words| refused(directory.path(), words);
    assert_snapshot!(refused(""), @r"
    exit 2
    -- stderr
    error: no address to listen on
    hint: give --listen 127.0.0.1:8000; 0.0.0.0 instead is every address of this machine
    ");
    assert_snapshot!(refused("--listen 8000"), @r#"
    exit 2
    -- stderr
    error: --listen: invalid address "8000"
    hint: write an IP address and a port, such as 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000
    "#);
    assert_snapshot!(refused("--listen localhost:8000"), @r#"
    exit 2
    -- stderr
    error: --listen: invalid address "localhost:8000"
    hint: write an IP address and a port, such as 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000
    "#);
    assert_snapshot!(refused("--listen-tls 127.0.0.1:0"), @r"
    exit 2
    -- stderr
    error: --listen-tls: https needs a certificate
    hint: add --tls CERTIFICATE,KEY, two PEM files
    ");
    assert_snapshot!(refused("--listen 127.0.0.1:0 --tls a.crt"), @r#"
    exit 2
    -- stderr
    error: --tls: "a.crt" is not two files
    hint: write the certificate and its key with a comma between: --tls fullchain.pem,privkey.pem
    "#);
    assert_snapshot!(refused("--listen 127.0.0.1:0 --client-rate 50"), @r#"
    exit 2
    -- stderr
    error: --client-rate: invalid rate "50": a unit is required
    hint: 50/s is per second, 50/m per minute, 50/h per hour
    "#);
    assert_snapshot!(refused("--listen 192.0.2.1:8000"), @r"
    exit 3
    -- stderr
    error: cannot listen on 192.0.2.1:8000: Cannot assign requested address (os error 99)
    hint: this machine does not have that address; 0.0.0.0 or [::] instead is every one it has
    ");
    assert_snapshot!(refused("--listen 127.0.0.1:0 --key no/such/judge.key"), @r"
    exit 3
    -- stderr
    error: cannot create no/such/judge.key: No such file or directory (os error 2)
    hint: create its directory first
    ");
}

#[test]
fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let told = refused(directory.path(), &format!("--listen {address}"));
    assert_snapshot!(told.replace(&address, "127.0.0.1:PORT"), @r"
    exit 3
    -- stderr
    error: cannot listen on 127.0.0.1:PORT: Address already in use (os error 98)
    hint: another program listens there: end it, or choose another port
    ");
}

#[test]
fn files_that_are_no_certificate_or_key_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    certificate(directory.path(), "a");
    certificate(directory.path(), "b");
    fs::write(directory.path().join("junk"), "junk\n").expect("written");
    let refused = |words: &str| {
        refused(
            directory.path(),
            &format!("--listen-tls 127.0.0.1:0 {words}"),
        )
    };
    assert_snapshot!(refused("--tls a.crt,b.key"), @r"
    exit 2
    -- stderr
    error: --tls: the key in b.key is not that of the certificate in a.crt
    hint: name the two files that were issued together
    ");
    assert_snapshot!(refused("--tls missing.crt,a.key"), @r"
    exit 3
    -- stderr
    error: cannot read missing.crt: No such file or directory (os error 2)
    hint: check the path
    ");
    assert_snapshot!(refused("--tls junk,a.key"), @r"
    exit 2
    -- stderr
    error: --tls: junk holds no certificate
    hint: give the server's own -----BEGIN CERTIFICATE----- first, then those it was issued by (fullchain.pem)
    ");
    assert_snapshot!(refused("--tls a.crt,junk"), @r"
    exit 2
    -- stderr
    error: --tls: junk holds no private key
    hint: give -----BEGIN PRIVATE KEY-----; one with a passphrase has to be decrypted first
    ");
    assert_snapshot!(refused("--tls a.crt,a.key --key junk"), @r"
    exit 2
    -- stderr
    error: --key: junk holds no key of a judge
    hint: name a file that is not there yet, and a key is made in it
    ");
    assert_eq!(
        fs::read(directory.path().join("junk")).expect("there"),
        b"junk\n"
    );
}
