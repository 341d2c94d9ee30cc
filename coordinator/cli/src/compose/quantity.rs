//! Reads quantities with units as Compose writes them: times, sizes, processors, shares.

/// Why a text is not the quantity that it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Goes after the text: `"10x" is not …`.
    pub why: &'static str,
    pub hint: &'static str,
}

/// The longest time, in milliseconds: a year. Whatever is longer is a slip of the hand.
const DURATION_LIMIT_MS: u64 = 365 * 24 * 3_600_000;

/// The most bytes: a pebibyte, more than any machine has.
const BYTES_LIMIT: u64 = 1 << 50;

/// The most processors: ten times as many as the largest machine has.
const CORES_LIMIT: u64 = 10_000;

/// The most digits of a number: more than any of the limits has, and no sum of them overflows.
const DIGITS_LIMIT: usize = 18;

/// A decimal number, `digits` / 10^`places`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    places: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let length = whole.len() + fraction.len();
        if length == 0 || length > DIGITS_LIMIT || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, places: u32::try_from(fraction.len()).ok()? })
    }

    /// Takes it so many times, and what is not whole up: little never becomes nothing.
    fn times(self, factor: u64) -> u128 {
        (u128::from(self.digits) * u128::from(factor)).div_ceil(10_u128.pow(self.places))
    }
}

/// Reads a time like `1m30s` in milliseconds. Less than one becomes one.
pub(super) fn duration_ms(text: &str) -> Result<u64, Refusal> {
    let hint = "write a time like `10s`, `1m30s` or `500ms`";
    let refusal = |why| Refusal { why, hint };
    if text == "0" {
        return Ok(0);
    }
    if text.starts_with('-') {
        return Err(refusal("is a negative time"));
    }
    let mut micros: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number = Decimal::parse(number).ok_or(refusal("is not a time"))?;
        let factor = match unit {
            "us" | "µs" | "μs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "" => return Err(refusal("is a time without a unit")),
            _ => return Err(refusal("is a time with an unknown unit")),
        };
        micros = micros.saturating_add(number.times(factor));
        rest = tail;
    }
    let duration = u64::try_from(micros.div_ceil(1_000)).unwrap_or(u64::MAX);
    if text.is_empty() || duration > DURATION_LIMIT_MS {
        return Err(refusal(if text.is_empty() {
            "is not a time"
        } else {
            "is longer than a year"
        }));
    }
    Ok(duration)
}

/// Reads a size like `64m` in bytes. Units are powers of 1024, whether an `i` is written or not.
pub(crate) fn bytes(text: &str) -> Result<u64, Refusal> {
    let hint = "write a size like `64m`, `1gb` or `1048576`";
    let refusal = |why| Refusal { why, hint };
    if text.starts_with('-') {
        return Err(refusal("is a negative size"));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = Decimal::parse(number).ok_or(refusal("is not a size"))?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(refusal("is a size with an unknown unit")),
    };
    let bytes = u64::try_from(number.times(1 << shift)).unwrap_or(u64::MAX);
    if bytes > BYTES_LIMIT {
        return Err(refusal("is more than any machine has"));
    }
    Ok(bytes)
}

/// Reads a number of processors like `0.5` in thousandths.
pub(crate) fn millicores(text: &str) -> Result<u64, Refusal> {
    let hint = "write a number of processors like `2` or `0.5`";
    let cores =
        Decimal::parse(text).ok_or(Refusal { why: "is not a number of processors", hint })?;
    let millicores = u64::try_from(cores.times(1_000)).unwrap_or(u64::MAX);
    if millicores > CORES_LIMIT * 1_000 {
        return Err(Refusal { why: "is more than any machine has", hint });
    }
    Ok(millicores)
}

/// Reads a share from 0 to 1 in thousandths.
pub(super) fn permille(text: &str) -> Result<u64, Refusal> {
    let refusal = Refusal { why: "is not a share from 0 to 1", hint: "write a share like `0.25`" };
    match Decimal::parse(text).map(|share| u64::try_from(share.times(1_000))) {
        Some(Ok(permille)) if permille <= 1_000 => Ok(permille),
        Some(_) | None => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_and_never_become_nothing() {
        let read = |text| duration_ms(text).unwrap();
        assert_eq!(read("1m30s"), 90_000);
        assert_eq!(read("1.5h"), 5_400_000);
        assert_eq!(read("500ms"), 500);
        assert_eq!(read("1us"), 1);
        assert_eq!(read("0"), 0);
        for text in ["", "10", "1d", "-1s", "1s2", "s", "1..s", "99999h", "1e3s", "NaN", " 1s"] {
            assert!(duration_ms(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let read = |text| bytes(text).unwrap();
        assert_eq!((read("64m"), read("1gb"), read("2KiB")), (64 << 20, 1 << 30, 2048));
        assert_eq!((read("1.5k"), read("12"), read("3 b")), (1536, 12, 3));
        for text in ["", "-1", "m", "1x", "9999999999999999999999", "2000000t", "NaN", "1e3", "inf"]
        {
            assert!(bytes(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn processors_are_rounded_up() {
        let read = |text| millicores(text).unwrap();
        assert_eq!((read("0.5"), read("2"), read(".25"), read("0.0001")), (500, 2000, 250, 1));
        for text in ["", "-1", "1e2", "NaN", ".", "99999", "1.2.3"] {
            assert!(millicores(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_share_is_at_most_all() {
        assert_eq!((permille("0.25").unwrap(), permille("1").unwrap()), (250, 1000));
        assert!(permille("1.1").is_err() && permille("-0.1").is_err());
    }
}
