//! `check` against real proxies: for each program and configuration, what has to be found out about it.
//!
//! The judge is the lab's, at an address that is reached directly and by every proxy on this machine. On the direct path it sees
//! 127.0.0.1, so that is what a transparent proxy gives away.
//!
//! A row of a table: what is set, how it is listed, and what is found, in this order: the verdict, the reason of one that is not
//! alive, its protocols, whether it forwards and tunnels, the address the judge saw, the anonymity level, the headers that prove it,
//! and what else is done to headers: `-` removed, `~` changed, `+` added. What is not there is not known or does not apply.

use crate::dante::Dante;
use crate::haproxy::Haproxy;
use crate::judged::Scene;
use crate::microsocks::Microsocks;
use crate::privoxy::Privoxy;
use crate::rig::{PASSWORD, USER};
use crate::squid::Squid;
use crate::tinyproxy::Tinyproxy;

/// Fields of a row that two checks of one proxy agree in.
const SAME_EVERY_TIME: [&str; 15] = [
    "proxy",
    "scheme",
    "host",
    "port",
    "verdict",
    "reason",
    "phase",
    "message",
    "speaks",
    "forwards",
    "tunnels",
    "exits",
    "anonymity",
    "headers",
    "rewrites",
];

/// Goes before the address of a proxy that wants a password, or is given one that it does not want.
const RIGHT: &str = "wheel:s3cret-canary@";
const WRONG: &str = "wheel:wrong@";

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[test]
fn squid_is_what_its_configuration_makes_of_it() {
    let all = [
        "",
        "via off\nforwarded_for off",
        "forwarded_for delete",
        "via off\nforwarded_for transparent",
        "forwarded_for truncate",
        "via off\nforwarded_for delete\nrequest_header_access Cache-Control deny all",
        "http_access deny CONNECT",
        "acl plain method GET\nhttp_access deny plain",
    ]
    .map(Squid::configured);
    let closed = Squid::closed();
    let scene = Scene::trusting(&all[0].authority_pem());
    let [
        on,
        off,
        delete,
        transparent,
        truncate,
        silent,
        no_tunnel,
        no_forward,
    ] = all.each_ref().map(|squid| local(squid.port()));
    let (over_tls, shut) = (local(all[0].tls_port()), local(closed.port()));
    scene.verify(
        false,
        &format!(
            "
via on, forwarded_for on     | http://{on}              | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
via off, forwarded_for off   | http://{off}             | alive http forwards tunnels from 127.0.0.9 anonymous [X-Forwarded-For: unknown] [Cache-Control: max-age=259200] answer +x-cache +x-cache-lookup
via on, forwarded_for delete | http://{delete}          | alive http forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (squid)] [Cache-Control: max-age=259200] answer +via +x-cache +x-cache-lookup
via off, and transparent     | http://{transparent}     | alive http forwards tunnels from 127.0.0.9 anonymous [Cache-Control: max-age=259200] answer +x-cache +x-cache-lookup
forwarded_for truncate       | http://{truncate}        | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
nothing added                | http://{silent}          | alive http forwards tunnels from 127.0.0.9 elite answer +x-cache +x-cache-lookup
deny CONNECT                 | http://{no_tunnel}       | alive http forwards no-tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
deny all but CONNECT         | http://{no_forward}      | alive http no-forwards tunnels from 127.0.0.9
https_port                   | https://{over_tls}       | alive https forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
no password                  | http://{shut}            | auth auth http
right password               | http://{RIGHT}{shut}     | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
a password nobody asks for   | http://{RIGHT}{silent}   | alive http forwards tunnels from 127.0.0.9 elite answer +x-cache +x-cache-lookup
https_port, listed wrong     | http://{over_tls}        | dead closed no-forwards no-tunnels
"
        ),
    );
    scene.verify(
        true,
        &format!(
            "
listed as socks5             | socks5://{on}            | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
https_port                   | http://{over_tls}        | alive https forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
no password                  | socks4://{shut}          | auth auth http
right password               | socks4://{RIGHT}{shut}   | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1] answer +via +x-cache +x-cache-lookup
"
        ),
    );
    // By itself: squid keeps one entry for a user, and lets some wrong passwords in while the right one is being looked up.
    scene.verify(
        false,
        &format!("wrong password | http://{WRONG}{shut} | auth auth http"),
    );
}

