//! The page's own code in a real browser, without the built page around it. Natively there is nothing to run.
#![cfg(target_arch = "wasm32")]

use components::storage;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn what_is_set_aside_is_never_lost_and_never_overwritten() {
    for text in ["first", "second", "third"] {
        assert!(storage::write("test", text));
        storage::set_aside("test", text);
        assert_eq!(storage::read("test"), None);
    }
    for (number, text) in [(1, "first"), (2, "second"), (3, "third")] {
        let name = format!("test.aside.{number}");
        assert_eq!(storage::read(&name).as_deref(), Some(text));
        storage::remove(&name);
    }
}

#[wasm_bindgen_test]
fn every_example_has_a_name_of_its_own_and_says_something() {
    let examples = components::editor::examples::EXAMPLES;
    for (index, example) in examples.iter().enumerate() {
        assert!(examples[..index].iter().all(|other| other.file != example.file), "{}", example.file);
        assert!(example.text.contains("apiVersion:"), "{}", example.file);
    }
}
