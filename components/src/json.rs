//! JSON by the browser, for what the page keeps and hands to scripts.
//!
//! Picture to hold in mind: a letter that is dictated. The browser has a reader and a writer of JSON; bringing our own
//! would make the page a twentieth heavier before its first paint.

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// What `text` says; `None` if it is no JSON.
pub fn parse(text: &str) -> Option<JsValue> {
    JSON::parse(text).ok()
}

/// Its text. Of what is built from [`object`] and [`array`] there always is one.
pub fn text(value: &JsValue) -> String {
    JSON::stringify(value).map_or_else(|_| String::new(), String::from)
}

pub fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A plain object takes any field.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

pub fn array(items: impl IntoIterator<Item = JsValue>) -> JsValue {
    items.into_iter().collect::<Array>().into()
}

/// A field of an object; undefined where there is none.
pub fn field(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// The items of an array; `None` if it is none.
pub fn items(value: &JsValue) -> Option<Vec<JsValue>> {
    value.dyn_ref::<Array>().map(Array::to_vec)
}
