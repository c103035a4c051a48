//! Numbers and hexadecimal digits, appended to a buffer.
//!
//! Digits are made eight at a time: a word holds one in each byte, and arithmetic on the word is arithmetic on all of them.
//! Times, which are milliseconds with three decimals, are written as the integers they were made from: the shortest decimal
//! of a float is worth a search only where it is not known beforehand.

use super::json::derived;

/// One in every byte of a word.
pub(super) const EACH: u64 = 0x0101_0101_0101_0101;
/// What makes a character of a digit.
const ZEROS: u64 = EACH * b'0' as u64;
/// Eight digits are below this.
const EIGHT: u64 = 100_000_000;
/// Below this many milliseconds (31 years) a time with three decimals has 15 digits at most. That many survive the way
/// through a binary float, so no other such number is the same float, and none is shorter.
const EXACT_BELOW: f64 = 1e12;
/// 2^52: a float this large has no place for a fraction, and its lowest bits are those of the integer.
const INTEGERS: f64 = 4_503_599_627_370_496.0;

/// The sixteen hexadecimal digits.
pub(super) fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_hex((number >> 32) as u32));
    digits[8..].copy_from_slice(&eight_hex(number as u32));
    digits
}

/// Gives each half byte a byte of its own, then makes digits of all eight at once.
fn eight_hex(number: u32) -> [u8; 8] {
    let number = u64::from(number);
    let number = (number | (number << 16)) & 0x0000_ffff_0000_ffff;
    let number = (number | (number << 8)) & 0x00ff_00ff_00ff_00ff;
    let number = (number | (number << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // 6 more than ten or above is 16 or above.
    let letters = ((number + 6 * EACH) >> 4) & EACH;
    let to_letter = u64::from(b'a' - b'0' - 10);
    (number + ZEROS + to_letter * letters).to_be_bytes()
}

/// The decimal digits of a number below [`EIGHT`], leading zeros included, the first in the lowest byte.
///
/// Divides by 10,000, then both halves by 100, then the four quarters by ten. 10486 / 2^20 is a hundredth for all that is
/// below 10,000, and 103 / 2^10 a tenth for all that is below 100.
fn digits(number: u32) -> u64 {
    let number = u64::from(number);
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - 10 * tens) << 8)
}

/// The eight characters of a number below [`EIGHT`].
pub(super) fn eight(number: u32) -> [u8; 8] {
    (digits(number) | ZEROS).to_le_bytes()
}

/// Appends the digits up to the one in byte `last`, without leading zeros.
fn write_digits(digits: u64, last: u32, out: &mut Vec<u8>) {
    let zeros = (digits | (1 << (8 * last))).trailing_zeros() / 8;
    let end = out.len() + (last + 1 - zeros) as usize;
    // A copy of fixed length, cut afterwards, is a store.
    out.extend_from_slice(&((digits | ZEROS) >> (8 * zeros)).to_le_bytes());
    out.truncate(end);
}

pub(super) fn uint(number: u64, out: &mut Vec<u8>) {
    match number {
        0..10 => out.push(b'0' + number as u8),
        10..EIGHT => write_digits(digits(number as u32), 7, out),
        _ => long(number, out),
    }
}

/// A number of more than eight digits.
#[cold] // Keeps the short way short, here and below.
fn long(number: u64, out: &mut Vec<u8>) {
    uint(number / EIGHT, out);
    out.extend_from_slice(&eight((number % EIGHT) as u32));
}

pub(super) fn float(number: f64, out: &mut Vec<u8>) {
    match thousandths(number) {
        Some(thousandths @ ..EIGHT) => {
            let digits = digits(thousandths as u32);
            write_digits(digits, 4, out);
            write_decimals(digits, out);
        }
        _ => long_float(number, out),
    }
}

#[cold]
fn long_float(number: f64, out: &mut Vec<u8>) {
    match thousandths(number) {
        Some(thousandths) => {
            uint(thousandths / 1000, out);
            write_decimals(digits((thousandths % 1000) as u32), out);
        }
        None => derived(&number, out),
    }
}

/// Appends the last three digits as decimals: without zeros at the end, but for the first.
fn write_decimals(digits: u64, out: &mut Vec<u8>) {
    let decimals = (digits >> 32) as u32;
    let zeros = (decimals | (1 << 8)).leading_zeros() / 8;
    let [_, tenth, hundredth, thousandth] = (decimals | ZEROS as u32).to_le_bytes();
    let end = out.len() + 4 - zeros as usize;
    out.extend_from_slice(&[b'.', tenth, hundredth, thousandth]);
    out.truncate(end);
}

/// The number times 1000, if it is a whole number of thousandths.
fn thousandths(number: f64) -> Option<u64> {
    // As integers the bits of positive floats are in order, with what is negative or no number above them.
    if number.to_bits() >= EXACT_BELOW.to_bits() {
        return None;
    }
    let shifted = number * 1000.0 + INTEGERS;
    ((shifted - INTEGERS) / 1000.0 == number).then(|| shifted.to_bits() - INTEGERS.to_bits())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn same_float(number: f64) {
        let wanted = serde_json::to_string(&number).unwrap();
        assert_eq!(written(|out| float(number, out)), wanted);
    }

    #[test]
    fn floats_at_the_edges() {
        for number in [
            0.0,
            -0.0,
            0.001,
            0.0005,
            0.1,
            100.0,
            999.999,
            0.1 + 0.2,
            999_999_999_999.999,
            EXACT_BELOW,
            1e15,
            1e16,
            1e300,
            5e-324,
            -12.5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            same_float(number);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn times_to_the_microsecond(micros in 0_u64..2_000_000_000_000_000, scale in 0_u32..15) {
            same_float((micros / 10_u64.pow(scale)) as f64 / 1000.0);
        }

        #[test]
        fn any_float(bits: u64) {
            same_float(f64::from_bits(bits));
        }

        #[test]
        fn floats_beside_a_whole_number_of_thousandths(micros in 0_u64..1_000_000_000_000_000, off in -2_i64..3) {
            let exact = micros as f64 / 1000.0;
            same_float(f64::from_bits(exact.to_bits().saturating_add_signed(off)));
        }

        #[test]
        fn hexadecimal_digits(number: u64) {
            let digits = String::from_utf8(hex(number).into()).unwrap();
            prop_assert_eq!(digits, format!("{number:016x}"));
        }

        #[test]
        fn any_integer(number: u64, shift in 0_u32..64) {
            prop_assert_eq!(written(|out| uint(number >> shift, out)), (number >> shift).to_string());
        }
    }
}