#[test]
fn tinyproxy_is_what_its_configuration_makes_of_it() {
    let basic_auth = format!("ViaProxyName \"rig\"\nBasicAuth {USER} {PASSWORD}");
    let all = [
        "ViaProxyName \"rig\"",
        "DisableViaHeader Yes",
        "DisableViaHeader Yes\nXTinyproxy Yes",
        "DisableViaHeader Yes\nAddHeader \"X-Forwarded-For\" \"203.0.113.7\"",
        "DisableViaHeader Yes\nAddHeader \"X-Forwarded-For\" \"127.0.0.1\"",
        "DisableViaHeader Yes\nConnectPort 443",
        "DisableViaHeader Yes\nAnonymous \"Host\"\nAnonymous \"User-Agent\"",
        &basic_auth,
    ]
    .map(Tinyproxy::configured);
    let [via, silent, telling, other, own, no_tunnel, sparing, shut] =
        all.each_ref().map(|proxy| local(proxy.server.port(0)));
    let scene = Scene::new();
    scene.verify(
        false,
        &format!(
            "
Via on                       | http://{via}             | alive http forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (tinyproxy)] answer +via
Via off                      | http://{silent}          | alive http forwards tunnels from 127.0.0.9 elite
XTinyproxy                   | http://{telling}         | alive http forwards tunnels from 127.0.0.9 transparent [X-Tinyproxy: 127.0.0.1]
somebody's X-Forwarded-For   | http://{other}           | alive http forwards tunnels from 127.0.0.9 anonymous [X-Forwarded-For: 203.0.113.7]
the client's X-Forwarded-For | http://{own}             | alive http forwards tunnels from 127.0.0.9 transparent [X-Forwarded-For: 127.0.0.1]
ConnectPort                  | http://{no_tunnel}       | alive http forwards no-tunnels from 127.0.0.9 elite
Anonymous                    | http://{sparing}         | alive http forwards tunnels from 127.0.0.9 elite -accept -accept-encoding -accept-language -cookie -x-probe
no password                  | http://{shut}            | auth auth http
wrong password               | http://{WRONG}{shut}     | auth auth http
right password               | http://{RIGHT}{shut}     | alive http forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (tinyproxy)] answer +via
a password nobody asks for   | http://{RIGHT}{silent}   | alive http forwards tunnels from 127.0.0.9 anonymous [proxy-authorization: (redacted)]
"
        ),
    );
    scene.verify(
        true,
        &format!(
            "
listed as socks5             | socks5://{silent}        | alive http forwards tunnels from 127.0.0.9 elite
listed as https              | https://{silent}         | alive http forwards tunnels from 127.0.0.9 elite
no password                  | socks4://{shut}          | auth auth http
right password               | socks4://{RIGHT}{shut}   | alive http forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (tinyproxy)] answer +via
"
        ),
    );
}

#[test]
fn privoxy_is_what_its_actions_make_of_it() {
    let all = [
        "",
        "{+change-x-forwarded-for{add}}\n/\n",
        "{+hide-user-agent{somebody}}\n/\n",
        "{+limit-connect{443}}\n/\n",
        "{+block{all of it}}\n/\n",
        "{+crunch-incoming-cookies +hide-accept-language{de}}\n/\n",
        "{+crunch-server-header{X-Frame-Options}}\n/\n",
    ]
    .map(Privoxy::with_actions);
    let [plain, telling, hiding, no_tunnel, blocking, private, baring] =
        all.each_ref().map(|proxy| local(proxy.server.port(0)));
    let scene = Scene::new();
    // It comes out at the address that this machine has without it.
    scene.verify(
        false,
        &format!(
            "
no action                    | http://{plain}           | alive http forwards tunnels from 127.0.0.1 transparent answer +proxy-connection
X-Forwarded-For on           | http://{telling}         | alive http forwards tunnels from 127.0.0.1 transparent [X-Forwarded-For: 127.0.0.1] answer +proxy-connection
another User-Agent           | http://{hiding}          | alive http forwards tunnels from 127.0.0.1 transparent [User-Agent: somebody] ~User-Agent answer +proxy-connection
limit-connect                | http://{no_tunnel}       | alive http forwards no-tunnels from 127.0.0.1 transparent answer +proxy-connection
no cookies, another language | http://{private}         | alive http forwards tunnels from 127.0.0.1 transparent [Accept-Language: de] ~Accept-Language answer -set-cookie +proxy-connection
lets others frame pages      | http://{baring}          | hostile tampered http forwards tunnels from 127.0.0.1 transparent answer -x-frame-options +proxy-connection
block                        | http://{blocking}        | policy policy http no-forwards no-tunnels
a password nobody asks for   | http://{RIGHT}{plain}    | alive http forwards tunnels from 127.0.0.1 transparent answer +proxy-connection
"
        ),
    );
    let table = format!(
        "listed as socks5 | socks5://{plain} | alive http forwards tunnels from 127.0.0.1 transparent answer +proxy-connection"
    );
    scene.verify(true, &table);
}

