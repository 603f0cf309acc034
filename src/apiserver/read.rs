//! Get and list: where the answer is taken from, and how old it may be.
//!
//! Picture to hold in mind: asking at the window or in the archive. "Whatever you have" and "at least as new as this"
//! are answered from the window; "the newest" asks the archive only for its latest revision and waits until
//! the window shows it; "exactly as it was then" can only be answered by the archive.
//!
//! Follows `k8s.io/apiserver/pkg/storage/cacher/delegator.go` (consistent lists from the cache, KEP-2340), the etcd3
//! store's paging and `pkg/storage/continue.go`.

use std::sync::Arc;

use crate::api::base64::URL;
use crate::api::status::Status;
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::message::etcd;
use crate::message::rest::{Request, Verb};
use crate::object;

use super::ApiServer;
use super::catalog::{Route, below};
use super::exchange::{Answer, Exchange, Reading, State, Step};
use super::filter::Filter;
use super::form::Form;
use super::pipeline::failure_of_etcd;

const EXPIRED_CONTINUE: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
const EXPIRED_LIST: &str =
    "The provided from key has expired. Please start a list without a from key to discover current contents";

/// A revision as options carry it: empty and `0` are 0.
pub(super) fn parse_revision(text: &str) -> Result<u64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

impl ApiServer {
    pub(super) fn begin_get(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let below = below(&route.info, &request.namespace, &request.name);
        if request.options.resource_version.is_empty() {
            let range = etcd::Range { key: self.catalog.key(cache, &below), ..etcd::Range::default() };
            exchange.state = State::Reading(Reading::Get);
            return Ok(Step::Ask(etcd::Operation::Range(range)));
        }
        Ok(Step::AwaitRevision(parse_revision(&request.options.resource_version)?))
    }

    pub(super) fn begin_list(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let options = &request.options;
        check_list_options(&request)?;
        // Refused before anything is asked for.
        Filter::new(&route.info, &request)?;
        if !options.continue_token.is_empty() {
            let (revision, start) = read_continue(&options.continue_token)?;
            return Ok(self.ask_page(exchange, route, cache, revision, Some(start)));
        }
        let revision = parse_revision(&options.resource_version)?;
        if options.resource_version_match == "Exact" {
            return Ok(self.ask_page(exchange, route, cache, revision, None));
        }
        if options.resource_version.is_empty() {
            return Ok(self.ask_revision(exchange, cache));
        }
        if revision <= self.feed.revision() {
            return self.answer_from_cache(exchange, context);
        }
        Ok(Step::AwaitRevision(revision))
    }

    /// Asks etcd what its newest revision is.
    pub(super) fn ask_revision(&mut self, exchange: &mut Exchange, cache: usize) -> Step {
        exchange.state = State::AskingRevision;
        let range = etcd::Range {
            key: self.catalog.key(cache, ""),
            range_end: self.catalog.key(cache, "\u{0}"),
            limit: 1,
            count_only: true,
            ..etcd::Range::default()
        };
        Step::Ask(etcd::Operation::Range(range))
    }

    /// The newest revision has been told: the cache answers as soon as it is there.
    pub(super) fn revision_known(
        &mut self,
        exchange: &mut Exchange,
        response: &etcd::Response,
        context: &mut Context,
    ) -> Result<Step, Status> {
        if let Err(error) = &response.result {
            return Err(failure_of_etcd(error));
        }
        if response.revision > self.feed.revision() {
            return Ok(Step::AwaitRevision(response.revision));
        }
        self.answer_from_cache(exchange, context)
    }

    fn ask_page(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        revision: u64,
        start: Option<String>,
    ) -> Step {
        let request = &exchange.request;
        let namespace = if route.info.namespaced { request.namespace.as_str() } else { "" };
        let prefix = route.info.storage_range(namespace);
        let mut end = prefix.clone();
        end.pop();
        end.push('0');
        let has_selector =
            !request.options.label_selector.is_empty() || !request.options.field_selector.is_empty();
        let range = etcd::Range {
            key: start.map_or(Text::from(prefix), |start| self.catalog.key(cache, &start)),
            range_end: end.into(),
            revision,
            // What a selector will leave is not known beforehand.
            limit: if has_selector { 0 } else { request.options.limit },
            ..etcd::Range::default()
        };
        exchange.state = State::Reading(Reading::Page { revision });
        Step::Ask(etcd::Operation::Range(range))
    }

