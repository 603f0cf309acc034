//! The columns of each kind's table.
//!
//! Picture to hold in mind: the printed heads of forms.
//!
//! A line a kind: `group/Kind: columns`. A column's name is followed by `*` if it is shown in wide output only, by
//! `#` if its cells are numbers and by `?` if they are booleans.

use crate::api::Value;
use crate::object;

const COLUMNS: &str = "\
/Pod: Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*
/PodTemplate: Name|Containers|Images|Pod Labels
/ReplicationController: Name|Desired#|Current#|Ready#|Age|Containers*|Images*|Selector*
/Service: Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*
/Endpoints: Name|Endpoints|Age
/Node: Name|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*
/Event: Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*
/Namespace: Name|Status|Age
/Secret: Name|Type|Data|Age
/ServiceAccount: Name|Age
/PersistentVolume: Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|VolumeMode*
/PersistentVolumeClaim: Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*
/ComponentStatus: Name|Status|Message|Error
/ConfigMap: Name|Data|Age
/ResourceQuota: Name|Request|Limit|Age
events.k8s.io/Event: Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*
apps/ReplicaSet: Name|Desired#|Current#|Ready#|Age|Containers*|Images*|Selector*
apps/DaemonSet: Name|Desired#|Current#|Ready#|Up-to-date#|Available#|Node Selector|Age|Containers*|Images*|Selector*
apps/StatefulSet: Name|Ready|Age|Containers*|Images*
apps/Deployment: Name|Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*
apps/ControllerRevision: Name|Controller|Revision|Age
batch/Job: Name|Status|Completions|Duration|Age|Containers*|Images*|Selector*
batch/CronJob: Name|Schedule|Timezone|Suspend?|Active#|Last Schedule|Age|Containers*|Images*|Selector*
policy/PodDisruptionBudget: Name|Min Available|Max Unavailable|Allowed Disruptions#|Age
autoscaling/Scale: Name|Desired#|Available#|Age
autoscaling/HorizontalPodAutoscaler: Name|Reference|Targets|MinPods|MaxPods|Replicas|Age
networking.k8s.io/Ingress: Name|Class|Hosts|Address|Ports|Age
networking.k8s.io/IngressClass: Name|Controller|Parameters|Age
networking.k8s.io/NetworkPolicy: Name|Pod-Selector|Age
networking.k8s.io/ServiceCIDR: Name|CIDRs|Age
networking.k8s.io/IPAddress: Name|ParentRef
rbac.authorization.k8s.io/RoleBinding: Name|Role|Age|Users*|Groups*|ServiceAccounts*
rbac.authorization.k8s.io/ClusterRoleBinding: Name|Role|Age|Users*|Groups*|ServiceAccounts*
certificates.k8s.io/CertificateSigningRequest: Name|Age|SignerName|Requestor|RequestedDuration|Condition
coordination.k8s.io/Lease: Name|Holder|Age
storage.k8s.io/StorageClass: Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age
storage.k8s.io/VolumeAttributesClass: Name|DriverName|Age
storage.k8s.io/VolumeAttachment: Name|Attacher|PV|Node|Attached?|Age
storage.k8s.io/CSINode: Name|Drivers#|Age
storage.k8s.io/CSIDriver: Name|AttachRequired?|PodInfoOnMount?|StorageCapacity?|TokenRequests|RequiresRepublish?|Modes|Age
storage.k8s.io/CSIStorageCapacity: Name|StorageClassName|Capacity
scheduling.k8s.io/PriorityClass: Name|Value#|Global-Default?|Age|PreemptionPolicy
node.k8s.io/RuntimeClass: Name|Handler|Age
discovery.k8s.io/EndpointSlice: Name|AddressType|Ports|Endpoints|Age
admissionregistration.k8s.io/MutatingWebhookConfiguration: Name|Webhooks#|Age
admissionregistration.k8s.io/ValidatingWebhookConfiguration: Name|Webhooks#|Age
admissionregistration.k8s.io/ValidatingAdmissionPolicy: Name|Validations#|ParamKind|Age
admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding: Name|PolicyName|ParamRef|Age
admissionregistration.k8s.io/MutatingAdmissionPolicy: Name|Mutations#|ParamKind|Age
admissionregistration.k8s.io/MutatingAdmissionPolicyBinding: Name|PolicyName|ParamRef|Age
flowcontrol.apiserver.k8s.io/FlowSchema: Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL
flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration: Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age
apiregistration.k8s.io/APIService: Name|Service|Available|Age
resource.k8s.io/DeviceClass: Name|Age
resource.k8s.io/ResourceClaim: Name|State|Age
resource.k8s.io/ResourceClaimTemplate: Name|Age
resource.k8s.io/ResourceSlice: Name|Node|Driver|Pool|Age
";

/// The line of a kind, without its heading.
fn line(group: &str, kind: &str) -> Option<&'static str> {
    COLUMNS.lines().find_map(|line| {
        let (head, columns) = line.split_once(": ")?;
        (head.split_once('/') == Some((group, kind))).then_some(columns)
    })
}

/// The `columnDefinitions` of a kind's table.
pub(super) fn definitions(group: &str, kind: &str) -> Value {
    let Some(columns) = line(group, kind) else {
        return Value::array([column("Name", "string", 0), column("Created At", "date", 0)]);
    };
    Value::array(columns.split('|').map(|name| {
        let priority = i64::from(name.ends_with('*'));
        let name = name.trim_end_matches('*');
        match name.chars().last() {
            Some('#') => column(name.trim_end_matches('#'), "integer", priority),
            Some('?') => column(name.trim_end_matches('?'), "boolean", priority),
            _ => column(name, "string", priority),
        }
    }))
}

pub(super) fn column(name: &str, kind: &str, priority: i64) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    object! { "name" => name, "type" => kind, "format" => format, "description" => "", "priority" => priority }
}
