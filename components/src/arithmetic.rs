//! Functions that every browser has, and that would have to be carried along in WASM.
//!
//! Picture to hold in mind: a pocket calculator that lies on the table already. Where there is no browser, in tests, the
//! standard library's do.

macro_rules! borrowed {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),*) = $there:ident, $here:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name($($argument: f64),*) -> f64 {
            #[cfg(target_arch = "wasm32")]
            return js_sys::Math::$there($($argument),*);
            #[cfg(not(target_arch = "wasm32"))]
            return f64::$here($($argument),*);
        }
    )*};
}

borrowed! {
    /// The sine of an angle in radians.
    sin(angle) = sin, sin;
    /// The cosine of an angle in radians.
    cos(angle) = cos, cos;
    /// e to the power of `x`.
    exp(x) = exp, exp;
    /// The natural logarithm of `1 + x`.
    ln_1p(x) = log1p, ln_1p;
    /// `base` to the power of `exponent`.
    pow(base, exponent) = pow, powf;
}

/// A number with so many digits after the point, as a style sheet or a reader wants it.
pub fn fixed(number: f64, digits: u8) -> String {
    #[cfg(target_arch = "wasm32")]
    return js_sys::Number::from(number).to_fixed(digits).map_or_else(|_| String::new(), String::from);
    #[cfg(not(target_arch = "wasm32"))]
    return format!("{number:.*}", usize::from(digits));
}
