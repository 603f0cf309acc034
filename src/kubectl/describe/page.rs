//! The page that `describe` fills: indented lines with tabs, set in columns at the end.
//!
//! Picture to hold in mind: a typewriter with tab stops. What is common to all kinds (labels, tolerations, events)
//! has its stencil here.
//!
//! Follows the helpers of `k8s.io/kubectl/pkg/describe/describe.go`.

use std::fmt::{self, Write};

use crate::api::value::Map;
use crate::api::{Value, time, time_format};
use crate::arrange::{Arrange, Gather};
use crate::sim::Time;

use super::super::tab_writer::{DESCRIBE, align};

const LONGEST_ANNOTATION: usize = 140;

pub struct Page {
    text: String,
    pub now: Time,
}

/// Writes one line at a level of indentation: `line!(page, 1, "Name:\t{}", name)`.
macro_rules! line {
    ($page:expr, $level:expr, $($format:tt)+) => {
        $page.line($level, format_args!($($format)+))
    };
}
pub(super) use line;

impl Page {
    pub fn new(now: Time) -> Page {
        Page { text: String::new(), now }
    }
    pub fn line(&mut self, level: usize, text: fmt::Arguments) {
        self.text.extend(std::iter::repeat_n("  ", level));
        // A String takes all that is written to it.
        let _ = self.text.write_fmt(text);
        self.text.push('\n');
    }
    /// Text as it is: no indentation, no line's end.
    pub fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }
    /// The text with its tabs.
    pub fn source(self) -> String {
        self.text
    }
    /// The text in columns.
    pub fn finish(self) -> String {
        align(&self.text, DESCRIBE)
    }

    /// `Labels:` and each pair below the other.
    pub fn pairs(&mut self, title: &str, pairs: &Map) {
        let texts = pairs.iter().map(|(key, value)| format!("{key}={}", text_of(value)));
        self.column(title, texts.collect());
    }
    /// A title with one text a line beside it.
    pub fn column(&mut self, title: &str, texts: Vec<String>) {
        if texts.is_empty() {
            return line!(self, 0, "{title}:\t<none>");
        }
        for (index, text) in texts.into_iter().enumerate() {
            match index {
                0 => line!(self, 0, "{title}:\t{text}"),
                _ => line!(self, 0, "\t{text}"),
            }
        }
    }
    pub fn labels(&mut self, object: &Value) {
        self.pairs("Labels", object.map("metadata.labels"));
    }
    pub fn annotations(&mut self, title: &str, annotations: &Map) {
        let shown: Vec<_> =
            annotations.iter().filter(|(key, _)| *key != super::super::apply::LAST_APPLIED).gather();
        if shown.is_empty() {
            return line!(self, 0, "{title}:\t<none>");
        }
        self.raw(&format!("{title}:\t"));
        for (index, (key, value)) in shown.into_iter().enumerate() {
            if index > 0 {
                self.raw("\t");
            }
            let value = text_of(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + key.len() + 2 > LONGEST_ANNOTATION || value.contains('\n') {
                self.raw(&format!("{key}:\n"));
                for part in value.split('\n') {
                    self.raw(&format!("\t  {}\n", shortened(part, LONGEST_ANNOTATION - 2)));
                }
            } else {
                self.raw(&format!("{key}: {value}\n"));
            }
        }
    }
    /// Name, namespace, labels and annotations: how most pages begin.
    pub fn heading(&mut self, object: &Value) {
        self.name(object);
        self.marks(object);
    }
    pub fn name(&mut self, object: &Value) {
        line!(self, 0, "Name:\t{}", object.text("metadata.name"));
        if !object.text("metadata.namespace").is_empty() {
            line!(self, 0, "Namespace:\t{}", object.text("metadata.namespace"));
        }
    }
    pub fn marks(&mut self, object: &Value) {
        self.labels(object);
        self.annotations("Annotations", object.map("metadata.annotations"));
    }
    pub fn tolerations(&mut self, title: &str, tolerations: &[Value]) {
        let mut sorted: Vec<&Value> = tolerations.iter().collect();
        sorted.arrange_by_key(|toleration| toleration.text("key").to_string());
        let texts = sorted.into_iter().map(|toleration| {
            let (key, value, effect) =
                (toleration.text("key"), toleration.text("value"), toleration.text("effect"));
            let mut text = key.to_string();
            if !value.is_empty() {
                text += &format!("={value}");
            }
            if !effect.is_empty() {
                text += &format!(":{effect}");
            }
            if toleration.text("operator") == "Exists" && value.is_empty() {
                text += if key.is_empty() && effect.is_empty() { "op=Exists" } else { " op=Exists" };
            }
            if let Some(seconds) = toleration.integer("tolerationSeconds") {
                text += &format!(" for {seconds}s");
            }
            text
        });
        let texts = texts.collect();
        self.column(title, texts);
    }
    /// A table of conditions with these columns (title and field).
    pub fn conditions(&mut self, object: &Value, columns: &[(&str, &str)], spaced: bool) {
        let conditions = object.items("status.conditions");
        if conditions.is_empty() {
            return;
        }
        let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        let rules: Vec<String> = titles.iter().map(|title| "-".repeat(title.len())).collect();
        line!(self, 0, "Conditions:");
        line!(self, 1, "{}", titles.join("\t"));
        line!(self, 1, "{}", rules.join("\t"));
        for condition in conditions {
            let cells: Vec<String> = columns
                .iter()
                .enumerate()
                .map(|(index, (_, field))| {
                    let text = match field.ends_with("Time") {
                        true => date(condition.text(field)),
                        false => condition.text(field).to_string(),
                    };
                    if spaced && index + 1 < columns.len() { text + " " } else { text }
                })
                .collect();
            line!(self, 1, "{}", cells.join("\t"));
        }
    }
    /// How long ago a time of an object was.
    pub fn since(&self, timestamp: &str) -> String {
        time_format::age(timestamp, self.now)
    }

    pub fn events(&mut self, events: Option<&[Value]>) {
        let Some(events) = events else { return };
        if events.is_empty() {
            return line!(self, 0, "Events:\t<none>");
        }
        let mut sorted: Vec<&Value> = events.iter().collect();
        sorted.arrange_by_key(|event| {
            let last = event.text("lastTimestamp");
            let last = if last.is_empty() { event.text("eventTime") } else { last };
            time::parse_rfc3339(last).map(|us| us.div_euclid(1_000_000))
        });
        line!(self, 0, "Events:");
        line!(self, 1, "Type\tReason\tAge\tFrom\tMessage");
        line!(self, 1, "----\t------\t----\t----\t-------");
        for event in sorted {
            let first = match event.text("eventTime") {
                "" => self.since(event.text("firstTimestamp")),
                at => self.since(at),
            };
            let count = event.integer("count").unwrap_or(0);
            let interval = if event.has("series") {
                let last = self.since(event.text("series.lastObservedTime"));
                format!("{last} (x{} over {first})", event.integer("series.count").unwrap_or(0))
            } else if count > 1 {
                format!("{} (x{count} over {first})", self.since(event.text("lastTimestamp")))
            } else {
                first
            };
            let source = match event.text("source.component") {
                "" => event.text("reportingComponent"),
                source => source,
            };
            let mut message = event.text("message").trim().to_string();
            let path = event.text("involvedObject.fieldPath");
            if !path.is_empty() {
                message = format!("{path}: {message}");
            }
            line!(
                self,
                1,
                "{}\t{}\t{interval}\t{source}\t{message}",
                event.text("type"),
                event.text("reason")
            );
        }
    }
}

