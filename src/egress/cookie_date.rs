//! Dates in cookies, read as browsers read them (RFC 6265 section 5.1.1): whatever order, separators and zone they come with.

use time::{Date, Month, OffsetDateTime, Time};

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// The value of the last `expires` of a `Set-Cookie` line that is a date.
pub(super) fn expires(line: &str) -> Option<OffsetDateTime> {
    line.split(';')
        .skip(1)
        .filter_map(|attribute| attribute.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("expires"))
        .filter_map(|(_, date)| parse(date.as_bytes()))
        .last()
}

fn parse(date: &[u8]) -> Option<OffsetDateTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in date.split(|byte| is_delimiter(*byte)) {
        if time.is_none() && find(&mut time, clock(token)) {
            continue;
        }
        if day.is_none() && find(&mut day, number(token, 1..=2)) {
            continue;
        }
        if month.is_none() && find(&mut month, month_of(token)) {
            continue;
        }
        if year.is_none() {
            year = number(token, 2..=4);
        }
    }
    let year = match year? {
        year @ 0..=69 => year + 2000,
        year @ 70..=99 => year + 1900,
        year => year,
    };
    let (hour, minute, second) = time?;
    // Before it there was another calendar.
    if year < 1601 {
        return None;
    }
    let date = Date::from_calendar_date(year.into(), month?, u8::try_from(day?).ok()?).ok()?;
    Some(
        date.with_time(Time::from_hms(hour, minute, second).ok()?)
            .assume_utc(),
    )
}

/// True when it was found.
fn find<T>(place: &mut Option<T>, found: Option<T>) -> bool {
    *place = found;
    place.is_some()
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// The number in front, of so many digits; what follows them does not matter.
fn number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let length = token
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if !digits.contains(&length) {
        return None;
    }
    std::str::from_utf8(&token[..length]).ok()?.parse().ok()
}

/// `hour:minute:second`
fn clock(token: &[u8]) -> Option<(u8, u8, u8)> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let whole = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let hour = parts.next().filter(|part| whole(part))?;
    let minute = parts.next().filter(|part| whole(part))?;
    let field = |part| u8::try_from(number(part, 1..=2)?).ok();
    Some((field(hour)?, field(minute)?, field(parts.next()?)?))
}

fn month_of(token: &[u8]) -> Option<Month> {
    let name = token.get(..3)?;
    let at = MONTHS
        .iter()
        .position(|month| name.eq_ignore_ascii_case(month))?;
    Month::try_from(u8::try_from(at + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_however_they_are_written() {
        for date in [
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Thu, 1 Jan 1970 00:00:00 UTC",
            "Thu, 01-Jan-70 0:00:00 +0000",
            "Thu,01-Jan-1970 00:00:00 GMT",
            "Thu Jan  1 00:00:00 1970",
            "1970 january 1th 00:00:00.5",
        ] {
            let found = expires(&format!("a=b; Path=/; EXPIRES = {date}; Secure"));
            assert_eq!(found, Some(OffsetDateTime::UNIX_EPOCH), "{date}");
        }
        for none in [
            "0",
            "-1",
            "Thu, 32 Jan 1970 00:00:00",
            "1 Jan 1970",
            "1 Jan 1970 25:00:00",
        ] {
            assert_eq!(expires(&format!("a=b; expires={none}")), None, "{none}");
        }
        assert_eq!(expires("expires=Thu, 01 Jan 1970 00:00:00 GMT"), None);
    }
}
