//! A few strokes over the canvas: boxes, circles, text that fits, pills.
//!
//! Picture to hold in mind: a pencil box. Each tool makes one kind of mark and knows nothing of clusters.

use std::cell::RefCell;
use std::collections::HashMap;

use web_sys::CanvasRenderingContext2d;

use super::geometry::{Point, Rect, Route};
use crate::arithmetic::fixed;

pub struct Brush<'a> {
    pub canvas: &'a CanvasRenderingContext2d,
    /// Widths of texts that were measured before: measuring is the dearest thing on a canvas.
    widths: &'a RefCell<HashMap<(String, String), f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Align {
    Left,
    Center,
    Right,
}

impl<'a> Brush<'a> {
    pub fn new(
        canvas: &'a CanvasRenderingContext2d,
        widths: &'a RefCell<HashMap<(String, String), f64>>,
    ) -> Brush<'a> {
        if widths.borrow().len() > 4000 {
            widths.borrow_mut().clear();
        }
        Brush { canvas, widths }
    }

    fn path(&self, rect: Rect, radius: f64) {
        let radius = radius.min(rect.width / 2.0).min(rect.height / 2.0).max(0.0);
        self.canvas.begin_path();
        // Only a negative radius could fail.
        let _ = self.canvas.round_rect_with_f64(rect.x, rect.y, rect.width, rect.height, radius);
    }
    pub fn fill(&self, rect: Rect, radius: f64, color: &str) {
        self.path(rect, radius);
        self.canvas.set_fill_style_str(color);
        self.canvas.fill();
    }
    pub fn stroke(&self, rect: Rect, radius: f64, color: &str, width: f64, is_dashed: bool) {
        self.path(rect, radius);
        self.set_line(color, width, is_dashed);
        self.canvas.stroke();
        self.set_line(color, width, false);
    }
    fn set_line(&self, color: &str, width: f64, is_dashed: bool) {
        self.canvas.set_stroke_style_str(color);
        self.canvas.set_line_width(width);
        let dashes = js_sys::Array::new();
        if is_dashed {
            dashes.push(&(width * 3.0).into());
            dashes.push(&(width * 2.5).into());
        }
        let _ = self.canvas.set_line_dash(&dashes);
    }
    pub fn circle(&self, center: Point, radius: f64, fill: Option<&str>, line: Option<(&str, f64)>) {
        self.canvas.begin_path();
        let _ = self.canvas.arc(center.x, center.y, radius.max(0.0), 0.0, std::f64::consts::TAU);
        if let Some(color) = fill {
            self.canvas.set_fill_style_str(color);
            self.canvas.fill();
        }
        if let Some((color, width)) = line {
            self.set_line(color, width, false);
            self.canvas.stroke();
        }
    }
    /// Part of a circle, clockwise from the top; `share` 0 to 1.
    pub fn arc(&self, center: Point, radius: f64, share: f64, color: &str, width: f64) {
        let top = -std::f64::consts::FRAC_PI_2;
        self.canvas.begin_path();
        let end = top + std::f64::consts::TAU * share.clamp(0.0, 1.0);
        let _ = self.canvas.arc(center.x, center.y, radius, top, end);
        self.set_line(color, width, false);
        self.canvas.stroke();
    }
    pub fn polygon(&self, points: &[Point], fill: Option<&str>, line: Option<(&str, f64)>) {
        self.canvas.begin_path();
        for (index, point) in points.iter().enumerate() {
            if index == 0 {
                self.canvas.move_to(point.x, point.y);
            } else {
                self.canvas.line_to(point.x, point.y);
            }
        }
        self.canvas.close_path();
        if let Some(color) = fill {
            self.canvas.set_fill_style_str(color);
            self.canvas.fill();
        }
        if let Some((color, width)) = line {
            self.set_line(color, width, false);
            self.canvas.stroke();
        }
    }
    pub fn route(&self, route: &Route, color: &str, width: f64, is_dashed: bool) {
        self.canvas.begin_path();
        for (index, point) in route.points.iter().enumerate() {
            if index == 0 {
                self.canvas.move_to(point.x, point.y);
            } else {
                self.canvas.line_to(point.x, point.y);
            }
        }
        self.set_line(color, width, is_dashed);
        self.canvas.stroke();
        self.set_line(color, width, false);
    }

    pub fn measure(&self, text: &str, font: &str) -> f64 {
        let key = (text.to_string(), font.to_string());
        if let Some(width) = self.widths.borrow().get(&key) {
            return *width;
        }
        self.canvas.set_font(font);
        let width = self.canvas.measure_text(text).map_or(0.0, |metrics| metrics.width());
        self.widths.borrow_mut().insert(key, width);
        width
    }
    /// Writes `text` at `at` (its middle line), shortened with an ellipsis to `width`.
    pub fn text(&self, text: &str, at: Point, width: f64, font: &str, color: &str, align: Align) {
        let fitted = self.fit(text, width, font);
        if fitted.is_empty() {
            return;
        }
        self.canvas.set_font(font);
        self.canvas.set_fill_style_str(color);
        self.canvas.set_text_baseline("middle");
        self.canvas.set_text_align(match align {
            Align::Left => "left",
            Align::Center => "center",
            Align::Right => "right",
        });
        let _ = self.canvas.fill_text(&fitted, at.x, at.y);
    }
    /// The longest beginning of `text` that fits, with an ellipsis where something is left out.
    pub fn fit(&self, text: &str, width: f64, font: &str) -> String {
        let whole = self.measure(text, font);
        if whole <= width {
            return text.to_string();
        }
        let count = text.chars().count();
        let mut keep = ((width / whole) * count as f64) as usize;
        while keep > 0 {
            let shortened: String = text.chars().take(keep).chain(['…']).collect();
            if self.measure(&shortened, font) <= width {
                return shortened;
            }
            keep -= 1;
        }
        String::new()
    }

    /// `text` in lines of at most `width`, broken between words.
    pub fn wrap(&self, text: &str, width: f64, font: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.measure(&format!("{line} {word}"), font) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_string()),
            }
        }
        lines
    }
    /// Beginning and end of `text` as far as they fit, with an ellipsis between: for names that differ at their end.
    pub fn fit_middle(&self, text: &str, width: f64, font: &str) -> String {
        let whole = self.measure(text, font);
        if whole <= width {
            return text.to_string();
        }
        let letters: Vec<char> = text.chars().collect();
        let mut keep = ((width / whole) * letters.len() as f64) as usize;
        while keep > 2 {
            let end = (keep * 3 / 5).max(1);
            let shortened: String =
                letters[..keep - end].iter().chain(&['…']).chain(&letters[letters.len() - end..]).collect();
            if self.measure(&shortened, font) <= width {
                return shortened;
            }
            keep -= 1;
        }
        self.fit(text, width, font)
    }
}

/// A font in the form that a canvas takes.
pub fn font(weight: u32, size_px: f64, family: &str) -> String {
    format!("{weight} {}px {family}", fixed(size_px, 1))
}
