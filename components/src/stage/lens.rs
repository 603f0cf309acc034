//! The lenses: each lights up one concern of the same cluster.
//!
//! Picture to hold in mind: a microscope's turret. Turning it changes what is seen, never what is there.

use super::api_flow::ApiFlow;
use super::etcd::Etcd;
use super::scene::{Scene, Subject};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lens {
    ApiFlow,
    Etcd,
}

impl Lens {
    pub const ALL: &[Lens] = &[Lens::ApiFlow, Lens::Etcd];

    pub fn title(self) -> &'static str {
        match self {
            Lens::ApiFlow => "API flow",
            Lens::Etcd => "etcd",
        }
    }

    pub fn scene(self, subject: Subject) -> Box<dyn Scene> {
        match self {
            Lens::ApiFlow => Box::new(ApiFlow::of(subject)),
            Lens::Etcd => Box::new(Etcd::of(subject)),
        }
    }
}
