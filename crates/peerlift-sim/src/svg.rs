//! Line charts as SVG: nothing but text, readable on light and on dark.

use std::fmt::Write as _;

/// One chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above the plot.
    pub title: String,
    /// Below the horizontal axis, with the unit.
    pub x_label: String,
    /// Beside the vertical axis, with the unit.
    pub y_label: String,
    /// Whether the horizontal axis is logarithmic.
    pub x_log: bool,
    /// What is plotted; at most six are told apart by colour.
    pub series: Vec<Series>,
    /// Horizontal lines to compare with: name and height.
    pub marks: Vec<(String, f64)>,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// Joined by lines, or each for itself.
    pub joined: bool,
    /// Words beside points, in their order; may be fewer.
    pub labels: Vec<String>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 60.0;
/// Okabe and Ito's colours, told apart by colour-blind eyes and visible on white and black.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9",
];

/// One axis: from values to places.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { value.log10() } else { value };
        let part = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low));
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let exponents = -3..8;
            let all = exponents.flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)));
            return all
                .filter(|tick| (self.low..=self.high).contains(tick))
                .collect();
        }
        let rough = (self.high - self.low) / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
        let step = nice.into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(power * 10.0);
        let first = (self.low / step).ceil();
        (0..12)
            .map(|n| (first + f64::from(n)) * step)
            .filter(|tick| *tick <= self.high + step * 1e-6)
            .collect()
    }
}

impl Chart {
    /// The chart as a file.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let (x, y) = self.axes();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n\
             <style>text{{fill:#222}}.grid{{stroke:#8884}}.axis{{stroke:#888}}\
             .mark{{stroke:#888;stroke-dasharray:6 4}}rect{{fill:#fff}}\
             @media(prefers-color-scheme:dark){{text{{fill:#ddd}}rect{{fill:#161616}}}}</style>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n",
            escape(&self.title)
        );
        self.frame(&mut svg, &x, &y);
        for (name, height) in &self.marks {
            let at = y.place(*height);
            line(&mut svg, "mark", (x.from, at), (x.to, at));
            text(&mut svg, (x.to - 4.0, at - 5.0), "end", name);
        }
        for (number, series) in self.series.iter().enumerate() {
            self.plot(&mut svg, number, series, (&x, &y));
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let low = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let high = points()
            .map(|point| point.0)
            .fold(f64::NEG_INFINITY, f64::max);
        let top = points().map(|point| point.1);
        let top = top.chain(self.marks.iter().map(|mark| mark.1));
        let top = top.fold(0.0, f64::max).max(1e-9) * 1.06;
        let wide = if high > low { high } else { low + 1.0 };
        let x = Axis {
            low: if self.x_log {
                low.max(1e-3)
            } else {
                low.min(0.0)
            },
            high: wide,
            log: self.x_log,
            from: LEFT,
            to: WIDTH - RIGHT,
        };
        let y = Axis {
            low: 0.0,
            high: top,
            log: false,
            from: HEIGHT - BOTTOM,
            to: TOP,
        };
        (x, y)
    }

    fn frame(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for tick in y.ticks() {
            let at = y.place(tick);
            line(svg, "grid", (x.from, at), (x.to, at));
            text(svg, (x.from - 8.0, at + 4.0), "end", &number(tick));
        }
        for tick in x.ticks() {
            let at = x.place(tick);
            line(svg, "grid", (at, y.from), (at, y.to));
            text(svg, (at, y.from + 18.0), "middle", &number(tick));
        }
        line(svg, "axis", (x.from, y.from), (x.to, y.from));
        line(svg, "axis", (x.from, y.from), (x.from, y.to));
        let middle = f64::midpoint(x.from, x.to);
        text(svg, (middle, HEIGHT - 14.0), "middle", &self.x_label);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>",
            escape(&self.title)
        );
        let height = f64::midpoint(y.from, y.to);
        let _ = writeln!(
            svg,
            "<text transform=\"translate(18 {height}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.y_label)
        );
    }

    fn plot(&self, svg: &mut String, number: usize, series: &Series, (x, y): (&Axis, &Axis)) {
        let colour = COLOURS[number % COLOURS.len()];
        let places: Vec<(f64, f64)> = { &series.points }
            .iter()
            .map(|point| (x.place(point.0), y.place(point.1)))
            .collect();
        if series.joined {
            let path: Vec<String> = { &places }
                .iter()
                .map(|(a, b)| format!("{a:.1},{b:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                path.join(" ")
            );
        }
        for (at, (a, b)) in places.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
            if let Some(label) = series.labels.get(at) {
                text(svg, (a + 6.0, b - 6.0), "start", label);
            }
        }
        let left = LEFT + 170.0 * (number % 4) as f64;
        let top = 44.0 + 16.0 * (number / 4) as f64;
        let _ = writeln!(
            svg,
            "<circle cx=\"{left}\" cy=\"{}\" r=\"5\" fill=\"{colour}\"/>",
            top - 4.0
        );
        text(svg, (left + 10.0, top), "start", &series.name);
    }
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        at.0,
        at.1,
        escape(words)
    );
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_words_and_points_inside_the_frame() {
        let chart = Chart {
            title: "a < b".into(),
            x_label: "clients".into(),
            y_label: "share".into(),
            x_log: true,
            series: vec![Series {
                name: "peers".into(),
                points: vec![(8.0, 0.5), (10_000.0, 1.0)],
                joined: true,
                labels: vec!["first".into()],
            }],
            marks: vec![("NetSession".into(), 0.714)],
        };
        let svg = chart.to_svg();
        for word in [
            "a &lt; b",
            "clients",
            "share",
            "peers",
            "first",
            "NetSession",
            ">1000<",
        ] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(
            svg.contains("cx=\"70.0\"") && svg.contains("cx=\"740.0\""),
            "{svg}"
        );
    }

    #[test]
    fn ticks_are_round_and_few() {
        let axis = Axis {
            low: 0.0,
            high: 0.97,
            log: false,
            from: 0.0,
            to: 1.0,
        };
        let ticks: Vec<String> = axis.ticks().into_iter().map(number).collect();
        assert_eq!(ticks, ["0", "0.2", "0.4", "0.6", "0.8"]);
    }
}