    /// etcd has answered a get or a page.
    pub(super) fn read(
        &mut self,
        exchange: &mut Exchange,
        reading: Reading,
        response: &etcd::Response,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let catalog = Arc::clone(&self.catalog);
        let route = catalog.route(&request.resource).ok_or_else(Status::no_such_path)?;
        let range = match &response.result {
            Ok(etcd::Outcome::Range(range)) => range,
            Ok(_) => return Err(Status::internal_error("unexpected answer of etcd")),
            Err(etcd::Error::Compacted { .. }) if !request.options.continue_token.is_empty() => {
                return Ok(Step::Answer(expired_continue(&request)));
            }
            Err(etcd::Error::Compacted { .. } | etcd::Error::FutureRevision) => {
                return Err(Status::expired(EXPIRED_LIST));
            }
            Err(error) => return Err(failure_of_etcd(error)),
        };
        let form = Form::new(&route.info, &request);
        match reading {
            Reading::Get => {
                let Some(pair) = range.pairs.first() else {
                    return Err(Status::not_found(&route.info.group_resource(), &request.name));
                };
                let mut object = pair.value.clone();
                meta::set_resource_version(&mut object, pair.mod_revision);
                self.convertible(&route.info, &request.resource.version, &object)?;
                if !request.subresource.is_empty() {
                    return self.show_subresource(exchange, route, &object, context).map(Step::Answer);
                }
                Ok(Step::Answer(Answer::new(200, form.one(&object, context.now()))))
            }
            Reading::Page { revision } => {
                let filter = Filter::new(&route.info, &request)?;
                let revision = if revision == 0 { response.revision } else { revision };
                let limit = usize::try_from(request.options.limit).unwrap_or(usize::MAX);
                let mut items = Vec::new();
                let mut last = None;
                let mut has_more = range.more;
                for pair in &range.pairs {
                    if limit > 0 && items.len() == limit {
                        has_more = true;
                        break;
                    }
                    let mut object = pair.value.clone();
                    meta::set_resource_version(&mut object, pair.mod_revision);
                    self.convertible(&route.info, &request.resource.version, &object)?;
                    last = self.catalog.locate(&pair.key).map(|(_, below)| below);
                    if !filter.has_selector() || filter.matches(&object) {
                        items.push(object);
                    }
                }
                let mut metadata = object! { "resourceVersion" => revision.to_string() };
                if let (true, Some(last)) = (has_more, last) {
                    metadata.set("continue", write_continue(revision as i64, &format!("{last}\u{0}")));
                    if !filter.has_selector() {
                        metadata.set("remainingItemCount", range.count.saturating_sub(items.len() as u64));
                    }
                }
                Ok(Step::Answer(Answer::new(200, form.list(items, metadata, context.now()))))
            }
        }
    }

    /// The cache is new enough: a get, a list or the initial state of a watch out of it.
    pub(super) fn answer_from_cache(
        &mut self,
        exchange: &mut Exchange,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let catalog = Arc::clone(&self.catalog);
        let route = catalog.route(&request.resource).ok_or_else(Status::no_such_path)?;
        let Some(number) = route.cache else { return Err(Status::no_such_path()) };
        match request.verb {
            Verb::Watch => self.open_stream(exchange, route, number, context),
            Verb::List => Ok(Step::Answer(self.list_cached(&request, route, number, context)?)),
            _ => {
                let key = below(&route.info, &request.namespace, &request.name);
                let object = self
                    .shelf(number, &key)
                    .cloned()
                    .ok_or_else(|| Status::not_found(&route.info.group_resource(), &request.name))?;
                self.convertible(&route.info, &request.resource.version, &object)?;
                if !request.subresource.is_empty() {
                    return self.show_subresource(exchange, route, &object, context).map(Step::Answer);
                }
                let form = Form::new(&route.info, &request);
                Ok(Step::Answer(Answer::new(200, form.one(&object, context.now()))))
            }
        }
    }

