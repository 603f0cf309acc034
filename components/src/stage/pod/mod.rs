//! The pod lens: one pod on its node, from the sandbox up.
//!
//! Picture to hold in mind: a doll's house with one room open. The slab is laid first, then the cable is pulled,
//! then the tenants move in; whoever of them leaves, the slab and the address stay.
//!
//! - [`birth`] the steps of its making, done and to come
//! - [`layout`] where everything stands
//! - [`paint`] how it is drawn

mod birth;
mod layout;
mod paint;

use clusterarium::picture::{Picture, Pod};

use super::brush::Brush;
use super::geometry::{Point, Rect, Route};
use super::scene::{Frame, Scene, Subject, Target};
use layout::Layout;

pub struct PodLens {
    subject: Subject,
    /// Into the picture's pods.
    pod: Option<usize>,
    layout: Layout,
}

impl PodLens {
    pub fn of(subject: Subject) -> PodLens {
        let pod = subject.selected.as_ref().and_then(|target| position(&subject.picture, target));
        let layout = Layout::of(&subject, pod);
        PodLens { subject, pod, layout }
    }

    /// The pod to look at where none is selected: the newest of the user's, else the newest that is no static pod.
    pub fn choice(picture: &Picture) -> Option<Target> {
        let newest = |pods: &mut dyn Iterator<Item = &Pod>| {
            pods.max_by_key(|pod| pod.created_us)
                .map(|pod| Target::Pod(pod.namespace.clone(), pod.name.clone()))
        };
        let users = &mut picture.pods.iter().filter(|pod| pod.namespace != "kube-system");
        newest(users).or_else(|| newest(&mut picture.pods.iter().filter(|pod| !pod.is_mirror)))
    }

    /// Whether `target` is a pod of the picture, or in one.
    pub fn has(picture: &Picture, target: &Target) -> bool {
        position(picture, target).is_some()
    }
}

fn position(picture: &Picture, target: &Target) -> Option<usize> {
    let (Target::Pod(namespace, name) | Target::Container(namespace, name, _)) = target else { return None };
    picture.pods.iter().position(|pod| pod.namespace == *namespace && pod.name == *name)
}

impl Scene for PodLens {
    fn bounds(&self) -> Rect {
        self.layout.bounds
    }

    fn paint(&self, frame: &Frame, brush: &Brush) {
        let pod = self.pod.map(|index| &self.subject.picture.pods[index]);
        paint::Painter { subject: &self.subject, pod, layout: &self.layout, frame, brush }.paint();
    }

    fn route(&self, from: u32, to: u32) -> Option<Route> {
        self.layout.route(from, to)
    }

    fn hit(&self, at: Point) -> Option<Target> {
        let pod = &self.subject.picture.pods[self.pod?];
        let (namespace, name) = (&pod.namespace, &pod.name);
        if let Some(placed) = self.layout.containers.iter().find(|placed| placed.rect.contains(at)) {
            let container = &pod.containers[placed.index];
            return Some(Target::Container(namespace.clone(), name.clone(), container.name.clone()));
        }
        if self.layout.pod.contains(at) {
            return Some(Target::Pod(namespace.clone(), name.clone()));
        }
        if let Some((name, _)) = self.layout.parts.iter().find(|(_, rect)| rect.contains(at)) {
            return Some(Target::Component(name.clone()));
        }
        self.layout.node.contains(at).then(|| Target::Host(pod.node.clone()))
    }

    fn find(&self, target: &Target) -> Option<Rect> {
        let pod = &self.subject.picture.pods[self.pod?];
        match target {
            Target::Container(_, _, name) => {
                let index = pod.containers.iter().position(|container| container.name == *name)?;
                self.layout.containers.iter().find(|placed| placed.index == index).map(|placed| placed.rect)
            }
            Target::Component(name) => {
                self.layout.parts.iter().find(|(other, _)| other == name).map(|(_, rect)| *rect)
            }
            // The pod is the whole subject: a frame around it would say nothing.
            _ => None,
        }
    }

    fn labels(&self, _flow: &clusterarium::picture::Flow) -> bool {
        true
    }
}
