use super::*;
use crate::proxy::{Proxy, Scheme};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn proxy(port: u16) -> ProxyId {
    Proxy::new(Scheme::Http, "p", port, None).id()
}

fn set(cookies: &Cookies, proxy: ProxyId, session: Option<&Arc<str>>, from: &str, lines: &[&str]) {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header::SET_COOKIE, line.parse().unwrap());
    }
    cookies.absorb(proxy, session, &url(from), &headers);
}

fn sent(cookies: &Cookies, proxy: ProxyId, session: Option<&Arc<str>>, to: &str) -> String {
    cookies
        .header(proxy, session, &url(to), None, false)
        .map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

#[test]
fn a_cookie_stays_with_its_proxy_session_and_site() {
    let cookies = Cookies::new(&[]).unwrap();
    let session: Arc<str> = "s".into();
    let from = "https://www.a.test/x";
    set(
        &cookies,
        proxy(1),
        Some(&session),
        from,
        &["id=1; Domain=a.test; Path=/"],
    );
    assert_eq!(
        sent(&cookies, proxy(1), Some(&session), "https://m.a.test/"),
        "id=1"
    );
    for (port, session, to) in [
        (2, Some(&session), from),
        (1, None, from),
        (1, Some(&session), "https://b.test/"),
    ] {
        assert_eq!(sent(&cookies, proxy(port), session, to), "");
    }
}

#[test]
fn secure_path_expiry_and_top_level_rules_hold() {
    let cookies = Cookies::new(&[]).unwrap();
    let from = "https://www.a.test/dir/page";
    let lines = [
        "sec=1; Secure; Path=/",
        "deep=1; Path=/dir",
        "wide=1; Domain=test; Path=/",
        "other=1; Domain=b.test; Path=/",
    ];
    set(&cookies, proxy(1), None, from, &lines);
    assert_eq!(
        sent(&cookies, proxy(1), None, "https://www.a.test/"),
        "sec=1"
    );
    assert_eq!(
        sent(&cookies, proxy(1), None, "http://www.a.test/dir/"),
        "deep=1"
    );
    set(&cookies, proxy(1), None, from, &["sec=; Max-Age=0; Path=/"]);
    assert_eq!(sent(&cookies, proxy(1), None, "https://www.a.test/"), "");
}

#[test]
fn strangers_under_one_registry_do_not_share_cookies() {
    for (from, suffix, stranger) in [
        ("https://evil.co.uk/", "co.uk", "https://bank.co.uk/"),
        ("https://www.evil.com.br/", "com.br", "https://bank.com.br/"),
        ("https://evil.github.io/", "github.io", "https://github.io/"),
        ("https://github.io/", "github.io", "https://me.github.io/"),
    ] {
        let cookies = Cookies::new(&[]).unwrap();
        let line = format!("id=1; Domain={suffix}; Path=/");
        set(&cookies, proxy(1), None, from, &[&line]);
        assert_eq!(sent(&cookies, proxy(1), None, stranger), "", "{from}");
        assert_eq!(sent(&cookies, proxy(1), None, from), "id=1", "{from}");
    }
    for (from, site, other) in [
        ("https://www.gmx.de/", "gmx.de", "https://login.gmx.de/"),
        ("https://www.web.de/", "web.de", "https://login.web.de/"),
        (
            "https://www.shop.co.uk/",
            "shop.co.uk",
            "https://shop.co.uk/",
        ),
    ] {
        let cookies = Cookies::new(&[]).unwrap();
        let line = format!("id=1; Domain={site}; Path=/");
        set(&cookies, proxy(1), None, from, &[&line]);
        assert_eq!(sent(&cookies, proxy(1), None, other), "id=1", "{from}");
    }
}

#[test]
fn a_cookie_is_what_the_prefix_of_its_name_says() {
    let from = "https://www.a.test/dir/page";
    for (line, from, is_kept) in [
        ("__Secure-id=1; Secure; Path=/", from, true),
        ("__Secure-id=1; Path=/", from, false),
        ("__secure-id=1; Path=/", from, false),
        ("__Secure-id=1; Secure; Path=/", "http://www.a.test/", false),
        ("__Host-id=1; Secure; Path=/", from, true),
        ("__Host-id=1; Path=/", from, false),
        ("__Host-id=1; Secure", "https://www.a.test/", false),
        ("__Host-id=1; Secure; Path=/dir", from, false),
        ("__Host-id=1; Secure; Path=/; Domain=a.test", from, false),
    ] {
        let cookies = Cookies::new(&[]).unwrap();
        set(&cookies, proxy(1), None, from, &[line]);
        let kept = sent(&cookies, proxy(1), None, "https://www.a.test/dir/");
        assert_eq!(!kept.is_empty(), is_kept, "{line} from {from}");
    }
}

#[test]
fn a_jar_keeps_its_newest_cookies() {
    let cookies = Cookies::new(&[]).unwrap();
    for n in 0..COOKIES_MAX + 5 {
        set(
            &cookies,
            proxy(1),
            None,
            "http://a.test/",
            &[&format!("c{n}=x")],
        );
    }
    let line = sent(&cookies, proxy(1), None, "http://a.test/");
    let names: Vec<_> = line.split("; ").collect();
    assert_eq!(names.len(), COOKIES_MAX);
    assert!(!names.contains(&"c4=x") && names.contains(&"c5=x"));
}

#[test]
fn literal_cookies_join_the_callers_own() {
    let cookies = Cookies::new(&[CookieSource::from_flag("a=1; b=2;")]).unwrap();
    let own = HeaderValue::from_static("own=0");
    let line = cookies
        .header(proxy(1), None, &url("http://a.test/"), Some(&own), false)
        .unwrap();
    assert_eq!(line, "own=0; a=1; b=2");
    assert!(!format!("{:?}", CookieSource::from_flag("sid=hunter2")).contains("hunter2"));
}

#[test]
fn a_netscape_file_seeds_every_jar() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "# Netscape HTTP Cookie File\n\n\
                .a.test\tTRUE\t/\tFALSE\t0\tseed\tv\r\n\
                #HttpOnly_www.a.test\tFALSE\t/in\tTRUE\t99999999999\thost\tw\n\
                .a.test\tTRUE\t/\tFALSE\t1\told\tgone\n";
    std::fs::write(file.path(), text).unwrap();
    let source = CookieSource::File(file.path().to_owned());
    let cookies = Cookies::new(&[source]).unwrap();
    assert_eq!(
        sent(&cookies, proxy(1), None, "http://m.a.test/in"),
        "seed=v"
    );
    set(
        &cookies,
        proxy(1),
        None,
        "http://www.a.test/",
        &["seed=own; Domain=a.test; Path=/"],
    );
    assert_eq!(
        sent(&cookies, proxy(1), None, "http://m.a.test/"),
        "seed=own"
    );
    assert_eq!(sent(&cookies, proxy(2), None, "http://m.a.test/"), "seed=v");
    let secure = sent(&cookies, proxy(2), None, "https://www.a.test/in/x");
    assert!(secure.contains("host=w"), "{secure}");

    std::fs::write(file.path(), "a.test TRUE / FALSE 0 n v\n").unwrap();
    let Err(Error::Usage(problem)) = Cookies::new(&[CookieSource::File(file.path().to_owned())])
    else {
        panic!("spaces are not tabs");
    };
    assert!(problem.place.unwrap().ends_with(":1"));
}

