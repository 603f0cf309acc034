//! Tables: objects as the rows that kubectl prints.
//!
//! Follows `pkg/printers/internalversion/printers.go`.

use crate::api::Value;
use crate::object;
use crate::sim::Time;

use super::form::Form;

pub(super) fn table(form: &Form, items: &[Value], metadata: Value, now: Time, has_columns: bool) -> Value {
    let _ = (form, items, now, has_columns);
    object! { "kind" => "Table", "apiVersion" => "meta.k8s.io/v1", "metadata" => metadata }
}