#[test]
fn haproxy_is_what_it_stands_before() {
    let basic_auth = format!("ViaProxyName \"rig\"\nBasicAuth {USER} {PASSWORD}");
    let [open, closed] = ["DisableViaHeader Yes", &basic_auth]
        .map(|lines| Haproxy::open(Tinyproxy::configured(lines)));
    let scene = Scene::trusting(&(open.authority_pem() + &closed.authority_pem()));
    let [tls, hop, named, dead, forward] = [
        open.tls_port(),
        open.hop_port(),
        open.hop_named_port(),
        open.hop_dead_port(),
        open.forward_port(),
    ]
    .map(local);
    let [shut, hop_shut] = [closed.tls_port(), closed.hop_port()].map(local);
    scene.verify(
        false,
        &format!(
            "
ends TLS                     | https://{tls}            | alive https forwards tunnels from 127.0.0.9 elite
a hop                        | http://{hop}             | alive http forwards tunnels from 127.0.0.9 elite
a hop with forwardfor        | http://{named}           | alive http forwards tunnels from 127.0.0.9 transparent [x-forwarded-for: 127.0.0.1]
nothing behind               | http://{dead}            | dead bad_gateway no-forwards no-tunnels
forwards by itself           | http://{forward}         | alive http forwards no-tunnels from 127.0.0.1 transparent
no password                  | https://{shut}           | auth auth https
wrong password               | https://{WRONG}{shut}    | auth auth https
right password               | https://{RIGHT}{shut}    | alive https forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (tinyproxy)] answer +via
right password behind a hop  | http://{RIGHT}{hop_shut} | alive http forwards tunnels from 127.0.0.9 anonymous [Via: 1.1 rig (tinyproxy)] answer +via
a password nobody asks for   | http://{RIGHT}{forward}  | alive http forwards no-tunnels from 127.0.0.1 transparent [proxy-authorization: (redacted)]
ends TLS, listed wrong       | http://{tls}             | dead closed no-forwards no-tunnels
"
        ),
    );
    scene.verify(
        true,
        &format!(
            "
ends TLS                     | http://{tls}             | alive https forwards tunnels from 127.0.0.9 elite
a hop, listed as socks4      | socks4://{hop}           | alive http forwards tunnels from 127.0.0.9 elite
a hop, listed as https       | https://{hop}            | alive http forwards tunnels from 127.0.0.9 elite
no password                  | http://{shut}            | auth auth https
"
        ),
    );
}