/// A string by itself, anything else as Go prints it.
pub fn text_of(value: &Value) -> String {
    crate::api::patch::go_display(value)
}

fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_string();
    }
    let mut end = longest;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// `Mon, 23 Nov 2026 05:19:11 +0000` (RFC 1123 with a numeric zone); the zero time when there is none.
pub fn date(timestamp: &str) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Some(us) = time::parse_rfc3339(timestamp) else { return "Mon, 01 Jan 0001 00:00:00 +0000".into() };
    let seconds = us.div_euclid(1_000_000);
    let date = time::calendar(seconds);
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} +0000",
        DAYS[time::weekday(seconds) as usize % 7],
        date.day,
        MONTHS[(date.month - 1) as usize % 12],
        date.year,
        date.hour,
        date.minute,
        date.second
    )
}

/// `a=1,b=2`, or `<none>`.
pub fn joined(pairs: &Map) -> String {
    if pairs.is_empty() {
        return "<none>".into();
    }
    let texts: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", text_of(value))).collect();
    texts.join(",")
}

pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}
pub fn or_unset(value: &Value) -> String {
    if value.is_null() { "<unset>".into() } else { text_of(value) }
}
/// `True` or `False`.
pub fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
/// The strings of a list, joined.
pub fn list(object: &Value, path: &str, separator: &str) -> String {
    let texts: Vec<&str> = object.items(path).iter().filter_map(Value::as_str).gather();
    texts.join(separator)
}
/// `[a b]`, as Go prints a list.
pub fn go_list(object: &Value, path: &str) -> String {
    format!("[{}]", list(object, path, " "))
}
pub fn number(object: &Value, path: &str) -> i64 {
    object.integer(path).unwrap_or(0)
}
