//! Exact numbers from text: `1843`, `1843.0`, `-1.25e3`. No float on the way.

/// Why a text is not the number that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberError {
    /// It is no number.
    NotANumber,
    /// It has more digits after the point than are kept.
    TooPrecise,
    /// It has more digits before the point than are kept.
    TooLarge,
}

/// A number as `coefficient * 10^exponent`; the coefficient ends with a digit other than 0, or is 0.
struct Exact {
    negative: bool,
    coefficient: u128,
    exponent: i64,
}

/// Powers of ten, up to the largest that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// So many digits fit 64 bits whatever they are.
const SHORT: usize = 18;

/// A whole number of 64 bits.
pub(super) fn integer(text: &str) -> Result<i64, NumberError> {
    if let Ok(integer) = text.parse::<i64>() {
        return Ok(integer);
    }
    i64::try_from(scaled(text, 0)?).map_err(|_| NumberError::TooLarge)
}

/// The number times `10^scale`, which is whole and has at most `precision` (1 to 38) digits.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, NumberError> {
    let unscaled = match short(text, scale) {
        Some(unscaled) => unscaled.into(),
        None => scaled(text, scale)?,
    };
    if fits(unscaled, precision) { Ok(unscaled) } else { Err(NumberError::TooLarge) }
}

/// The number times `10^scale` where it is short and written plainly, as nearly all are: `1843`, `-12.5`. `None` says
/// nothing of the number; [`scaled`] reads what is written in other ways.
pub(super) fn short(text: &str, scale: i8) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > SHORT || !digits[digits.len() - 1].is_ascii_digit() {
        return None;
    }
    let (mut value, mut point) = (0i64, None);
    for (place, digit) in digits.iter().enumerate() {
        match digit {
            b'0'..=b'9' => value = value * 10 + i64::from(digit - b'0'),
            b'.' if point.is_none() && place > 0 => point = Some(place),
            _ => return None,
        }
    }
    let fraction = point.map_or(0, |point| digits.len() - point - 1);
    let shift = usize::try_from(scale).ok()?.checked_sub(fraction)?;
    let unscaled = value.checked_mul(i64::try_from(*POWERS.get(shift)?).ok()?)?;
    Some(if negative { -unscaled } else { unscaled })
}

/// Whether a number has at most `precision` digits.
pub(super) fn fits(unscaled: i128, precision: u8) -> bool {
    POWERS.get(usize::from(precision)).is_some_and(|limit| unscaled.abs() < *limit)
}

/// The number times `10^scale`, rounded half to even where it is not whole, with at most `precision` (1 to 38) digits.
pub(super) fn rounded(text: &str, precision: u8, scale: i8) -> Result<i128, NumberError> {
    match decimal(text, precision, scale) {
        Err(NumberError::TooPrecise) => {}
        exact => return exact,
    }
    let (negative, unsigned) = sign(text);
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, exponent(power)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
    // So many of the digits stand before the new point; fewer than none where zeros come first.
    let kept = power.saturating_add(whole.len() as i64).saturating_add(i64::from(scale));
    let Ok(kept) = usize::try_from(kept) else { return Ok(0) };
    let (kept, rest) = digits.split_at_checked(kept).unwrap_or((&digits, &[]));
    let mut magnitude = 0i128;
    for digit in kept {
        let next = magnitude.checked_mul(10).and_then(|so_far| so_far.checked_add(i128::from(*digit)));
        magnitude = next.ok_or(NumberError::TooLarge)?;
    }
    let is_odd = magnitude % 2 == 1;
    let up = match rest {
        [5, more @ ..] => is_odd || more.iter().any(|digit| *digit > 0),
        [first, ..] => *first > 5,
        [] => false,
    };
    magnitude += i128::from(up);
    if !fits(magnitude, precision) {
        return Err(NumberError::TooLarge);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// Whether `text` is written as a number, as JSON or with a leading `+`, `.5`, or leading zeros.
pub(super) fn is_number(text: &str) -> bool {
    matches!(exact(text), Ok(_) | Err(NumberError::TooLarge | NumberError::TooPrecise))
}

/// The number times `10^scale`, less than 10^38 and whole.
fn scaled(text: &str, scale: i8) -> Result<i128, NumberError> {
    let exact = exact(text)?;
    if exact.coefficient == 0 {
        return Ok(0);
    }
    let shift = exact.exponent.saturating_add(i64::from(scale));
    if shift < 0 {
        return Err(NumberError::TooPrecise);
    }
    let factor = u32::try_from(shift).ok().and_then(|shift| 10u128.checked_pow(shift));
    let magnitude = factor.and_then(|factor| exact.coefficient.checked_mul(factor)).ok_or(NumberError::TooLarge)?;
    let magnitude = i128::try_from(magnitude).map_err(|_| NumberError::TooLarge)?;
    Ok(if exact.negative { -magnitude } else { magnitude })
}

fn exact(text: &str) -> Result<Exact, NumberError> {
    let (negative, unsigned) = sign(text);
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, exponent(power)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(NumberError::NotANumber);
    }
    let mut coefficient: Option<u128> = Some(0);
    // Zeros are taken up only when another digit follows, so that trailing ones cost nothing.
    let mut zeros: u32 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return Err(NumberError::NotANumber);
        }
        if digit == b'0' {
            zeros = zeros.saturating_add(1);
            continue;
        }
        coefficient = coefficient.and_then(|so_far| append(so_far, zeros, digit - b'0'));
        zeros = 0;
    }
    let exponent = power.saturating_sub(fraction.len() as i64).saturating_add(i64::from(zeros));
    match coefficient {
        Some(coefficient) => Ok(Exact { negative, coefficient, exponent }),
        None if exponent < 0 => Err(NumberError::TooPrecise),
        None => Err(NumberError::TooLarge),
    }
}

/// `so_far`, `zeros` zeros and `digit`, written one after the other.
fn append(so_far: u128, zeros: u32, digit: u8) -> Option<u128> {
    if so_far == 0 {
        return Some(u128::from(digit));
    }
    so_far.checked_mul(10u128.checked_pow(zeros + 1)?)?.checked_add(u128::from(digit))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn exponent(text: &str) -> Result<i64, NumberError> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    // Beyond a million it no longer matters how large it is.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    Ok(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quick_way_reads_what_the_general_way_reads(text in "-?[0-9]{0,12}\\.?[0-9]{0,8}", scale in 0..12i8) {
            if let Some(quick) = short(&text, scale) {
                prop_assert_eq!(Ok(quick.into()), scaled(&text, scale));
            }
        }
    }

    #[test]
    fn what_is_written_in_other_ways_is_left_to_the_general_way() {
        for text in ["", "-", ".5", "5.", "1.5e3", "+1", "1.2.3", "1234567890123456789", "1.23456"] {
            assert_eq!(short(text, 4), None, "{text}");
        }
        assert_eq!((short("-12.5", 4), short("0", 0), short("007.50", 2)), (Some(-125_000), Some(0), Some(750)));
    }
}
