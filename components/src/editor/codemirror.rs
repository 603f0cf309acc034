//! The JavaScript editor (components/editor/editor.js) as Rust sees it. It arrives after the first paint.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

#[wasm_bindgen(
    inline_js = "export function load_module(address) { return import(new URL(address, document.baseURI).href); }"
)]
extern "C" {
    #[wasm_bindgen(catch)]
    pub fn load_module(address: &str) -> Result<Promise, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    pub type Module;
    #[wasm_bindgen(method, catch, js_name = createEditor)]
    pub fn create_editor(this: &Module, parent: &HtmlElement, page: &JsValue) -> Result<CodeMirror, JsValue>;

    #[derive(Clone)]
    pub type CodeMirror;
    #[wasm_bindgen(method)]
    pub fn show(this: &CodeMirror, key: &str, text: &str);
    #[wasm_bindgen(method)]
    pub fn forget(this: &CodeMirror, key: &str);
    #[wasm_bindgen(method)]
    pub fn text(this: &CodeMirror) -> String;
    #[wasm_bindgen(method)]
    pub fn diagnose(this: &CodeMirror, diagnostics: &JsValue);
    #[wasm_bindgen(method)]
    pub fn next(this: &CodeMirror);
    #[wasm_bindgen(method)]
    pub fn focus(this: &CodeMirror);
    #[wasm_bindgen(method)]
    pub fn select(this: &CodeMirror, from: u32, to: u32);
}