    fn list_cached(
        &self,
        request: &Request,
        route: &Route,
        number: usize,
        context: &mut Context,
    ) -> Result<Answer, Status> {
        let filter = Filter::new(&route.info, request)?;
        // A list that takes whatever the cache has takes it whole (`rv=0` ignores the limit).
        let limit = match request.options.resource_version.as_str() {
            "0" => 0,
            _ => usize::try_from(request.options.limit).unwrap_or(usize::MAX),
        };
        // A page without selectors is read from etcd when the cache cannot be filled.
        let is_page = request.options.limit > 0 && !filter.has_selector();
        if !is_page {
            self.fillable(&route.info, number, &request.resource.version)?;
        }
        let revision = self.feed.revision();
        let mut metadata = object! { "resourceVersion" => revision.to_string() };
        let mut items = Vec::new();
        if let Some(cache) = self.caches.get(number) {
            let mut last: Option<&Text> = None;
            let mut remaining = 0_u64;
            let objects = cache
                .list(&filter.namespace)
                .filter(|(_, object)| !filter.has_selector() || filter.matches(object));
            for (key, object) in objects {
                if limit > 0 && items.len() == limit {
                    remaining += 1;
                    continue;
                }
                last = Some(key);
                self.convertible(&route.info, &request.resource.version, object)?;
                items.push(object.clone());
            }
            if let (1.., Some(last)) = (remaining, last) {
                metadata.set("continue", write_continue(revision as i64, &format!("{last}\u{0}")));
                if !filter.has_selector() {
                    metadata.set("remainingItemCount", remaining);
                }
            }
        }
        let form = Form::new(&route.info, request);
        Ok(Answer::new(200, form.list(items, metadata, context.now())))
    }
}

/// Follows `ValidateListOptions` of apimachinery's `internalversion/validation`.
fn check_list_options(request: &Request) -> Result<(), Status> {
    use crate::api::field::{FieldError, FieldPath};
    use crate::api::kind::GroupKind;
    let options = &request.options;
    let path = FieldPath::new("resourceVersionMatch");
    let mut errors = Vec::new();
    if options.send_initial_events && request.verb != Verb::Watch {
        errors.push(FieldError::forbidden(
            &FieldPath::new("sendInitialEvents"),
            "sendInitialEvents is forbidden for list",
        ));
    }
    if !options.resource_version_match.is_empty() && request.verb != Verb::Watch {
        if options.resource_version.is_empty() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !options.continue_token.is_empty() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        match options.resource_version_match.as_str() {
            "Exact" if options.resource_version == "0" => errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            )),
            "Exact" | "NotOlderThan" => {}
            other => {
                errors.push(FieldError::not_supported(&path, other, &["Exact", "NotOlderThan"]));
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors))
    }
}

fn expired_continue(request: &Request) -> Answer {
    let start = read_continue(&request.options.continue_token).map(|(_, start)| start).unwrap_or_default();
    let mut answer = Answer::from(Status::expired(EXPIRED_CONTINUE));
    answer.body.set("metadata.continue", write_continue(-1, &start));
    answer
}

/// The token for the rest of a list at `revision`, from key `start` on.
fn write_continue(revision: i64, start: &str) -> String {
    let token = object! { "v" => "meta.k8s.io/v1", "rv" => revision, "start" => start };
    URL.encode(token.to_string().as_bytes())
}

/// Revision and start key of a token. An inconsistent rest (`rv` -1) is read at the newest revision.
fn read_continue(token: &str) -> Result<(u64, String), Status> {
    let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
    let bytes =
        URL.decode(token).map_err(|at| invalid(&format!("illegal base64 data at input byte {at}")))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| invalid("invalid character"))?;
    if token.text("v") != "meta.k8s.io/v1" {
        return Err(invalid(&format!(
            "server does not recognize this encoded version {:?}",
            token.text("v")
        )));
    }
    match token.integer("rv") {
        Some(0) | None => Err(invalid("incorrect encoded start resourceVersion")),
        Some(revision) => Ok((u64::try_from(revision).unwrap_or(0), token.text("start").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_read_what_they_write() {
        for (revision, start) in [(1, "a"), (77, "default/web-0\u{0}"), (123_456, "é/ü")] {
            let token = write_continue(revision, start);
            assert_eq!(read_continue(&token).unwrap(), (revision as u64, start.to_owned()));
        }
        // As kubectl 1.36 gets it from a real server, but for the key.
        assert!(write_continue(5, "x").starts_with("eyJ"));
        for bad in ["", "!", "eyJ2IjoieCJ9", "AAAA"] {
            assert!(read_continue(bad).is_err(), "{bad}");
        }
    }
}
