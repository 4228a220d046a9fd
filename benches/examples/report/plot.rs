//! Draws horizontal bars as SVG. The width of text is only estimated.

use std::fmt::Write as _;

/// A plot.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) svg: String,
}

/// The role of a bar, which decides its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarRole {
    Ours,
    /// The bar that the others are compared with.
    Baseline,
    Other,
}

pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// The text at its end.
    pub(crate) text: String,
    pub(crate) role: BarRole,
}

/// Bars with a common heading, which may be compared.
pub(crate) struct Group {
    pub(crate) heading: String,
    pub(crate) bars: Vec<Bar>,
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 24.0;
/// The average width of a character.
const CHARACTER: f64 = 7.2;
const STYLE: &str = "font-family=\"system-ui, sans-serif\" font-size=\"13\"";

/// Draws the bars of all groups. With `each`, every group has its own scale.
pub(crate) fn bars(title: &str, groups: &[Group], each: bool) -> Plot {
    let all = || groups.iter().flat_map(|group| &group.bars);
    let widest = |texts: &mut dyn Iterator<Item = &str>| {
        let most = texts.map(|text| text.chars().count()).max().unwrap_or(0);
        f64::from(u32::try_from(most).unwrap_or(0)) * CHARACTER
    };
    let left = MARGIN + widest(&mut all().map(|bar| bar.label.as_str())) + 8.0;
    let right = widest(&mut all().map(|bar| bar.text.as_str())) + 8.0 + MARGIN;
    let room = WIDTH - left - right;
    let longest = |bars: &mut dyn Iterator<Item = &Bar>| {
        bars.map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max)
    };
    let overall = longest(&mut all());

    let mut body = String::new();
    let mut y = MARGIN + 14.0;
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        body,
        "<text x=\"{MARGIN}\" y=\"{y:.0}\" font-size=\"15\" font-weight=\"600\">{}</text>",
        escaped(title)
    );
    for group in groups {
        y += ROW + 8.0;
        let heading = escaped(&group.heading);
        let _ = writeln!(
            body,
            "<text x=\"{MARGIN}\" y=\"{y:.0}\" font-weight=\"600\" fill=\"#444\">{heading}</text>"
        );
        let scale = if each {
            longest(&mut group.bars.iter())
        } else {
            overall
        };
        for bar in &group.bars {
            y += ROW;
            let width = (room * bar.value / scale).max(1.0);
            let colour = match bar.role {
                BarRole::Ours => "#2166ac",
                BarRole::Baseline => "#6b6b6b",
                BarRole::Other => "#bdbdbd",
            };
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{left:.0}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
                left - 8.0,
                escaped(&bar.label),
                y - 12.5,
                left + width + 6.0,
                escaped(&bar.text),
            );
        }
    }
    let height = y + MARGIN;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" {STYLE} fill=\"#111\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    );
    Plot {
        title: title.to_owned(),
        svg,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_bar_and_its_text_fit_into_the_width() {
        let bar = |value| Bar {
            label: "a & b".to_owned(),
            value,
            text: "text".to_owned(),
            role: BarRole::Ours,
        };
        let groups = [Group {
            heading: "<heading>".to_owned(),
            bars: vec![bar(1.0), bar(2.0)],
        }];
        let Plot { svg, .. } = bars("title", &groups, false);
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;heading>"));
        let widths: Vec<f64> = svg
            .split("width=\"")
            .filter_map(|rest| rest.split_once("\" height=\"16\"")?.0.parse().ok())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[1] - 2.0 * widths[0]).abs() < 0.2 && widths[1] < WIDTH);
    }
}
