//! Bad files, and bad lines in good files.

use std::fs;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use proxywheel::lab::Lab;
use tempfile::TempDir;

use crate::running::Rig;
use crate::{proxywheel, shown};

/// Runs `fetch` with these words in a directory with these files and shows everything.
fn with(files: &[(&str, &[u8])], words: &[&str]) -> String {
    shown(&command(&directory(files), words).output().expect("runs"))
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("file");
    }
    directory
}

fn command(directory: &TempDir, words: &[&str]) -> Command {
    let mut command = proxywheel();
    command.current_dir(directory.path());
    command.arg("fetch").args(words);
    command
}

const URL: &str = "http://example.invalid/";

#[test]
fn proxy_lists() {
    let list = |content: &[u8]| with(&[("list.txt", content)], &["--proxy-file", "list.txt", URL]);
    assert_snapshot!(list(b"# nothing\n\n"), @r"
    exit 2
    -- stderr
    error: list.txt: the proxy list is empty
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
    assert_snapshot!(list(b"nonsense\nftp://h.example:1\n\xff\xfe.example:80\n"), @r"
    exit 2
    -- stderr
    error: list.txt: no entry of the proxy list is a proxy:
      list.txt:1:9: no port, expected host:port
      list.txt:2:1: unknown scheme, expected http, https, socks4, socks4a, socks5, socks5h or direct
      list.txt:3:1: not UTF-8 text
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
    assert_snapshot!(list(&vec![b'x'; 1_000_000]), @r"
    exit 2
    -- stderr
    error: list.txt: no entry of the proxy list is a proxy:
      list.txt:1:8193: the entry is too long, expected at most 8192 bytes
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
    assert_snapshot!(with(&[], &["--proxy-file", "missing.txt", URL]), @r"
    exit 3
    -- stderr
    error: cannot read missing.txt: No such file or directory (os error 2)
    hint: check the path
    ");
    assert_snapshot!(with(&[], &["--proxy-file", ".", URL]), @r"
    exit 3
    -- stderr
    error: cannot read .: Is a directory (os error 21)
    hint: name a file in it
    ");
    assert_snapshot!(with(&[], &["-x", "socks://h:1", URL]), @r"
    exit 2
    -- stderr
    error: --proxy: not a proxy at column 1: socks does not say which version, expected socks4, socks4a, socks5 or socks5h
    hint: write [scheme://][user:password@]host:port
    ");
}

#[test]
fn inputs() {
    let input = |name: &str, content: &[u8], more: &[&str]| {
        let mut words = vec!["-x", "127.0.0.1:9", "-i", name];
        words.extend(more);
        with(&[(name, content)], &words)
    };
    assert_snapshot!(input("a.csv", b"id,site\n1,http://a/\n", &[]), @r"
    exit 2
    -- stderr
    error: a.csv: no column is named url, link, href, address, loc; the columns are: id, site
    hint: name the one that holds the URL with --url-column
    ");
    assert_snapshot!(input("a.csv", b"id,url\n1,http://a/\n", &["--url-column", "uri"]), @r#"
    exit 2
    -- stderr
    error: a.csv: no column "uri"; the columns are: id, url
    hint: name one of them with --url-column
    "#);
    assert_snapshot!(input("a.csv", b"", &[]), @r"
    exit 2
    -- stderr
    error: a.csv: the file is empty: a CSV needs a header row
    hint: write a first row such as url,keyword
    ");
    assert_snapshot!(input("a.csv", b"http://a.example/\n", &[]), @r"
    exit 2
    -- stderr
    error: a.csv: the first row is a URL, not a header
    hint: add a header row (url), or read it with --input-format text
    ");
    let sticky = |name: &str, content: &[u8]| {
        input(
            name,
            content,
            &["--sticky", "tag:account", "--on-no-proxy", "stop"],
        )
    };
    assert_snapshot!(sticky("a.csv", b"url,Account\nhttp://a/,7\n"), @r#"
    exit 2
    -- stderr
    error: a.csv: no column "account"; beside the URL there are: Account
    hint: name one of them as the header does: --sticky tag:Account
    "#);
    assert_snapshot!(sticky("a.txt", b"http://a/\n"), @r#"
    exit 2
    -- stderr
    error: --sticky: no input has fields, so none is called "account"
    hint: read a CSV with such a column, or JSONL with "tag"; --sticky host needs neither
    "#);
    let said = sticky("a.jsonl", b"{\"url\":\"x\",\"tag\":{\"Account\":7}}\n");
    let told = "warning: --sticky tag:account held nothing: no row has such a field in its tag\n";
    assert!(said.contains(told), "{said}");
    for name in ["a.csv", "a.txt", "a.jsonl"] {
        for (content, what) in [
            (&b"\xff\xfeu\0r\0l\0"[..], "UTF-16"),
            (b"\xfe\xff\0u\0r\0l", "UTF-16"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04x", "workbook"),
        ] {
            let said = input(name, content, &[]);
            assert!(said.starts_with("exit 2\n"), "{said}");
            assert!(
                said.contains(&format!("error: {name}: the file is ")),
                "{said}"
            );
            assert!(said.contains(what) && said.contains("hint: "), "{said}");
        }
    }
    assert_snapshot!(with(&[], &["-x", "127.0.0.1:9", "-i", "missing.txt"]), @r"
    exit 3
    -- stderr
    error: cannot read missing.txt: No such file or directory (os error 2)
    hint: check the path
    ");
    assert_snapshot!(with(&[], &["-x", "127.0.0.1:9", "-i", "."]), @r"
    exit 2
    -- stderr
    error: .: the input is a directory
    hint: name a file in it with -i
    ");
}

#[test]
fn results_do_not_replace_what_the_run_reads() {
    for (what, words) in [
        ("--input", ["-i", "list.txt", "-x", "127.0.0.1:9"]),
        ("--proxy-file", ["--proxy-file", "./list.txt", URL, "-q"]),
    ] {
        for flag in ["--output", "--stats", "--record", "--state", "--lock"] {
            let directory = directory(&[("list.txt", b"127.0.0.1:9\n")]);
            let mut command = command(&directory, &words);
            if flag == "--output" {
                command.arg("--overwrite");
            }
            let output = command.args([flag, "list.txt"]).output();
            let output = output.expect("runs");
            let said = shown(&output);
            let complaint = format!("run and {what} need a file each\nhint: {flag} ");
            assert!(
                said.starts_with("exit 2\n") && said.contains(&complaint),
                "{said}"
            );
            let kept = fs::read(directory.path().join("list.txt")).expect("still there");
            assert_eq!(kept, b"127.0.0.1:9\n");
        }
    }
}

#[test]
fn outputs() {
    let output = |words: &[&str]| {
        let mut all = vec!["-x", "127.0.0.1:9", URL];
        all.extend(words);
        with(&[("out.jsonl", b"something else\n")], &all)
    };
    assert_snapshot!(output(&["-o", "out.jsonl"]), @r"
    exit 2
    -- stderr
    error: out.jsonl: the output exists
    hint: go on with --resume, add to it with --append, or replace it with --overwrite
    ");
    assert_snapshot!(output(&["-o", "out.jsonl", "--resume"]), @r"
    exit 2
    -- stderr
    error: out.jsonl:1: this file is not an output of this program: it is not an object
    hint: check the path and --format, or replace the file with --overwrite
    ");
    for name in ["out.csv.gz", "out.TSV", "out.xlsx"] {
        let said = output(&["-o", name]);
        assert!(
            said.starts_with("exit 2\n-- stderr\nerror: --output: no output is written as ."),
            "{said}"
        );
    }
    assert_snapshot!(output(&["-o", "new.jsonl", "--stats", "-"]), @r"
    exit 2
    -- stderr
    error: --stats: - is no file, and nothing but records is written to standard output
    hint: --stats run.json
    ");
    // Known at the end of the run only, it would be the end of a long one.
    assert_snapshot!(output(&["--stats", "no/such.json"]), @r"
    exit 3
    -- stderr
    error: cannot write no/such.json: No such file or directory (os error 2)
    hint: create its directory first
    ");
    assert_snapshot!(output(&["-o", "no/such.jsonl"]), @r"
    exit 3
    -- stderr
    error: cannot create no/such.jsonl: No such file or directory (os error 2)
    hint: create its directory first
    ");
    assert_snapshot!(output(&["-o", "."]), @r"
    exit 2
    -- stderr
    error: .: the output is a directory
    hint: name a file in it with -o
    ");
    assert_snapshot!(output(&["--body", "file", "--save-dir", "out.jsonl"]), @r"
    exit 3
    -- stderr
    error: cannot create out.jsonl: File exists (os error 17)
    hint: a file has that name: choose another
    ");
}

#[test]
fn a_quiet_run_tells_once_of_a_file_that_failed() {
    let words = ["-q", "-x", "127.0.0.1:9", "no-url", "-o", "/dev/full"];
    assert_snapshot!(with(&[], &words), @r"
    exit 3
    -- stderr
    error: cannot write /dev/full: No space left on device (os error 28)
    ");
}

#[test]
fn rules_and_certificates() {
    let rule = |words: &[&str]| {
        let mut all = vec!["-x", "127.0.0.1:9", URL];
        all.extend(words);
        with(&[("list.toml", b"ban-regex = ['[']\n")], &all)
    };
    assert_snapshot!(rule(&["--ban-regex", "("]), @r#"
    exit 2
    -- stderr
    error: --ban-regex: invalid regex "(": unclosed group, at character 1
    hint: put a backslash before characters meant literally: . * + ? ( ) [ ] { } | ^ $
    "#);
    assert_snapshot!(rule(&["--config", "list.toml"]), @r#"
    exit 2
    -- stderr
    error: list.toml:1: invalid regex "[": unclosed character class, at character 1
    hint: put a backslash before characters meant literally: . * + ? ( ) [ ] { } | ^ $
    "#);
    assert_snapshot!(rule(&["--must-match", "a{1000}{1000}"]), @r#"
    exit 2
    -- stderr
    error: --must-match: the regex "a{1000}{1000}" is too large: compiled it takes more than 1024 kB
    hint: use smaller repetition counts
    "#);
    assert_snapshot!(rule(&["--cacert", "list.toml"]), @r"
    exit 2
    -- stderr
    error: --cacert: list.toml holds no certificate
    hint: give a file with one or more -----BEGIN CERTIFICATE----- blocks
    ");
}

/// Root may read anything; others meet what most people meet.
#[test]
fn files_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory(&[("shut.txt", b"127.0.0.1:9\n")]);
    let shut = directory.path().join("shut.txt");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).expect("permissions");
    let (words, readable) = (["--proxy-file", "shut.txt", URL], fs::read(&shut).is_ok());
    let output = match readable {
        false => command(&directory, &words).output(),
        // Give up what root may do; the directory has to be open to nobody too.
        true => {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
                .expect("permissions");
            as_nobody(directory.path(), &words).output()
        }
    };
    assert_snapshot!(shown(&output.expect("runs")), @r"
    exit 3
    -- stderr
    error: cannot read shut.txt: Permission denied (os error 13)
    hint: check the permissions of the file and of its directory
    ");
}

fn as_nobody(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--securebits=+noroot",
        ])
        .arg(env!("CARGO_BIN_EXE_proxywheel"))
        .arg("fetch")
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(std::process::Stdio::null())
        .current_dir(directory);
    command
}

/// The rows of an input that ought not to be there, by what is wrong with them; good lines around them are fetched.
#[test]
fn a_bad_line_is_a_row_that_says_why() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    let mut text: Vec<u8> = b"# comment\n\nhttp://a.test/page/1\nftp://a.test/\nfile:///etc/passwd\n\
        http:///nohost\nhttp://\na.test/page\n{\"url\":\"http://a.test/\"}\nhttp://[::1\nhttp://a.test:99999/\n\
        http://caf\xe9.test/\n"
        .to_vec();
    text.extend([b"http://a.test/".as_slice(), &vec![b'x'; 1_000_000], b"\n"].concat());
    text.extend(b"http://a.test/page/2");
    fs::write(rig.path("urls.txt"), text).expect("file");
    let (code, said) = rig.run("-i urls.txt -o out.jsonl");
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains(
            "hint: most failures are lines that are no job, and error.message says what is wrong with each: URLs begin with https:// or http://; check the input, --input-format and --url-column\n"
        ),
        "{said}"
    );
    let mut rows = rig.rows("out.jsonl");
    rows.sort();
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let shown: String = row.input.chars().take(30).collect();
            let line = format!("{shown} | {} | {}", row.outcome, row.error);
            line.trim_end().to_owned()
        })
        .collect();
    assert_snapshot!(told.join("\n"), @r#"
    a.test/page | invalid_url | not an absolute URL; did you mean https://a.test/page ?
    file:///etc/passwd | invalid_url | unsupported scheme file: only http and https are fetched
    ftp://a.test/ | invalid_url | unsupported scheme ftp: only http and https are fetched
    http:// | invalid_url | the URL has no host
    http:///nohost | invalid_url | the URL has no host
    http://[::1 | invalid_url | invalid IPv6 address
    http://a.test/page/1 | ok |
    http://a.test/page/2 | ok |
    http://a.test/xxxxxxxxxxxxxxxx | invalid_url | line longer than 64 kB
    http://a.test:99999/ | invalid_url | invalid port number
    http://caf�.test/ | invalid_url | the line is not valid UTF-8
    {"url":"http://a.test/"} | invalid_url | the line looks like JSON; name the file .jsonl or pass --input-format jsonl
    "#);
}

#[test]
fn a_pool_of_direct_alone_is_warned_about() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    rig.write("direct.txt", "direct\n");
    let url = format!("http://{}/page/1", rig.lab.origin_address());
    let (code, said) = rig.run(&format!("--proxy-file direct.txt -o out.jsonl {url}"));
    assert_eq!(code, Some(0), "{said}");
    let first: Vec<&str> = said.lines().take(2).collect();
    assert_snapshot!(first.join("\n"), @r"
    warning: the pool holds only direct: every target sees this machine's address
    hint: name proxies with --proxy-file FILE or -x URL
    ");
}
