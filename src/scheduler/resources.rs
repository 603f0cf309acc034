//! What a pod asks for and what a node has, in whole numbers.
//!
//! Picture to hold in mind: a shopping list beside a shelf: millicores, bytes, pieces.
//!
//! After `k8s.io/component-helpers/resource` (`PodRequests`) and `framework.Resource`.

use crate::api::quantity::Quantity;
use crate::api::{Map, Text, Value};

/// What a container that names no request counts for in scores: 100 millicores, 200 MB.
pub const DEFAULT_MILLI_CPU: i64 = 100;
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended resources, huge pages and attachable volumes, by name.
    pub scalars: Vec<(Text, i64)>,
}

impl Resources {
    /// Reads a ResourceList; `pods` is no part of it.
    pub fn parse(list: &Map) -> Resources {
        let mut resources = Resources::default();
        for (name, value) in list.iter() {
            let Some(quantity) = Quantity::from_value(value) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => resources.scalars.push((name.clone(), quantity.value())),
            }
        }
        resources
    }
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalars.is_empty()
    }
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|(known, _)| known == name).map_or(0, |(_, amount)| *amount)
    }
    fn combine(&mut self, other: &Resources, combine: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = combine(self.milli_cpu, other.milli_cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.iter_mut().find(|(known, _)| known == name) {
                Some((_, mine)) => *mine = combine(*mine, *amount),
                None => self.scalars.push((name.clone(), combine(0, *amount))),
            }
        }
    }
    pub fn add(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_add);
    }
    pub fn subtract(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_sub);
    }
    fn raise_to(&mut self, other: &Resources) {
        self.combine(other, i64::max);
    }
}

/// What the pod of `spec` asks for: its containers together, or the largest moment of its initialisation, and
/// its overhead. With `count_missing`, a container that names no cpu or memory counts with the defaults.
pub fn pod_requests(spec: &Value, count_missing: bool) -> Resources {
    let requests = |container: &Value| {
        let list = container.map("resources.requests");
        let mut resources = Resources::parse(list);
        if count_missing && !list.contains_key("cpu") {
            resources.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if count_missing && !list.contains_key("memory") {
            resources.memory = DEFAULT_MEMORY;
        }
        resources
    };
    let mut total = Resources::default();
    for container in spec.items("containers") {
        total.add(&requests(container));
    }
    // Sidecars run on beside everything that comes after them.
    let (mut sidecars, mut largest) = (Resources::default(), Resources::default());
    for container in spec.items("initContainers") {
        let mut needed = requests(container);
        if container.text("restartPolicy") == "Always" {
            total.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        largest.raise_to(&needed);
    }
    total.raise_to(&largest);
    let of_pod = spec.map("resources.requests");
    if !of_pod.is_empty() {
        let named = Resources::parse(of_pod);
        if of_pod.contains_key("cpu") {
            total.milli_cpu = named.milli_cpu;
        }
        if of_pod.contains_key("memory") {
            total.memory = named.memory;
        }
        for (name, amount) in named.scalars.into_iter().filter(|(name, _)| name.starts_with("hugepages-")) {
            total.scalars.retain(|(known, _)| *known != name);
            total.scalars.push((name, amount));
        }
    }
    total.add(&Resources::parse(spec.map("overhead")));
    total.scalars.retain(|(_, amount)| *amount != 0);
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn container(cpu: &str, memory: &str) -> Value {
        object! { "resources" => object! { "requests" => object! { "cpu" => cpu, "memory" => memory } } }
    }

    #[test]
    fn a_pod_asks_for_its_largest_moment() {
        let sidecar = container("200m", "64Mi").with("restartPolicy", "Always");
        for (spec, milli_cpu, memory_mi) in [
            (object! { "containers" => array![container("100m", "1Mi"), container("1", "2Mi")] }, 1100, 3),
            (
                object! {
                    "containers" => array![container("100m", "1Mi")],
                    "initContainers" => array![container("2", "1Mi"), container("1", "8Mi")],
                },
                2000,
                8,
            ),
            (
                object! {
                    "containers" => array![container("100m", "1Mi")],
                    "initContainers" => array![sidecar.clone(), container("2", "1Mi")],
                },
                2200,
                65,
            ),
            (
                object! {
                    "containers" => array![container("100m", "1Mi")],
                    "resources" => object! { "requests" => object! { "cpu" => "3" } },
                    "overhead" => object! { "memory" => "1Mi" },
                },
                3000,
                2,
            ),
        ] {
            let requests = pod_requests(&spec, false);
            assert_eq!((requests.milli_cpu, requests.memory >> 20), (milli_cpu, memory_mi), "{spec}");
        }
        let nothing = object! { "containers" => array![object! {}, object! {}] };
        assert!(pod_requests(&nothing, false).is_zero());
        assert_eq!(pod_requests(&nothing, true).milli_cpu, 200);
    }
}
