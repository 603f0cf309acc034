//! endpointslicemirroring-controller: hand-written Endpoints copied onto EndpointSlices.
//!
//! Picture to hold in mind: a copyist: who still writes on the old page finds it on the new leaves as well.
//!
//! After `pkg/controller/endpointslicemirroring`.

use crate::api::{Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::kinds::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
use crate::{array, object};

use super::slices::{BY_SERVICE, Group, MANAGED_BY, NOT_COPIED, SERVICE_NAME, by_service, reconcile};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Addresses of one subset that are mirrored at most.
const MAX_ENDPOINTS_A_SUBSET: usize = 1000;

#[derive(Clone, Default)]
pub struct EndpointSliceMirroringController {
    services: usize,
    endpoints: usize,
    slices: usize,
}

fn should_mirror(endpoints: &Value) -> bool {
    meta::label(endpoints, "endpointslice.kubernetes.io/skip-mirror") != Some("true")
        && meta::annotation(endpoints, "control-plane.alpha.kubernetes.io/leader").is_none()
}

fn endpoint(address: &Value, ready: bool) -> Value {
    let mut endpoint = object! {
        "addresses" => array![address.at("ip")],
        "conditions" => object! { "ready" => ready },
    };
    for field in ["targetRef", "hostname", "nodeName"] {
        if address.has(field) {
            endpoint.set(field, address.at(field));
        }
    }
    endpoint
}

fn groups(endpoints: &Value, is_v6: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for subset in endpoints.items("subsets") {
        let ports: Vec<Value> = subset
            .items("ports")
            .iter()
            .map(|port| {
                let mut copy = port.clone();
                copy.set_default("name", "").set_default("protocol", "TCP");
                copy
            })
            .collect();
        let ports = if ports.is_empty() { Value::Null } else { Value::from(ports) };
        let of = |field: &str, ready: bool| -> Vec<Value> {
            subset
                .items(field)
                .iter()
                .filter(|address| address.text("ip").contains(':') == is_v6)
                .map(|address| endpoint(address, ready))
                .collect()
        };
        let mut found = of("addresses", true);
        found.extend(of("notReadyAddresses", false));
        found.truncate(MAX_ENDPOINTS_A_SUBSET);
        if found.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|group| group.ports == ports) {
            Some(group) => group.endpoints.extend(found),
            None => groups.push(Group { ports, endpoints: found }),
        }
    }
    groups
}

impl EndpointSliceMirroringController {
    fn sync_endpoints(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let namespace = call.namespace().to_owned();
        let endpoints = ENDPOINTS.find(call.store(self.endpoints), &key).filter(should_mirror);
        let service = call
            .store(self.services)
            .get(&key)
            .cloned()
            .filter(|service| service.map("spec.selector").is_empty());
        let existing: Vec<Value> = call
            .store(self.slices)
            .by_index(BY_SERVICE, &key)
            .filter(|slice| meta::label(slice, MANAGED_BY) == Some(MANAGER))
            .map(|slice| ENDPOINT_SLICE.named(slice))
            .collect();
        let (Some(endpoints), Some(_)) = (endpoints, service) else {
            for slice in existing {
                call.delete(&ENDPOINT_SLICE.resource, &namespace, meta::name(&slice))?;
            }
            return Ok(());
        };
        let mut labels = endpoints.at("metadata.labels").clone();
        let fields = labels.make_object();
        fields.insert(SERVICE_NAME, meta::name(&endpoints));
        fields.insert(MANAGED_BY, MANAGER);
        let mut annotations = endpoints.at("metadata.annotations").clone();
        annotations.make_object().retain(|name, _| !NOT_COPIED.contains(&name));
        for (address_type, is_v6) in [("IPv4", false), ("IPv6", true)] {
            let mine: Vec<Value> =
                existing.iter().filter(|slice| slice.text("addressType") == address_type).cloned().collect();
            let groups = groups(&endpoints, is_v6);
            if groups.is_empty() && mine.is_empty() {
                continue;
            }
            let mut blank = object! {
                "apiVersion" => &ENDPOINT_SLICE.api_version,
                "kind" => &ENDPOINT_SLICE.kind,
                "metadata" => object! {
                    "generateName" => arcstr::format!("{}-", meta::name(&endpoints)),
                    "namespace" => namespace.as_str(),
                    "labels" => labels.clone(),
                    "ownerReferences" => array![ENDPOINTS.controller_reference(&endpoints)],
                },
                "addressType" => address_type,
                "endpoints" => Value::Null,
                "ports" => Value::Null,
            };
            if !annotations.is_empty() {
                blank.set("metadata.annotations", annotations.clone());
            }
            let changes = reconcile(mine, groups, &blank, &labels);
            for slice in changes.create {
                call.create(&ENDPOINT_SLICE.resource, &namespace, slice)?;
            }
            for slice in changes.update {
                call.update(&ENDPOINT_SLICE.resource, slice)?;
            }
            for slice in changes.delete {
                let delete = request::delete(&ENDPOINT_SLICE.resource, &namespace, meta::name(&slice));
                if let Err(status) = call.attempt(delete)?
                    && status.text("reason") != "NotFound"
                {
                    return Err(Interrupt::from_status(&status));
                }
            }
        }
        Ok(())
    }
}

impl Controller for EndpointSliceMirroringController {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring-controller"
    }
    fn user_agent(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }
    fn retries(&self) -> Option<u32> {
        Some(15)
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.services = informers.add(Selection::all(&SERVICE.resource));
        self.endpoints = informers.add(Selection::all(&ENDPOINTS.resource));
        self.slices = informers.add(Selection::all(&ENDPOINT_SLICE.resource));
        informers.add_index(self.slices, BY_SERVICE, by_service);
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let object = &delta.object;
        let key: Option<Text> = if delta.informer == self.endpoints || delta.informer == self.services {
            Some(key_of(object))
        } else if meta::label(object, MANAGED_BY) == Some(MANAGER) && delta.kind == DeltaType::Deleted {
            by_service(object).into_iter().next()
        } else {
            None
        };
        if let Some(key) = key {
            keys.add(key);
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        self.sync_endpoints(call)
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
