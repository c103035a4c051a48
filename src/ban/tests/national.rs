//! Pages that providers show on behalf of a state or a court, each in the words of its country: in place of the target's, and never through TLS.

use super::{http, https, rule};
use crate::outcome::{Blame, Charge, Outcome};

const HTML: &[&str] = &["content-type: text/html; charset=utf-8"];

const REFUSALS: [&str; 16] = [
    "Virgin Media has received an order from the Courts requiring us to prevent access to this site",
    "Access to this website has been disabled because the Federal Court of Australia has determined that it infringes",
    "This website is not available in Malaysia as it violates the National law(s).",
    "Diese Webseite ist aus urheberrechtlichen Gr\u{fc}nden nicht verf\u{fc}gbar.",
    "Vous \u{ea}tes redirig\u{e9} vers ce site officiel car votre ordinateur allait se connecter \u{e0} une page interdite",
    "Il sito richiesto non \u{e8} raggiungibile poich\u{e9} sprovvisto delle autorizzazioni necessarie",
    "Este dom\u{ed}nio foi bloqueado por determina\u{e7}\u{e3}o judicial.",
    "El sitio al que intenta acceder ha sido bloqueado por orden judicial.",
    "Acest site a fost blocat conform deciziei.",
    "\u{160}\u{12b} vietne ir blo\u{137}\u{113}ta p\u{113}c l\u{113}muma.",
    "\u{423}\u{432}\u{430}\u{436}\u{430}\u{435}\u{43c}\u{44b}\u{439} \u{430}\u{431}\u{43e}\u{43d}\u{435}\u{43d}\u{442}! \u{414}\u{43e}\u{441}\u{442}\u{443}\u{43f} \u{43a} \u{437}\u{430}\u{43f}\u{440}\u{430}\u{448}\u{438}\u{432}\u{430}\u{435}\u{43c}\u{43e}\u{43c}\u{443} \u{440}\u{435}\u{441}\u{443}\u{440}\u{441}\u{443} \u{43e}\u{433}\u{440}\u{430}\u{43d}\u{438}\u{447}\u{435}\u{43d}",
    "\u{5d0}\u{5ea}\u{5e8} \u{5d6}\u{5d4} \u{5d7}\u{5e1}\u{5d5}\u{5dd}",
    "\u{bd88}\u{bc95}\u{b7}\u{c720}\u{d574} \u{c815}\u{bcf4} \u{cc28}\u{b2e8} \u{c548}\u{b0b4}",
    "Trang web n\u{e0}y \u{111}\u{e3} b\u{1ecb} ch\u{1eb7}n theo y\u{ea}u c\u{1ea7}u.",
    "\u{639}\u{641}\u{648}\u{627}\u{64b}\u{60c} \u{627}\u{644}\u{645}\u{648}\u{642}\u{639} \u{627}\u{644}\u{645}\u{637}\u{644}\u{648}\u{628} \u{63a}\u{64a}\u{631} \u{645}\u{62a}\u{627}\u{62d}",
    "Ushbu saytga kirish cheklangan.",
];

#[test]
fn the_word_of_a_state_on_the_way_is_the_exits_and_through_tls_it_is_a_page() {
    let mut wrong = Vec::new();
    for words in REFUSALS {
        let body = format!("<html><title></title><p>{words}</p></html>");
        let plain = http(200, HTML, &body);
        if plain.blame != Blame::Proxy(Charge::Policy) {
            wrong.push(format!("{words}: {plain:?}"));
        }
        let sealed = https(200, HTML, &body);
        if sealed.outcome != Outcome::Ok {
            wrong.push(format!("{words} through TLS: {sealed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_small_page_that_has_one_such_word_is_a_page() {
    for words in [
        "<h1>Surat</h1><p>Mahkeme karar\u{131} bekleniyor.</p>",
        "<h1>Zeitung</h1><p>Der Zugang zur Bibliothek ist \u{fc}ber den Hof. Die Netzsperre ist aufgehoben.</p>",
        "<h1>Delivery</h1><p>Goods are sent as per the order.</p>",
        "<h1>Help</h1><p>If the website is not accessible, call us.</p>",
        "<h1>Chiuso</h1><p>Il mulino \u{e8} stato sottoposto a sequestro.</p>",
    ] {
        let verdict = http(200, HTML, &format!("<html>{words}</html>"));
        assert_eq!(
            (verdict.outcome, rule(&verdict)),
            (Outcome::Ok, None),
            "{words}"
        );
    }
}

#[test]
fn a_page_that_only_wants_to_know_whether_one_is_a_robot_is_a_wall_in_every_language() {
    for words in [
        "Please show that you are not a robot.",
        "Bitte best\u{e4}tigen Sie, dass Sie kein Roboter sind.",
        "Confirmez que vous n'\u{ea}tes pas un robot.",
        "Confirma que no eres un robot.",
        "Confirme que voc\u{ea} n\u{e3}o \u{e9} um rob\u{f4}.",
        "\u{41f}\u{43e}\u{434}\u{442}\u{432}\u{435}\u{440}\u{434}\u{438}\u{442}\u{435}, \u{447}\u{442}\u{43e} \u{432}\u{44b} \u{43d}\u{435} \u{440}\u{43e}\u{431}\u{43e}\u{442}.",
        "Potwierd\u{17a}, \u{17c}e nie jeste\u{15b} robotem.",
        "\u{8bf7}\u{786e}\u{8ba4}\u{60a8}\u{4e0d}\u{662f}\u{673a}\u{5668}\u{4eba}\u{3002}",
    ] {
        let verdict = https(200, HTML, &format!("<html><p>{words}</p></html>"));
        assert_eq!(verdict.outcome, Outcome::Banned, "{words}");
    }
}
