//! Instants as RFC 3339, in UTC with milliseconds.
//!
//! Every row has two of them, so they are worth the lines that save the allocations of the formatting crate.

use std::io::Write;

use super::digits::eight;
use crate::outcome::UnixMillis;

const DAY: i64 = 86_400_000;
/// Milliseconds from 0000-03-01 to 1970. A year that begins in March has its leap day at the end.
const TO_1970: i64 = 719_468 * DAY;
const YEAR_10000: i64 = 253_402_300_800_000;

/// Appends the instant, without quotes.
///
/// Days to a date as in Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms" (2022):
/// a multiplication whose upper half is the quotient and whose lower half, divided once more, is the remainder.
pub(super) fn timestamp(at: UnixMillis, out: &mut Vec<u8>) {
    if !(-TO_1970..YEAR_10000).contains(&at.0) {
        // Writing to a vector does not fail; a `Display` that does leaves its text short.
        let _ = write!(out, "{at}");
        return;
    }
    let since = at.0 + TO_1970;
    let (days, ms) = ((since / DAY) as u32, (since % DAY) as u32);
    let quarters = 4 * days + 3;
    let (century, day) = (quarters / 146_097, quarters % 146_097 / 4);
    let years = 2_939_745 * u64::from(4 * day + 3);
    let (year, day) = ((years >> 32) as u32, years as u32 / 2_939_745 / 4);
    let months = 2141 * day + 197_913;
    let next = u32::from(day >= 306);
    let (month, day) = ((months >> 16) - 12 * next, (months & 0xffff) / 2141 + 1);
    let year = 100 * century + year + next;
    let [y1, y2, y3, y4, m1, m2, d1, d2] = eight(year * 10_000 + month * 100 + day);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let time = (hour * 100 + minute) * 100 + second;
    let [h1, h2, n1, n2, s1, s2, f1, f2] = eight(time * 100 + ms % 1000 / 10);
    let f3 = b'0' + (ms % 10) as u8;
    out.extend_from_slice(&[
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.',
        f1, f2, f3, b'Z',
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn timestamps_are_those_of_the_record(ms in -62_200_000_000_000_i64..253_402_300_800_000) {
            let mut out = Vec::new();
            timestamp(UnixMillis(ms), &mut out);
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), UnixMillis(ms).to_string());
        }
    }
}
