//! How closely the etcd lens looks: the same run, told, shown or spelled out.
//!
//! Picture to hold in mind: a dial with three stops on the side of the microscope.

use leptos::prelude::*;

use crate::storage;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// In sentences: who votes for whom, what is settled.
    Beginner,
    #[default]
    Operator,
    /// Every message carries its fields.
    Wire,
}

const NAME: &str = "level";

impl Level {
    pub const ALL: [(Level, &str); 3] =
        [(Level::Beginner, "Beginner"), (Level::Operator, "Operator"), (Level::Wire, "Wire")];

    fn named(name: &str) -> Level {
        Level::ALL.into_iter().find(|(_, other)| *other == name).map_or(Level::default(), |(level, _)| level)
    }

    /// As it was left on the last visit.
    pub fn load() -> Level {
        Level::named(&storage::read(NAME).unwrap_or_default())
    }
}

/// The dial.
pub fn dial(level: RwSignal<Level>) -> impl IntoView {
    view! {
        <select class="dial" aria-label="Level of detail" title="How closely to look" on:change=move |event| {
            let name = event_target_value(&event);
            level.set(Level::named(&name));
            storage::write(NAME, &name);
        }>
            {Level::ALL.map(|(one, name)| view! {
                <option value=name selected=move || level.get() == one>{name}</option>
            }).collect_view()}
        </select>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_the_middle() {
        for (name, level) in [("Wire", Level::Wire), ("", Level::Operator), ("wire", Level::Operator)] {
            assert_eq!(Level::named(name), level);
        }
    }
}
