//! ImageLocality: likes nodes that have the images already.
//!
//! Picture to hold in mind: cooking where the ingredients are.

use crate::api::Text;
use crate::scheduler::framework::{MAX_NODE_SCORE, Plugin, Score, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;

pub struct ImageLocality;

const MIB: i64 = 1024 * 1024;
const MIN_BYTES: i64 = 23 * MIB;
const MAX_BYTES_A_CONTAINER: i64 = 1000 * MIB;

struct Locality<'a> {
    /// `(name, nodes that have it)`.
    images: Vec<(&'a Text, i64)>,
    nodes: i64,
}

impl Score for Locality<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let mut sum = 0;
        if !node.facts.images.is_empty() {
            for (image, spread) in &self.images {
                let size = node.facts.image_size(image).unwrap_or(0);
                // An image that is everywhere counts whole, one that is here alone hardly.
                sum += size.saturating_mul(*spread) / self.nodes;
            }
        }
        let most = MAX_BYTES_A_CONTAINER * self.images.len() as i64;
        MAX_NODE_SCORE * (sum.clamp(MIN_BYTES, most) - MIN_BYTES) / (most - MIN_BYTES)
    }
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
    fn weight(&self) -> i64 {
        1
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        if pod.images.is_empty() {
            return None;
        }
        let images = pod.images.iter().map(|image| (image, view.cache.nodes_with_image(image))).collect();
        Some(Box::new(Locality { images, nodes: view.nodes().len().max(1) as i64 }))
    }
}
