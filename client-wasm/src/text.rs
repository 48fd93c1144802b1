//! Text without `core::fmt`, which is a twentieth of the module.

/// A number in some base, with zeros before it up to so many digits.
pub(crate) fn digits(number: u64, base: u32, least: usize) -> String {
    let mut text = String::new();
    let mut rest = number;
    while rest > 0 || text.len() < least {
        let digit = u32::try_from(rest % u64::from(base)).unwrap_or_default();
        text.insert(0, char::from_digit(digit, base).unwrap_or('0'));
        rest /= u64::from(base);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_core_writes_them() {
        for number in [0, 7, 10, 42, 1_000, 65_535, usize::MAX] {
            assert_eq!(digits(number as u64, 10, 1), number.to_string());
        }
        for number in [0, 0xa1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(digits(number, 16, 16), format!("{number:016x}"));
        }
    }
}
