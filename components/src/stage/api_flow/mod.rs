//! The API-flow lens: every request, reply and watch event travels its edge of the architecture drawing.
//!
//! Picture to hold in mind: a railway map of the cluster. All lines meet in one station, the API server;
//! only one line leads on to etcd.
//!
//! - [`layout`] where everything stands
//! - [`paint`] how it is drawn

mod layout;
mod paint;
mod planes;
mod routes;

use std::sync::Arc;

use clusterarium::picture::Picture;

use super::brush::Brush;
use super::cables;
use super::geometry::{Point, Rect, Route};
use super::pods;
use super::scene::{Frame, Scene, Subject, Target};
use layout::Layout;

pub struct ApiFlow {
    picture: Arc<Picture>,
    layout: Layout,
}

impl ApiFlow {
    pub fn of(subject: Subject) -> ApiFlow {
        let layout = Layout::of(&subject.picture, subject.width, subject.height);
        ApiFlow { picture: subject.picture, layout }
    }
}

impl Scene for ApiFlow {
    fn bounds(&self) -> Rect {
        self.layout.bounds
    }

    fn paint(&self, frame: &Frame, brush: &Brush) {
        paint::Painter { picture: &self.picture, layout: &self.layout, frame, brush }.paint();
    }

    fn route(&self, from: u32, to: u32) -> Option<Route> {
        self.layout.route(from, to)
    }

    fn hit(&self, at: Point) -> Option<Target> {
        let (layout, picture) = (&self.layout, &self.picture);
        let proxy = || {
            let placed = layout.proxies.iter().find(|placed| placed.rect.contains(at))?;
            let pod = &picture.pods[placed.index];
            Some(Target::Pod(pod.namespace.clone(), pod.name.clone()))
        };
        let member = || {
            let placed = layout.members.iter().find(|placed| placed.rect.contains(at))?;
            Some(Target::Component(picture.etcd[placed.index].name.clone()))
        };
        let component = || {
            let placed = layout.components.iter().find(|placed| placed.rect.contains(at))?;
            Some(Target::Component(picture.components[placed.index].name.clone()))
        };
        let node = || {
            let placed = layout.nodes.iter().find(|placed| placed.rect.contains(at))?;
            Some(Target::Host(picture.hosts[placed.index].name.clone()))
        };
        let cable = || cables::hit(&layout.cables(), at);
        let part = pods::hit(picture, &layout.pods, at).or_else(proxy).or_else(member).or_else(component);
        part.or_else(node).or_else(cable)
    }

    fn find(&self, target: &Target) -> Option<Rect> {
        let (layout, picture) = (&self.layout, &self.picture);
        match target {
            Target::Component(name) => layout
                .components
                .iter()
                .find(|placed| picture.components[placed.index].name == *name)
                .or_else(|| layout.members.iter().find(|placed| picture.etcd[placed.index].name == *name))
                .map(|placed| placed.rect),
            Target::Host(name) => layout
                .nodes
                .iter()
                .find(|placed| picture.hosts[placed.index].name == *name)
                .map(|placed| placed.rect),
            Target::Pod(namespace, name) => pods::find(picture, &layout.pods, target).or_else(|| {
                let is_it = |placed: &&pods::Placed| {
                    let pod = &picture.pods[placed.index];
                    pod.namespace == *namespace && pod.name == *name
                };
                layout.proxies.iter().find(is_it).map(|placed| placed.rect)
            }),
            Target::Container(..) => pods::find(picture, &layout.pods, target),
            Target::Link(a, b) => cables::find(&layout.cables(), a, b),
            _ => None,
        }
    }
}