#[test]
fn dante_speaks_two_protocols() {
    let scene = Scene::new();
    let servers = ["none", "username"].map(|method| Dante::refusing(1, method).server);
    let refusing = Dante::refusing(scene.judge_port(), "none").server;
    let [open, shut] = servers.each_ref().map(|server| local(server.port(0)));
    let refusing = local(refusing.port(0));
    // SOCKS4 has one word for every refusal.
    scene.verify(
        false,
        &format!(
            "
socks5                       | socks5://{open}          | alive socks5 forwards tunnels from 127.0.0.9
socks5h                      | socks5h://{open}         | alive socks5h forwards tunnels from 127.0.0.9
socks4                       | socks4://{open}          | alive socks4 forwards tunnels from 127.0.0.9
no password                  | socks5://{shut}          | auth auth socks5
wrong password               | socks5://{WRONG}{shut}   | auth auth socks5
right password               | socks5://{RIGHT}{shut}   | alive socks5 forwards tunnels from 127.0.0.9
a password nobody asks for   | socks5://{RIGHT}{open}   | alive socks5 forwards tunnels from 127.0.0.9
socks4, and wants a password | socks4://{shut}          | dead target_unreachable no-forwards no-tunnels
refuses the judge            | socks5://{refusing}      | policy policy socks5 no-forwards no-tunnels
listed as http               | http://{open}            | dead closed no-forwards no-tunnels
"
        ),
    );
    scene.verify(
        true,
        &format!(
            "
listed as http               | http://{open}            | alive socks5 socks4 forwards tunnels from 127.0.0.9
listed as socks4             | socks4://{open}          | alive socks4 socks5 forwards tunnels from 127.0.0.9
no password                  | http://{shut}            | auth auth socks5
right password               | http://{RIGHT}{shut}     | alive socks5 forwards tunnels from 127.0.0.9
refuses the judge            | http://{refusing}        | policy policy socks5 no-forwards no-tunnels
"
        ),
    );
}

#[test]
fn microsocks_speaks_socks5_alone() {
    let scene = Scene::new();
    let servers = [Microsocks::open(), Microsocks::with_password()];
    let [open, shut] = servers.each_ref().map(|proxy| local(proxy.server.port(0)));
    scene.verify(
        false,
        &format!(
            "
socks5                       | socks5://{open}          | alive socks5 forwards tunnels from 127.0.0.9
no password                  | socks5://{shut}          | auth auth socks5
wrong password               | socks5://{WRONG}{shut}   | auth auth socks5
right password               | socks5://{RIGHT}{shut}   | alive socks5 forwards tunnels from 127.0.0.9
a password nobody asks for   | socks5://{RIGHT}{open}   | alive socks5 forwards tunnels from 127.0.0.9
listed as socks4             | socks4://{open}          | dead not_a_proxy no-forwards no-tunnels
listed as http               | http://{open}            | dead not_a_proxy no-forwards no-tunnels
"
        ),
    );
    scene.verify(
        true,
        &format!(
            "
listed as http               | http://{open}            | alive socks5 forwards tunnels from 127.0.0.9
listed as socks4             | socks4://{open}          | alive socks5 forwards tunnels from 127.0.0.9
no password                  | http://{shut}            | auth auth socks5
right password               | http://{RIGHT}{shut}     | alive socks5 forwards tunnels from 127.0.0.9
"
        ),
    );
}

#[test]
fn the_program_says_the_same_in_its_rows() {
    let basic_auth = format!("BasicAuth {USER} {PASSWORD}");
    let proxies =
        ["XTinyproxy Yes", "DisableViaHeader Yes", &basic_auth].map(Tinyproxy::configured);
    let [telling, silent, shut] = proxies.each_ref().map(|proxy| local(proxy.server.port(0)));
    let socks = Microsocks::with_password();
    let socks_shut = local(socks.server.port(0));
    let listed_right = [
        format!("http://{telling}"),
        format!("http://{RIGHT}{silent}"),
        format!("http://{shut}"),
        format!("http://{RIGHT}{shut}"),
        format!("socks5h://{socks_shut}"),
    ];
    let listed_wrong = [
        format!("http://{socks_shut}"),
        format!("http://{RIGHT}{socks_shut}"),
    ];
    let scene = Scene::new();
    for (detect, lines) in [(false, &listed_right[..]), (true, &listed_wrong)] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let reports = scene.check(detect, &lines);
        let rows = scene.program(detect, &lines);
        assert_eq!(rows.len(), lines.len(), "{rows:?}");
        for row in rows {
            let seq = row["seq"].as_u64().expect("a place in the list");
            let expected = serde_json::to_value(&reports[&seq]).expect("a row");
            for field in SAME_EVERY_TIME {
                assert_eq!(row[field], expected[field], "{field} of {row}");
            }
        }
    }
}
