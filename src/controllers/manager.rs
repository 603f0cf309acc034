//! kube-controller-manager: one process in which all controllers run, one of several such processes at a time.
//!
//! Picture to hold in mind: the hall of thermostats has one main switch, and the hand that holds the lease holds
//! the switch. Each thermostat signs its letters with its own name (a service account of kube-system).
//!
//! After `cmd/kube-controller-manager/app` (`controllermanager.go`, `core.go`, `apps.go`).

use std::sync::Arc;

use crate::client::{Controller, Runner};
use crate::language::{Context, Input};
use crate::message::rest::User;
use crate::sim::ActorId;
use crate::timer::Timer;

use super::certificates::{CertificateController, Part};
use super::cluster_role_aggregation::ClusterRoleAggregationController;
use super::cron_job::CronJobController;
use super::daemonset::DaemonSetController;
use super::deployment::DeploymentController;
use super::disruption::DisruptionController;
use super::endpoints::{EndpointSliceController, EndpointSliceMirroringController, EndpointsController};
use super::garbage_collector::GarbageCollector;
use super::job::JobController;
use super::namespace::NamespaceController;
use super::node_ipam::NodeIpamController;
use super::node_lifecycle::NodeLifecycleController;
use super::pod_gc::PodGarbageCollector;
use super::replicaset::ReplicaSetController;
use super::resource_quota::ResourceQuotaController;
use super::root_ca::RootCaPublisher;
use super::service_account::ServiceAccountController;
use super::statefulset::StatefulSetController;
use super::storage::binder::VolumeBinder;
use super::storage::ephemeral::EphemeralVolumeController;
use super::storage::protection::{ClaimProtection, VolumeProtection};
use super::taint_eviction::TaintEvictionController;
use super::ttl::TtlController;
use super::ttl_after_finished::TtlAfterFinishedController;
use super::validating_admission_policy_status::PolicyStatusController;

/// Requests a second of each controller, and how many at once (`--kube-api-qps`, `--kube-api-burst`).
const QPS: u64 = 20;
const BURST: u64 = 30;

/// The actor.
#[derive(Clone)]
pub struct ControllerManager {
    runner: Runner,
}

/// Adds a controller with `share` times the usual requests a second. It writes as its own service account
/// (`--use-service-account-credentials`); the informers are the process's.
fn add(runner: &mut Runner, controller: impl Controller + 'static, share: u64) {
    let user = Arc::new(User::service_account("kube-system", controller.user_agent()));
    runner.add(Box::new(controller), user, QPS * share, BURST * share);
}

impl ControllerManager {
    /// One that talks to `server`; `identity` is its name in the lease: `cp-1_` and a UUID. `authority` is the certificate
    /// of one outside, as PEM, if any; `is_dual`: nodes get pod ranges of both families.
    pub fn new(server: ActorId, identity: &str, authority: &str, is_dual: bool) -> ControllerManager {
        let user = User::new("system:kube-controller-manager".into(), vec!["system:authenticated".into()]);
        let mut runner = Runner::new(server, Arc::new(user));
        add(&mut runner, DeploymentController::new(), 1);
        add(&mut runner, ReplicaSetController::new(), 1);
        add(&mut runner, DaemonSetController::default(), 1);
        add(&mut runner, StatefulSetController::default(), 1);
        add(&mut runner, ReplicaSetController::replication(), 1);
        add(&mut runner, JobController::default(), 1);
        add(&mut runner, CronJobController::default(), 1);
        add(&mut runner, TtlAfterFinishedController::default(), 1);
        add(&mut runner, DisruptionController::default(), 1);
        add(&mut runner, ResourceQuotaController::default(), 1);
        add(&mut runner, PolicyStatusController::default(), 1);
        // Deleting a namespace takes two requests a resource.
        add(&mut runner, NamespaceController::default(), 20);
        // Each deletion takes two requests.
        add(&mut runner, GarbageCollector::default(), 2);
        add(&mut runner, NodeLifecycleController::default(), 1);
        add(&mut runner, TaintEvictionController::default(), 1);
        add(&mut runner, NodeIpamController::new(is_dual), 1);
        add(&mut runner, TtlController::default(), 1);
        add(&mut runner, PodGarbageCollector::default(), 1);
        add(&mut runner, EndpointsController::default(), 1);
        add(&mut runner, EndpointSliceController::default(), 1);
        add(&mut runner, EndpointSliceMirroringController::default(), 1);
        add(&mut runner, VolumeBinder::default(), 1);
        add(&mut runner, ClaimProtection::default(), 1);
        add(&mut runner, VolumeProtection::default(), 1);
        add(&mut runner, EphemeralVolumeController::default(), 1);
        add(&mut runner, ServiceAccountController::default(), 1);
        add(&mut runner, RootCaPublisher::new(authority), 1);
        add(&mut runner, ClusterRoleAggregationController::default(), 5);
        for part in [Part::Approving, Part::Signing, Part::Cleaning] {
            // Without a key (`--cluster-signing-key-file`) there is nothing to sign with.
            if part != Part::Signing || authority.is_empty() {
                add(&mut runner, CertificateController::new(part), 1);
            }
        }
        runner.elect_leader("kube-controller-manager", identity);
        ControllerManager { runner }
    }
    /// The controllers with their queues, for the picture.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.runner.start(context),
            Input::Message { from, message } => self.runner.message(context, from, &message),
            Input::Timer(Timer::Client(timer)) => self.runner.timer(context, &timer),
            Input::Timer(_) => {}
        }
    }
}
