//! Words on the stage: what every lens letters alike.
//!
//! Picture to hold in mind: one set of stencils that the painters of all lenses pass around.

use super::brush::{Align, Brush, font};
use super::geometry::Point;
use super::palette::Palette;

/// A painter with a brush and the page's colours.
pub trait Lettering {
    /// How heavy this painter's code is.
    const CODE_WEIGHT: u32;

    fn palette(&self) -> &Palette;
    fn brush(&self) -> &Brush<'_>;

    /// Running text at `at` (its middle line), shortened to `width`.
    #[expect(clippy::too_many_arguments, reason = "what a stroke of lettering needs")]
    fn text(&self, text: &str, at: Point, width: f64, size: f64, weight: u32, color: &str, align: Align) {
        let font = font(weight, size, &self.palette().font_text);
        self.brush().text(text, at, width, &font, color, align);
    }

    /// The same in the face of code.
    fn code(&self, text: &str, at: Point, width: f64, size: f64, color: &str, align: Align) {
        let font = font(Self::CODE_WEIGHT, size, &self.palette().font_code);
        self.brush().text(text, at, width, &font, color, align);
    }
}
