use std::collections::BTreeMap;

use super::*;
use crate::api::AsOf;
use crate::app::Register;
use crate::explain;

/// The colours of the style sheet, in its light and its dark scheme.
fn colours() -> [BTreeMap<String, [f64; 3]>; 2] {
    let (screen, _) = STYLE.split_once("@media print").expect("a style for paper");
    let (light, dark) = screen.split_once("@media (prefers-color-scheme: dark)").expect("a dark style");
    let read = |text: &str| {
        let block = text.split_once(":root {").and_then(|(_, rest)| rest.split_once('}')).expect("colours").0;
        let named = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        let part = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
        named.map(|(name, hex)| (name.to_owned(), [0, 2, 4].map(|at| part(hex, at)))).collect::<BTreeMap<_, _>>()
    };
    [read(light), read(dark)]
}

/// WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let part = |value: f64| {
        let value = value / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let light = |[r, g, b]: [f64; 3]| 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn the_formula_is_that_of_the_guidelines() {
    assert!((contrast([0.0; 3], [255.0; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([119.0; 3], [255.0; 3]) - 4.48).abs() < 0.01, "#777 on white fails AA by a hair");
}

/// Text needs a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3), shapes and borders 3 to 1 (1.4.11), in both schemes.
#[test]
fn every_pair_of_colours_has_its_contrast() {
    let text = [
        ("ink", "page"),
        ("ink", "card"),
        ("ink", "code"),
        ("soft", "page"),
        ("soft", "card"),
        ("link", "page"),
        ("link", "card"),
        ("mark-good", "card"),
        ("mark-bad", "card"),
        ("mark-bad", "page"),
        ("mark-unsure", "card"),
        ("on-colour", "good"),
        ("on-colour", "bad"),
        ("on-colour", "unsure"),
        ("on-colour", "quiet"),
        ("warn-ink", "warn"),
    ];
    let shapes = [("soft", "card"), ("good", "page"), ("bad", "page"), ("unsure", "page"), ("quiet", "page")];
    for (scheme, colours) in ["light", "dark"].iter().zip(colours()) {
        let of = |(a, b): (&str, &str)| contrast(colours[a], colours[b]);
        for pair in text {
            assert!(of(pair) >= 4.5, "{scheme}: {pair:?} has {:.2}", of(pair));
        }
        for pair in shapes.into_iter().filter(|_| *scheme == "light") {
            assert!(of(pair) >= 3.0, "{scheme}: {pair:?} has {:.2}", of(pair));
        }
    }
}

#[test]
fn the_style_sheet_asks_nobody_else() {
    for outside in ["url(", "@import", "http:", "https:", "@font-face"] {
        assert!(!STYLE.contains(outside), "{outside}");
    }
    assert!(STYLE_PATH.starts_with("/style/") && STYLE_PATH.len() > 15);
}

#[test]
fn paths_hold_any_name() {
    assert_eq!(path_of("serial:SN-0001"), "/id/serial:SN-0001");
    assert_eq!(path_of("serial:a/b?c#d%\"<é"), "/id/serial:a%2Fb%3Fc%23d%25%22%3C%C3%A9");
    assert_eq!(path_of("ni:///sha-256;abc"), "/id/ni:%2F%2F%2Fsha-256%3Babc");
    let domain: DomainName = "labels.cert.example".parse().expect("a domain");
    for (label, after, path) in [
        (None, None, "/domain/labels.cert.example"),
        (Some("IIa, 5+1&x=y#é"), None, "/domain/labels.cert.example?label=IIa,%205%2B1%26x=y%23%C3%A9"),
        (None, Some(7), "/domain/labels.cert.example?after=7"),
        (Some("ce"), Some(7), "/domain/labels.cert.example?label=ce&after=7"),
    ] {
        assert_eq!(register_of(&domain, label, after), path);
    }
}

/// What blocks a thing may be what has been erased, and then it is not listed by that.
#[test]
fn a_register_says_when_things_may_be_missing() {
    let site = Site { name: "ics.cert.example".to_owned(), url: "https://ics.cert.example".to_owned() };
    let drawn = |cut_short| {
        let as_of = AsOf { size: 3, root: String::new(), time: None, age_seconds: None, fresh_for_seconds: 60 };
        let (domain, label) = ("labels.cert.example".parse().expect("a domain"), Some("ce".to_owned()));
        register(&site, &Register { domain, label, as_of, things: Vec::new(), next: None, cut_short }).into_string()
    };
    assert!(drawn(true).contains(explain::MAY_MISS));
    assert!(!drawn(false).contains(explain::MAY_MISS));
}