#[test]
fn literal_cookies_stay_with_the_first_host() {
    let cookies = Cookies::new(&[CookieSource::from_flag("token=1")]).unwrap();
    let header =
        |elsewhere| cookies.header(proxy(1), None, &url("http://b.test/"), None, elsewhere);
    assert!(header(false).is_some());
    assert!(header(true).is_none());
}

#[test]
fn cookies_that_are_no_ascii_are_sent_as_they_came() {
    let cookies = Cookies::new(&[CookieSource::from_flag("город=Тверь")]).unwrap();
    let mut headers = HeaderMap::new();
    for line in [
        "city=Москва и мир".as_bytes(),
        b"old=\xcc\xee\xf1\xa0; Path=/",
    ] {
        headers.append(header::SET_COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    let own = HeaderValue::from_bytes("own=é".as_bytes()).unwrap();
    let to = url("http://a.test/");
    cookies.absorb(proxy(1), None, &to, &headers);
    let sent = cookies
        .header(proxy(1), None, &to, Some(&own), false)
        .unwrap();
    let expected = "own=é; город=Тверь; city=Москва и мир; old=".as_bytes();
    assert_eq!(sent.as_bytes(), [expected, b"\xcc\xee\xf1\xa0"].concat());
}

#[test]
fn the_longest_path_comes_first_and_then_the_oldest_cookie() {
    let cookies = Cookies::new(&[CookieSource::from_flag("b=0; z=0")]).unwrap();
    let lines = [
        "d=1; Path=/",
        "b=1; Path=/",
        "a=1; Path=/",
        "c=1; Path=/x/y",
        "d=2; Path=/",
    ];
    set(&cookies, proxy(1), None, "http://a.test/x/y", &lines);
    assert_eq!(
        sent(&cookies, proxy(1), None, "http://a.test/x/y"),
        "z=0; c=1; d=2; b=1; a=1"
    );
}

#[test]
fn a_date_in_the_past_deletes_however_it_is_written() {
    let cookies = Cookies::new(&[]).unwrap();
    let gone = ["a=1", "a=; expires=Thu, 1 Jan 1970 0:00:00 UTC"];
    set(&cookies, proxy(1), None, "http://a.test/", &gone);
    assert_eq!(sent(&cookies, proxy(1), None, "http://a.test/"), "");
}
