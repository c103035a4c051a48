use super::*;
use crate::proxy::Rotation;
use crate::proxy::list::{Options, ProxyList};
use crate::proxy::parse::parse_proxy_url;

fn read(text: &str, presets: Option<&Presets>) -> ProxyList {
    let options = Options {
        default_scheme: Scheme::Http,
        env: &|name| (name == "PW").then(|| "s:cret".to_owned()),
        remote: false,
        presets,
        only_working: false,
    };
    ProxyList::read("list", text.as_bytes(), &options)
}

#[test]
fn each_preset_is_the_line_its_vendor_documents() {
    for (preset, by_hand) in [
        (
            "provider=brightdata user=hl_1 zone=res1 pass=${PW}",
            "brd-customer-hl_1-zone-res1:${PW}@brd.superproxy.io:33335",
        ),
        (
            "provider=luminati user=hl_1 zone=res1 pass=p country=us state=ny city=san_francisco zip=10001 asn=7 os=windows sessions=3",
            "brd-customer-hl_1-zone-res1-country-us-state-ny-city-sanfrancisco-zip-10001-asn-7-os-windows-session-{session:8}:p@brd.superproxy.io:33335 sessions=3",
        ),
        (
            "provider=oxylabs user=bob pass=p country=us state=california city=los_angeles zip=90001 sessions=2 ttl=30m",
            "customer-bob-cc-US-st-us_california-city-los_angeles-postalcode-90001-sessid-{session:8}-sesstime-30:p@pr.oxylabs.io:7777 sessions=2",
        ),
        (
            "provider=decodo user=bob pass=${PW} country=US state=new_jersey city=new_york sessions=20 ttl=24h",
            "user-bob-country-us-state-us_new_jersey-city-new_york-session-{session:8}-sessionduration-1440:${PW}@gate.decodo.com:7000 sessions=20",
        ),
        (
            "provider=smartproxy user=bob pass=p host=de.decodo.com",
            "user-bob:p@de.decodo.com:7000",
        ),
        (
            "provider=iproyal user=bob pass=p country=us state=new_jersey city=newark isp=x sessions=2 ttl=90s",
            "bob:p_country-us_state-newjersey_city-newark_isp-x_session-{session:8}_lifetime-90s@geo.iproyal.com:12321 sessions=2",
        ),
        (
            "provider=iproyal scheme=socks5 user=bob pass=p region=europe sessions=2 ttl=7d",
            "socks5://bob:p_region-europe_session-{session:8}_lifetime-7d@geo.iproyal.com:32325 sessions=2",
        ),
        (
            "provider=soax user=123 pass=key country=us region=x city=new_york isp=x_y sessions=2 ttl=5m opt=wb",
            "package-123-country-us-region-x-city-new+york-isp-x+y-sessionid-{session:8}-sessionlength-300-opt-wb:key@proxy.soax.com:5000 sessions=2",
        ),
        (
            "provider=netnut user=bob pass=p",
            "bob-res-any:p@gw.netnut.net:5959",
        ),
        (
            "provider=netnut user=bob pass=p country=us type=dc sessions=9",
            "bob-dc-us-sid-{session:num:8}:p@gw.netnut.net:5959 sessions=9",
        ),
        (
            "provider=netnut user=bob pass=p country=us state=alabama city=birmingham",
            "bob-res_sc-us_alabama_birmingham:p@gw.netnut.net:5959",
        ),
        (
            "provider=webshare user=bob pass=p port=1080",
            "bob-rotate:p@p.webshare.io:1080",
        ),
        (
            "provider=webshare user=bob pass=p country=us",
            "bob-us-rotate:p@p.webshare.io:80",
        ),
        (
            "provider=webshare user=bob pass=p country=us city=los_angeles",
            "bob-us-city_los_angeles:p@p.webshare.io:80",
        ),
        (
            "provider=webshare user=bob pass=p country=us sessions=5",
            "bob-us-{session:num:4}:p@p.webshare.io:80 sessions=5",
        ),
        (
            "provider=dataimpulse user=bob pass=p country=us state=x city=y zip=1 sessions=2 ttl=1h",
            "bob__cr.us;state.x;city.y;zip.1;sessid.{session:8};sessttl.60:p@gw.dataimpulse.com:823 sessions=2",
        ),
    ] {
        let (made, expected) = (read(preset, None), read(by_hand, None));
        assert_eq!(
            (
                made.report.rejects.as_slice(),
                expected.report.rejects.as_slice()
            ),
            (&[][..], &[][..]),
            "{preset}"
        );
        let ids = |list: &ProxyList| {
            list.proxies
                .iter()
                .map(|proxy| proxy.id())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&made), ids(&expected), "{preset}");
        // A refused password is that of all of them, as in the template.
        if preset.contains("sessions") {
            assert_eq!(
                made.proxies[0].group(),
                expected.proxies[0].group(),
                "{preset}"
            );
        }
    }
}

