//! Macros: what goes through a list or a map, and what is asked of each item.
//!
//! Picture to hold in mind: a customs officer at a row of suitcases, with one question for each of them. Whether he must
//! open them all depends on what he was sent to find out.

use std::cmp::Ordering;

use super::evaluate::{Evaluator, failure, no_such_overload, shown};
use super::parse::{Macro, Node};
use super::price::{is_constant, is_text, sort_price};
use super::{Cel, Failure};
use crate::api::value::{Text, literal};
use crate::arrange::Arrange;

impl Evaluator<'_> {
    pub(super) fn go_through(
        &mut self,
        kind: Macro,
        names: [&Text; 2],
        parts: &[Node],
    ) -> Result<Cel, Failure> {
        let before = self.cost;
        let range = self.evaluate(&parts[0])?;
        let Some(body) = parts.last() else { return Err(no_such_overload()) };
        if matches!(kind, Macro::OptionalMap | Macro::OptionalFlatMap) {
            let Cel::Optional(inner) = range else { return Err(no_such_overload()) };
            let Some(inner) = inner else {
                // It is asked whether there is one, and another made.
                self.charge(2)?;
                return Ok(Cel::Optional(None));
            };
            // It is worked out twice: to see whether there is a value, and to take it.
            let twice = self.cost.saturating_sub(before);
            self.charge(twice + 2 + u64::from(kind == Macro::OptionalMap))?;
            let value = self.with(names, &[Cel::clone(&inner), Cel::NULL], body)?;
            return match (kind, &value) {
                (Macro::OptionalMap, _) => Ok(Cel::optional(Some(value))),
                (_, Cel::Optional(_)) => Ok(value),
                _ => Err(no_such_overload()),
            };
        }
        let Some(items) = range.items() else { return Err(no_such_overload()) };
        self.spend(items.len())?;
        let (mut out, mut entries, mut count, mut trouble) = (Vec::new(), Vec::new(), 0, None);
        let is_double = !names[1].is_empty();
        // What each macro is in terms of its beginning, each step, a step that adds something, and its end.
        let (start, step, more, end) = match kind {
            Macro::All => (0, 3, 0, 1),
            Macro::Exists => (0, 4, 0, 1),
            Macro::ExistsOne => (0, 0, 2, 2),
            Macro::Filter => (0, 0, 13, 1),
            Macro::TransformMap => (0, 0, 3, 1),
            Macro::TransformMapEntry => (0, 0, 2, 1),
            Macro::SortBy => (2, 0, 12, 1),
            _ => (0, 0, 12, 1),
        };
        self.charge(start)?;
        let (last, mut decided) = (items.len().saturating_sub(1), None);
        for (index, item) in items.into_iter().enumerate() {
            self.charge(step)?;
            let values = match () {
                () if !is_double => [item, Cel::NULL],
                () if range.is_list() => [index.into(), item],
                () => {
                    let value = self.lookup(&range, &item)?.unwrap_or(Cel::NULL);
                    [item, value]
                }
            };
            if let Macro::Map
            | Macro::SortBy
            | Macro::TransformList
            | Macro::TransformMap
            | Macro::TransformMapEntry = kind
            {
                let filter = (parts.len() == 3).then(|| &parts[1]);
                if let Some(filter) = filter
                    && !self.with(names, &values, filter)?.as_bool().ok_or_else(no_such_overload)?
                {
                    continue;
                }
                let result = self.with(names, &values, body)?;
                self.charge(if more == 12 && is_constant(body) { 2 } else { more })?;
                match kind {
                    Macro::Map | Macro::TransformList => out.push(result),
                    Macro::SortBy => entries.push((result, values[0].clone())),
                    Macro::TransformMap => entries.push((values[0].clone(), result)),
                    _ => {
                        for key in result.items().filter(|_| result.is_map()).ok_or_else(no_such_overload)? {
                            let value = self.lookup(&result, &key)?.unwrap_or(Cel::NULL);
                            self.insert(&mut entries, key, value)?;
                        }
                    }
                }
                continue;
            }
            let is = match self.with(names, &values, body) {
                Ok(value) => value.as_bool().ok_or_else(no_such_overload),
                Err(error) => Err(error),
            };
            match (kind, is) {
                (Macro::All, Ok(false)) | (Macro::Exists, Ok(true)) => {
                    // Only at the next item is it seen that there is nothing left to decide.
                    self.charge(if index < last { step - 1 } else { 0 })?;
                    decided = Some(kind == Macro::Exists);
                    break;
                }
                (Macro::Filter, Ok(true)) => {
                    self.charge(more)?;
                    out.push(values[0].clone());
                }
                (Macro::ExistsOne, Ok(true)) => {
                    self.charge(more)?;
                    count += 1;
                }
                (Macro::All | Macro::Exists, Err(error)) if !self.is_cancelled() => {
                    trouble = trouble.or(Some(error));
                }
                (_, Err(error)) => return Err(error),
                _ => {}
            }
        }
        self.charge(end)?;
        if let Some(is) = decided {
            return Ok(is.into());
        }
        match (kind, trouble) {
            (_, Some(error)) => Err(error),
            (Macro::All, _) => Ok(true.into()),
            (Macro::Exists, _) => Ok(false.into()),
            (Macro::ExistsOne, _) => Ok((count == 1).into()),
            (Macro::TransformMap | Macro::TransformMapEntry, _) => Ok(Cel::Map(entries.into())),
            (Macro::SortBy, _) => {
                let is_of_texts = entries.first().is_some_and(|(key, _)| is_text(key));
                self.charge(sort_price(entries.len() as u64, is_of_texts))?;
                self.sorted(entries)
            }
            _ => Ok(Cel::list(out)),
        }
    }
    /// Adds to a map what must not be in it yet.
    fn insert(&mut self, entries: &mut Vec<(Cel, Cel)>, key: Cel, value: Cel) -> Result<(), Failure> {
        for (other, _) in entries.iter() {
            if self.equal(other, &key)? {
                return Err(failure(&["insert failed: key ", &shown(&key), " already exists"]));
            }
        }
        entries.push((key, value));
        Ok(())
    }
    /// What lies behind the keys, in the keys' order.
    pub(super) fn sorted(&mut self, mut entries: Vec<(Cel, Cel)>) -> Result<Cel, Failure> {
        let Some((first, _)) = entries.first() else { return Ok(Cel::list(Vec::new())) };
        let kind = first.type_name();
        if entries.iter().any(|(key, _)| key.type_name() != kind) {
            return Err(literal!("list elements must have the same type"));
        }
        self.compare(&entries[0].0, &entries[0].0)?
            .ok_or_else(|| failure(&["list elements must be comparable"]))?;
        self.spend(entries.len().saturating_mul(entries.len().ilog2() as usize + 1))?;
        let mut trouble = None;
        entries.arrange_by(|(a, _), (b, _)| {
            self.compare(a, b).map(|order| order.unwrap_or(Ordering::Equal)).unwrap_or_else(|error| {
                trouble = Some(error);
                Ordering::Equal
            })
        });
        trouble.map_or(Ok(Cel::list(entries.into_iter().map(|(_, value)| value).collect())), Err)
    }
    fn with(&mut self, names: [&Text; 2], values: &[Cel; 2], body: &Node) -> Result<Cel, Failure> {
        let before = self.bound.len();
        for (name, value) in names.into_iter().zip(values).filter(|(name, _)| !name.is_empty()) {
            self.bound.push((name.clone(), value.clone()));
        }
        let result = self.evaluate(body);
        self.bound.truncate(before);
        result
    }
}
