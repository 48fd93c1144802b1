//! Figures for people.

use std::fmt;

/// Rows of figures under one line of heads.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    pub(crate) fn new(heads: Vec<String>) -> Self {
        Self { rows: vec![(String::new(), heads)] }
    }

    pub(crate) fn row(&mut self, name: &str, values: Vec<String>) {
        self.rows.push((name.to_owned(), values));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let values = || self.rows.iter().flat_map(|(_, values)| values);
        let width = values().map(String::len).max().unwrap_or(0);
        for (name, values) in &self.rows {
            write!(f, "  {name:name_width$}")?;
            for value in values {
                write!(f, "  {value:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A whole number, its thousands apart.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.0} ms", seconds * 1e3)
}

/// Thousands or millions of bytes.
pub(crate) fn bytes(n_bytes: f64) -> String {
    if n_bytes < 1e6 {
        format!("{:.1} kB", n_bytes / 1e3)
    } else {
        format!("{:.1} MB", n_bytes / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0.0, 999.4, 1000.0, 123_456.0, 1_234_567.0].map(count),
            ["0", "999", "1,000", "123,456", "1,234,567"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(vec!["a".to_owned(), "bcd".to_owned()]);
        table.row("name", vec!["1".to_owned(), "22".to_owned()]);
        assert_eq!(table.to_string(), "          a  bcd\n  name    1   22\n");
    }
}
