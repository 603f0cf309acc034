//! `kubectl top`: what nodes and pods use.
//!
//! Picture to hold in mind: reading a meter in the cellar; where no meter hangs, there is nothing to read.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/top`. Usage comes from the add-on metrics-server alone.

use super::failure::{Outcome, fail};
use super::resources::groups;
use super::session::Session;

pub const NODE_FLAGS: &[&str] =
    &["no-headers", "selector", "show-capacity", "show-swap", "sort-by", "use-protocol-buffers@true"];
pub const POD_FLAGS: &[&str] = &[
    "all-namespaces",
    "=containers:switch",
    "field-selector",
    "no-headers",
    "selector",
    "show-swap",
    "sort-by",
    "sum",
    "use-protocol-buffers@true",
];

pub fn run(session: &mut Session) -> Outcome {
    let sort_by = session.flags.text("sort-by");
    if !matches!(sort_by, "" | "cpu" | "memory" | "swap") {
        return fail("--sort-by accepts only cpu, memory or swap");
    }
    if !session.operands().is_empty() && !session.flags.text("selector").is_empty() {
        return fail("only one of NAME or selector can be provided");
    }
    let has_metrics = groups(session)?.iter().any(|group| group.text("metadata.name") == "metrics.k8s.io");
    if !has_metrics {
        return fail("Metrics API not available");
    }
    fail(crate::fidelity::message("kubectl", "top with another add-on").unwrap_or_default())
}
