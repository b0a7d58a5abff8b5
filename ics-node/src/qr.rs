//! QR codes, as SVG for pages and stickers, and as text for terminals.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// The width of the light margin around a code, in modules (ISO/IEC 18004, 9.1).
const QUIET: usize = 4;

/// A text as a QR code.
#[derive(Debug, Clone)]
pub struct Qr {
    width: usize,
    dark: Vec<bool>,
}

/// The text is longer than a QR code holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are more than a QR code holds that survives a scratch: some 2300")]
pub struct TooLong(pub usize);

impl Qr {
    /// Encodes a text with error correction that survives a scratched sticker (level M, 15 %).
    ///
    /// # Errors
    /// When the text does not fit.
    pub fn new(text: &str) -> Result<Self, TooLong> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| TooLong(text.len()))?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Ok(Self { width: code.width(), dark })
    }

    /// The number of modules on a side, including the quiet zone.
    #[must_use]
    pub const fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Whether a module is dark; the quiet zone is light.
    fn is_dark(&self, column: usize, row: usize) -> bool {
        let inside = |place: usize| place.checked_sub(QUIET).filter(|place| *place < self.width);
        let place = inside(row).zip(inside(column)).map(|(row, column)| row * self.width + column);
        place.and_then(|place| self.dark.get(place)).copied().unwrap_or_default()
    }

    /// The dark modules as the `d` of an SVG path with one unit for each module; a run of them in a row is one
    /// rectangle.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for row in 0..self.side() {
            let mut column = 0;
            while column < self.side() {
                let run = (column..self.side()).take_while(|column| self.is_dark(*column, row)).count();
                if run > 0 {
                    // Writing to a string cannot fail.
                    let _ = write!(path, "M{column} {row}h{run}v1h-{run}z");
                }
                column += run.max(1);
            }
        }
        path
    }

    /// A whole SVG document, black on white.
    #[must_use]
    pub fn svg(&self) -> String {
        let (side, path) = (self.side(), self.path());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/><path d=\"{path}\"/></svg>\n"
        )
    }

    /// The code for a terminal: two rows of modules in a line. Light modules are drawn, so that the code also has a
    /// light background on a dark terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in (0..self.side()).step_by(2) {
            for column in 0..self.side() {
                let light = |row| row < self.side() && !self.is_dark(column, row);
                text.push(match (light(row), light(row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_agree_and_have_their_quiet_zone() {
        let qr = Qr::new("https://ics.acme.example/id/serial:SN-0001").expect("fits");
        let from_path: usize = qr
            .path()
            .split('h')
            .skip(1)
            .step_by(2)
            .filter_map(|rest| rest.split('v').next()?.parse::<usize>().ok())
            .sum();
        let dark = qr.dark.iter().filter(|dark| **dark).count();
        assert_eq!(from_path, dark);
        let lines: Vec<Vec<char>> = qr.text().lines().map(|line| line.chars().collect()).collect();
        assert!(lines[..QUIET / 2].iter().flatten().all(|c| *c == '█'));
        assert!(lines.iter().all(|line| line.len() == qr.side() && line[..QUIET].iter().all(|c| *c != ' ')));
        assert!(Qr::new(&"x".repeat(3_000)).is_err());
    }
}
