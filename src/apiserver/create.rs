//! Create: from the body of a POST to an object that may be stored.
//!
//! Picture to hold in mind: a birth certificate. The office fills in number, date and, if asked, a name; the rest is
//! the parents' own, checked before it is entered.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/handlers/create.go`, `pkg/registry/rest/create.go` and
//! `pkg/registry/generic/registry/store.go`.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Text, Value, meta, time};
use crate::language::Context;

use super::ApiServer;
use super::admission::{Attributes, Operation};
use super::catalog::{Route, below};
use super::cycle::{Cycle, Job};
use super::exchange::{Exchange, Step};
use super::seam;

/// `maxNameLength - randomLength` of `k8s.io/apiserver/pkg/storage/names`.
const MAX_GENERATED_BASE: usize = 63 - 5;

impl ApiServer {
    pub(super) fn begin_create(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let mut object = seam::decode(&route.info, &request, &request.body, None, &mut exchange.warnings)?;
        settle_namespace(route, &mut object, &request.namespace)?;
        self.see_anew(exchange.id);
        self.see(exchange.id, "Defaulting", &object);
        seam::default(&route.info, &mut object);
        if self.tracks_fields(&exchange.user) {
            seam::manage_fields(&route.info, &request, &mut object, &Value::Null, context.now());
        }
        let mut attributes = Attributes {
            name: object.shared_text("metadata.name"),
            ..Attributes::new(Operation::Create, &route.info, exchange)
        };
        self.mutate(&mut attributes, &mut object, None, context)?;
        let cycle = Cycle::new(Job::Create(object), cache, Text::new());
        self.write(exchange, cycle, context)
    }

    /// Name, UID, time of birth; what the kind's strategy and validation say; quota and allocations.
    pub(super) fn finish_create(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cycle: &mut Cycle,
        admitted: Value,
        context: &mut Context,
    ) -> Result<Value, Status> {
        let info = &route.info;
        let request = Arc::clone(&exchange.request);
        let mut object = admitted;
        self.see(exchange.id, "Strategy", &object);
        let metadata = object.at_mut("metadata").make_object();
        for name in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            metadata.remove(name);
        }
        metadata.insert("creationTimestamp", time::rfc3339(context.now()));
        metadata.insert("uid", context.random().uuid());
        if meta::name(&object).is_empty() {
            let base = meta::generate_name(&object);
            if !base.is_empty() {
                let mut end = base.len().min(MAX_GENERATED_BASE);
                while !base.is_char_boundary(end) {
                    end -= 1;
                }
                let name = format!("{}{}", &base[..end], context.random().suffix(5));
                object.set("metadata.name", name);
            }
        }
        let name = object.shared_text("metadata.name");
        cycle.key = below(info, &request.namespace, &name);
        seam::prepare_for_create(info, &mut object);
        if info.group == "certificates.k8s.io" {
            // Whoever signs it has to know who asks, not who says that he does.
            let groups = exchange.user.groups.iter().map(|group| Value::from(group.clone()));
            object.set("spec.groups", Value::array(groups));
            object.set("spec.username", exchange.user.name.clone());
        }
        self.allocate_for_create(exchange.id, info, &mut object, cycle, context)?;
        self.keep_from_escalating(exchange, info, &object, None)?;
        self.check_claim(exchange, info, &object, &Value::Null)?;
        self.see(exchange.id, "Validation", &object);
        seam::validate_create(info, &object)?;
        cycle.warnings.extend(seam::warnings(info, &object, None));
        let mut attributes = Attributes { name, ..Attributes::new(Operation::Create, info, exchange) };
        self.validate(&mut attributes, &object, None, context)?;
        cycle.companions.append(&mut attributes.companions);
        cycle.warnings.append(&mut attributes.warnings);
        self.see(exchange.id, "Storage", &object);
        self.convertible(info, &info.storage_version, &object)?;
        Ok(super::custom::stored(info, object))
    }
}

/// The object's namespace must be the request's, or none: `EnsureObjectNamespaceMatchesRequestNamespace`.
pub(super) fn settle_namespace(route: &Route, object: &mut Value, namespace: &Text) -> Result<(), Status> {
    let own = meta::namespace(object);
    if !route.info.namespaced {
        if !own.is_empty() {
            object.remove("metadata.namespace");
        }
    } else if own.is_empty() {
        object.set("metadata.namespace", namespace);
    } else if own != namespace.as_str() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
