//! Formats numbers and tables.

/// Formats a number with three significant digits, or without decimals from 100 on.
pub(crate) fn digits(value: f64) -> String {
    match value {
        100.0.. => grouped(value),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Formats a whole number with its digits in groups of three.
fn grouped(value: f64) -> String {
    let plain = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        1e9.. => (nanoseconds / 1e9, "s"),
        1e6.. => (nanoseconds / 1e6, "ms"),
        1e3.. => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds, "ns"),
    };
    format!("{} {unit}", digits(value))
}

pub(crate) fn mebibytes(kibibytes: f64) -> String {
    format!("{:.1} MiB", kibibytes / 1024.0)
}

/// Writes a Markdown table. The first column is aligned left, and the numbers in the others right.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut out = format!("| {} |\n|---|", headings.join(" | "));
    out.push_str(&"--:|".repeat(headings.len() - 1));
    for row in rows {
        out.push_str(&format!("\n| {} |", row.join(" | ")));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_no_decimals() {
        assert_eq!(time(412.3), "412 ns");
        assert_eq!(time(1_234.0), "1.23 µs");
        assert_eq!(time(98_700_000.0), "98.7 ms");
        assert_eq!(digits(1_234_567.0), "1,234,567");
        assert_eq!(digits(0.5), "0.50");
        assert_eq!(mebibytes(4608.0), "4.5 MiB");
    }

    #[test]
    fn table_is_written_as_markdown() {
        let row = vec!["a".to_owned(), "1".to_owned()];
        assert_eq!(table(&["", "n"], [row]), "|  | n |\n|---|--:|\n| a | 1 |\n");
    }
}
