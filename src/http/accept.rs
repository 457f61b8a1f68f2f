//! Which of several forms a client would rather have: the `Accept` header (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A media range of the header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths; 0 for what is not wanted.
    weight: u16,
}

/// The media type of these that the client likes best, by its weight; of those that it likes alike the one that it names
/// first, and then the first here. The first here where it says nothing, none where it wants none of them. Parameters of
/// ranges besides `q` are passed over.
pub(super) fn preferred<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let ranges: Vec<Range<'_>> = lines.flat_map(|it| it.split(',')).filter_map(Range::read).collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best: Option<(&str, u16, usize)> = None;
    for media_type in offered {
        let Some((place, range)) = closest(&ranges, media_type).filter(|(_, range)| range.weight > 0) else {
            continue;
        };
        let is_better =
            best.is_none_or(|(_, weight, before)| range.weight > weight || (range.weight == weight && place < before));
        if is_better {
            best = Some((media_type, range.weight, place));
        }
    }
    best.map(|(media_type, ..)| media_type)
}

/// The most exact of the ranges that the media type is in, with its place.
fn closest<'a>(ranges: &'a [Range<'a>], media_type: &str) -> Option<(usize, &'a Range<'a>)> {
    let (kind, subtype) = media_type.split_once('/')?;
    let exactness = |range: &Range<'_>| match (range.kind, range.subtype) {
        ("*", "*") => Some(0),
        (its, "*") if its.eq_ignore_ascii_case(kind) => Some(1),
        (its, sub) if its.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => Some(2),
        _ => None,
    };
    let fitting = ranges
        .iter()
        .enumerate()
        .filter_map(|(place, it)| Some((exactness(it)?, place, it)));
    // Of two as exact as one another, the first.
    let closest = fitting.max_by_key(|(exactness, place, _)| (*exactness, std::cmp::Reverse(*place)));
    closest.map(|(_, place, range)| (place, range))
}

impl<'a> Range<'a> {
    /// None for what is no media range: it asks for nothing.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let named = parts.find_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")));
        let weight = named.map_or(Some(1000), weight)?;
        Some(Self { kind, subtype, weight })
    }
}

/// `0` to `1` with up to three digits after the point, in thousandths.
fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|it| it.is_ascii_digit());
    let thousandths: u16 = format!("{whole}{fraction:0<3}").parse().ok()?;
    (is_plain && thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_liked_best() {
        let (json, csv, xml) = ("application/json", "text/csv", "application/xml");
        for (accept, expected) in [
            (&[][..], Some(json)),
            (&[""], Some(json)),
            (&["*/*"], Some(json)),
            (&["text/csv"], Some(csv)),
            (&["TEXT/CSV;charset=utf-8"], Some(csv)),
            (&["text/*"], Some(csv)),
            (&["application/*"], Some(json)),
            (&["text/csv, application/json"], Some(csv)),
            (&["text/csv;q=0.5, application/xml;q=0.9, */*;q=0.1"], Some(xml)),
            (&["application/json;q=0, */*"], Some(csv)),
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
                Some(xml),
            ),
            (&["application/xml;q=0.2", "text/csv;q=0.3"], Some(csv)),
            (&["application/pdf"], None),
            (&["text/csv;q=0"], None),
            (&["text/csv;q=2"], Some(json)),
            (&["nonsense"], Some(json)),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(preferred(&headers, &[json, csv, xml]), expected, "{accept:?}");
        }
    }
}