#[test]
fn labels_say_where_the_exit_is_and_whether_it_stays() {
    let first = |line: &str| read(line, None).proxies[0].labels().clone();
    let rotating = first("provider=decodo user=u pass=p country=US tag=resi cost=3/GB");
    assert_eq!(rotating.country.as_deref(), Some("us"));
    assert_eq!(
        (
            rotating.rotation,
            rotating.cost.map(|price| price.of(0, 1_000_000_000))
        ),
        (Rotation::PerConnection, Some(3.0))
    );
    assert_eq!(rotating.tags, [Box::from("resi")]);
    let sticky = first("provider=decodo user=u pass=p sessions=2");
    assert_eq!(sticky.rotation, Rotation::Fixed);
    assert_eq!(
        first("provider=oxylabs user=u pass=p port=10001").rotation,
        Rotation::Fixed
    );
    assert_eq!(
        first("provider=oxylabs user=u pass=p rotation=fixed").rotation,
        Rotation::Fixed
    );
}

#[test]
fn what_a_provider_does_not_give_is_refused_with_place_and_what_it_does() {
    let mut wrong = Vec::new();
    for (line, place, words) in [
        (
            "provider=decoda user=u pass=p",
            "1:10",
            "unknown provider, expected brightdata, oxylabs",
        ),
        ("provider=decodo user=u", "1:1", "pass= is missing"),
        (
            "provider=brightdata user=u pass=p",
            "1:1",
            "zone= is missing",
        ),
        (
            "provider=decodo user=u pass=p city=x",
            "1:36",
            "city= without country=",
        ),
        (
            "provider=decodo user=u pass=p ttl=10m",
            "1:35",
            "ttl= without sessions=",
        ),
        (
            "provider=decodo user=u pass=p sessions=2 ttl=25h",
            "1:46",
            "whole minutes from 1m to 24h",
        ),
        (
            "provider=decodo user=u pass=p sessions=2 ttl=90s",
            "1:46",
            "whole minutes",
        ),
        (
            "provider=iproyal user=u pass=p sessions=2 ttl=8d",
            "1:47",
            "from 1s to 168h",
        ),
        (
            "provider=brightdata user=u zone=z pass=p sessions=2 ttl=10m",
            "1:57",
            "no ttl=, expected some of user=, pass=, zone=, country=",
        ),
        (
            "provider=brightdata user=u zone=z pass=p country=de state=ny",
            "1:59",
            "country=us only",
        ),
        (
            "provider=netnut user=u pass=p country=us city=x",
            "1:47",
            "city= without state=",
        ),
        (
            "provider=webshare user=u pass=p sessions=2",
            "1:42",
            "sessions= without country=",
        ),
        (
            "provider=webshare user=u pass=p country=us city=x sessions=2",
            "1:60",
            "does not go together",
        ),
        (
            "provider=webshare user=u pass=p country=us sessions=9001",
            "1:53",
            "session names too short",
        ),
        (
            "provider=dataimpulse user=u pass=p country=us city=new_york",
            "1:52",
            "small letters and digits only",
        ),
        (
            "provider=decodo user=u pass=p country=us city=New-York",
            "1:47",
            "small letters and digits with _",
        ),
        (
            "provider=decodo user=u pass=p country=usa",
            "1:39",
            "two letters",
        ),
        (
            "provider=decodo user=u pass=p sessions=2 rotation=per_connection",
            "1:40",
            "expected one of the two",
        ),
        (
            "provider=decodo user=u pass=p port=8080",
            "1:36",
            "expected 7000",
        ),
        (
            "provider=decodo user=u pass=p scheme=socks5",
            "1:38",
            "not a scheme of this provider",
        ),
        (
            "provider=decodo user=u pass=p contry=us",
            "1:31",
            "unknown label",
        ),
        (
            "provider=decodo user=u pass=p user=v",
            "1:36",
            "the same label twice",
        ),
        (
            "provider=decodo user=u pass=${NO}",
            "1:29",
            "environment variable is not set",
        ),
        (
            "  provider=decodo user=u${ pass=p",
            "1:24",
            "not a variable",
        ),
        ("provider=decodo user=u pass=p us", "1:31", "not key=value"),
        (
            "provider=decodo host=a/b user=u pass=p",
            "1:23",
            "not a host",
        ),
    ] {
        let list = read(line, None);
        assert_eq!(list.proxies.len(), 0, "{line}");
        let told = list.report.rejects[0].to_string();
        if !told.starts_with(&format!("list:{place}: ")) || !told.contains(words) {
            wrong.push(format!("{line}: {told}"));
        }
        // The entries of -x are told in the same words.
        let problem = parse_proxy_url(line, Scheme::Http, &|_| None).expect_err(line);
        assert!(problem.what.contains(words), "{line}: {problem}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_user_name_that_only_looks_like_it_is_none() {
    assert_eq!(read("provider=x:pw@1.2.3.4:80", None).proxies.len(), 1);
}

const OWN: &str = r#"[[preset]]
name = "decodo"
host = "own.test"
ports = { http = "81" }
user = "{user}[.{session}]"
password = "{pass}"
session = ":num:3"

[[preset]]
name = "other"
host = "other.test"
ports = { socks5 = "1080" }
user = "{user}"
password = "{pass}"
"#;

#[test]
fn presets_of_the_user_go_before_the_built_in_ones() {
    let mut own = Presets::default();
    own.add("own.toml", OWN).expect("presets");
    let text = "provider=decodo user=u pass=p sessions=2\nprovider=other user=u pass=p\nprovider=soax user=u pass=p";
    let list = read(text, Some(&own));
    let hosts: Vec<&str> = list.proxies.iter().map(|proxy| proxy.host()).collect();
    assert_eq!(
        hosts,
        ["own.test", "own.test", "other.test", "proxy.soax.com"]
    );
    assert_eq!(list.proxies[2].scheme(), Scheme::Socks5);
}

#[test]
fn the_page_shows_a_preset_and_has_every_provider() {
    let page = include_str!("../../../docs/providers.md");
    let text = page
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let mut own = Presets::default();
    own.add("docs/providers.md", text.expect("an example"))
        .expect("presets");
    let list = read(
        "provider=acme user=u pass=p country=us sessions=2 ttl=2h",
        Some(&own),
    );
    assert_eq!(list.proxies.len(), 2, "{:?}", list.report);
    for name in built_in_names() {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn a_bad_file_of_presets_has_its_line() {
    for (from, to, place, words) in [
        ("host = \"own", "hots = \"own", "3:1", "hots"),
        (
            "[.{session}]",
            "[.{sesion}]",
            "5:8",
            "letter 9 of the template: not a parameter",
        ),
        (
            "[.{session}]",
            "[.{session}",
            "5:8",
            "letter 7 of the template: [ without ]",
        ),
        ("\"81\"", "\"81-\"", "4:18", "not ports"),
        ("{ http", "{ htp", "4:17", "no scheme"),
        ("\"decodo\"", "\"De codo\"", "2:8", "name"),
        (
            "[[preset]]\nname = \"d",
            "[[presets]]\nname = \"d",
            "1:3",
            "presets",
        ),
    ] {
        let problem = Presets::default()
            .add("own.toml", &OWN.replace(from, to))
            .expect_err(to);
        let told = problem.to_string();
        assert!(
            told.starts_with(&format!("own.toml:{place}: ")) && told.contains(words),
            "{told}"
        );
    }
}

#[test]
fn no_complaint_carries_a_credential() {
    for line in [
        "provider=decodo user=CANARY pass=CANARY city=x",
        "provider=decodo user=CANARY:CANARY pass=CANARY",
        "provider=decodo user=u pass=p country=CANARY",
        "provider=CANARY user=CANARY",
        "provider=decodo CANARY=CANARY",
    ] {
        let list = read(line, None);
        assert_eq!(list.report.rejected, 1, "{line}");
        assert!(!format!("{list:?}").contains("CANARY"), "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics_on_text_made_of_the_grammar(
        text in "provider=(decodo|netnut|iproyal|own)( (user|pass|country|city|state|sessions|ttl|port|host|scheme|type|zone)=[a-z0-9{}$:_.-]{0,8}){0,8}"
    ) {
        let _ = read(&text, None);
    }

    #[test]
    fn never_panics_on_mutilated_presets(cut in 0_usize..400, with in "[\\[\\]{}\"|=,\n a-z0-9]{0,8}") {
        let cut = cut.min(OWN.len());
        let _ = Presets::default().add("own", &format!("{}{with}{}", &OWN[..cut], &OWN[cut..]));
    }
}
