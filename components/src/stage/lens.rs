//! The lenses: each lights up one concern of the same cluster.
//!
//! Picture to hold in mind: a microscope's turret. Turning it changes what is seen, never what is there.

use super::api_flow::ApiFlow;
use super::etcd::Etcd;
use super::network::Network;
use super::pod::PodLens;
use super::scene::{Scene, Subject, Target};

use clusterarium::picture::Picture;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lens {
    ApiFlow,
    Etcd,
    Pod,
    Network,
}

impl Lens {
    pub const ALL: &[Lens] = &[Lens::ApiFlow, Lens::Etcd, Lens::Pod, Lens::Network];

    pub fn title(self) -> &'static str {
        match self {
            Lens::ApiFlow => "API flow",
            Lens::Etcd => "etcd",
            Lens::Pod => "Pod",
            Lens::Network => "Network",
        }
    }

    pub fn scene(self, subject: Subject) -> Box<dyn Scene> {
        match self {
            Lens::ApiFlow => Box::new(ApiFlow::of(subject)),
            Lens::Etcd => Box::new(Etcd::of(subject)),
            Lens::Pod => Box::new(PodLens::of(subject)),
            Lens::Network => Box::new(Network::of(subject)),
        }
    }

    /// What the lens looks at where `selected` is nothing that it can show; `None`: leave the selection as it is.
    pub fn choice(self, picture: &Picture, selected: Option<&Target>) -> Option<Target> {
        match self {
            Lens::Pod if !selected.is_some_and(|target| PodLens::has(picture, target)) => {
                PodLens::choice(picture)
            }
            _ => None,
        }
    }
}
