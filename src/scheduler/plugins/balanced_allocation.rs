//! NodeResourcesBalancedAllocation: likes nodes whose cpu and memory fill up evenly.
//!
//! Picture to hold in mind: loading a boat so that it does not list.
//!
//! Upstream reckons with floating point; here in fractions, so that every target agrees.

use crate::scheduler::framework::{MAX_NODE_SCORE, Plugin, Score, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;
use crate::scheduler::resources::Resources;

pub struct BalancedAllocation;

struct Balance<'a>(&'a Resources);

/// 100 less half the distance between the two shares that are taken, in percent, rounded down.
pub(super) fn balance((cpu, cpu_there): (i64, i64), (memory, memory_there): (i64, i64)) -> i64 {
    if cpu_there <= 0 || memory_there <= 0 {
        return MAX_NODE_SCORE;
    }
    let (cpu, memory) = (cpu.clamp(0, cpu_there), memory.clamp(0, memory_there));
    // Narrow numbers where they suffice: a wide division costs ten times as much.
    let narrow = || -> Option<i64> {
        let whole = cpu_there.checked_mul(memory_there)?.checked_mul(2 * MAX_NODE_SCORE)?;
        let distance = (cpu * memory_there - memory * cpu_there).abs() * MAX_NODE_SCORE;
        let denominator = cpu_there * memory_there * 2;
        Some((whole - distance) / denominator)
    };
    narrow().unwrap_or_else(|| {
        let (cpu, cpu_there) = (i128::from(cpu), i128::from(cpu_there));
        let (memory, memory_there) = (i128::from(memory), i128::from(memory_there));
        let denominator = cpu_there * memory_there * 2;
        let distance = (cpu * memory_there - memory * cpu_there).abs();
        ((denominator - distance) * i128::from(MAX_NODE_SCORE) / denominator) as i64
    })
}

impl Score for Balance<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let there = &node.facts.allocatable;
        let taken = &node.requested;
        let with = balance(
            (taken.milli_cpu + self.0.milli_cpu, there.milli_cpu),
            (taken.memory + self.0.memory, there.memory),
        );
        let without = balance((taken.milli_cpu, there.milli_cpu), (taken.memory, there.memory));
        MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
    fn weight(&self) -> i64 {
        1
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        _view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let asks_nothing = pod.requests.milli_cpu == 0 && pod.requests.memory == 0;
        if asks_nothing { None } else { Some(Box::new(Balance(&pod.requests))) }
    }
}
