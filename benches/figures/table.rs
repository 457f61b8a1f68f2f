//! The table of figures: one row a figure, the median of its runs, and the aim beside it.

/// One line of the table. What a figure has no word for stays empty.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) connections: Option<usize>,
    pub(crate) rate: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) cpu_ms: Option<f64>,
    pub(crate) more: String,
    pub(crate) aim: String,
}

/// All rows as one markdown table.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::from("| figure | connections | per second | p50 ms | p99 ms | CPU ms each | more | aim |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|---|---|\n");
    for row in rows {
        let cells = [
            row.figure.clone(),
            row.connections.map_or_else(String::new, |it| it.to_string()),
            row.rate.map_or_else(String::new, number),
            row.p50_ms.map_or_else(String::new, number),
            row.p99_ms.map_or_else(String::new, number),
            row.cpu_ms.map_or_else(String::new, number),
            row.more.clone(),
            row.aim.clone(),
        ];
        text += &["| ", &cells.join(" | "), " |\n"].concat();
    }
    text
}

/// A whole number, thousands set apart.
pub(crate) fn count(value: usize) -> String {
    grouped(&value.to_string())
}

/// Three digits that matter, and thousands set apart.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    if value < 0.0 {
        return format!("-{}", number(-value));
    }
    let places = match value.abs() {
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 1.0 => 2,
        _ => 3,
    };
    grouped(&format!("{value:.places$}"))
}

fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// An aim and whether this figure reaches it.
pub(crate) fn aim(words: &str, is_met: bool) -> String {
    format!("{words}: {}", if is_met { "met" } else { "**missed**" })
}

/// The middle one; of an even number the lower of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}
