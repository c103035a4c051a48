//! Which piece of a text ordinary pages have least.

use std::collections::HashSet;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::runs::{RUN, SHORTEST, STRIDE, fold, run_of};

/// What a run that ordinary pages are full of takes from the rarity of a piece: about what the letters of one add.
const COMMON_COSTS: i32 = 8;
/// What ordinary pages are full of: markup, and words that every site says.
const COMMON: [&str; 12] = [
    r#"javascript|contents|function|background|windows|document|display|class="|style="|title="|https://www."#,
    r#"google.com| the | and | this | your | you | with | have | from | that |page |block|source|filter|config|check"#,
    r#"global|active|service|support|device|international|action|section|protection|policy|privacy|account|security"#,
    r#"click|button|access|loading|network|continue|through|address|information|customer|verify|browser|traffic"#,
    r#"website|server|online|error|message|control|number|version|product|update|email|register|company|please|cookies"#,
    r#"enable|position|requests|.com/|link |link-|script |ation |contact|interest|people|mobile|search|order|trust|light|state"#,
    r#" for | are | can | our | over | while | more | about| which | their | when | been | were | will | them | other | into "#,
    r#" not | only | some | time | what | there| after | first| where | would | could | these | here | just | like | make "#,
    r#" need | news | home |world|image|button|input|width|height|color|align|center|right|left|hidden|label|value|padding|margin|share"#,
    r#"="https://| name="|default|transfer|login|disabled|enabled|frame|delivery| in the | of the | to the |s to | to co| to be "#,
    r#"ed to |ered |self |ccess |.google|.org/| by the | on the | at the |d to |ent of |.com/s|current|direct| is a |l is |tent "#,
    r#"rmation|supported|checking|webkit|session|http |page | https|block|comment|"id="|_frame|filter | link| type|submit"#,
];

/// The runs that ordinary pages are full of.
static COMMON_RUNS: LazyLock<HashSet<u64, RandomState>> = LazyLock::new(|| {
    let words = COMMON.iter().flat_map(|line| line.split('|'));
    let runs = words.flat_map(|word| word.as_bytes().windows(RUN));
    runs.map(|run| fold::<RUN>(run_of(run))).collect()
});

/// Where the rarest [`SHORTEST`] bytes of a text begin, the first of several; `None` in a shorter one.
pub(super) fn rarest(text: &[u8]) -> Option<usize> {
    let last = text.len().checked_sub(SHORTEST)?;
    let bytes: Vec<i32> = text.iter().map(|byte| rarity(*byte)).collect();
    let runs = text.windows(RUN).map(|run| fold::<RUN>(run_of(run)));
    let runs: Vec<i32> = runs
        .map(|run| i32::from(COMMON_RUNS.contains(&run)))
        .collect();
    let score = |start: usize| {
        let common: i32 = runs[start..start + STRIDE].iter().sum();
        bytes[start..start + SHORTEST].iter().sum::<i32>() - COMMON_COSTS * common
    };
    (0..=last).rev().max_by_key(|start| score(*start))
}

/// Where the rarest `length` bytes of a text begin, the first of several; `None` in a shorter one.
pub(super) fn rarest_bytes(text: &[u8], length: usize) -> Option<usize> {
    let last = text.len().checked_sub(length)?;
    let score = |start: usize| -> i32 {
        let bytes = &text[start..start + length];
        bytes.iter().map(|byte| rarity(*byte)).sum()
    };
    (0..=last).rev().max_by_key(|start| score(*start))
}

/// How rare a byte is in ordinary pages.
pub(super) fn rarity(byte: u8) -> i32 {
    const RARITIES: [u8; 256] = {
        let mut all = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            all[byte] = match byte as u8 {
                b'_' | b'!' | b'#' | b'|' | b'?' | b'@' | b'&' => 4,
                b'0'..=b'9' | b'A'..=b'Z' | b'j' | b'k' | b'q' | b'x' | b'z' => 3,
                b'b' | b'g' | b'h' | b'm' | b'p' | b'u' | b'v' | b'w' | b'y' | 0x80.. => 2,
                b' ' | b'e' | b't' | b'a' | b's' | b'<' | b'>' | b'"' | b'/' | b'=' => 0,
                _ => 1,
            };
            byte += 1;
        }
        all
    };
    i32::from(RARITIES[usize::from(byte)])
}
