use super::super::yaml;
use super::*;

#[test]
fn margin_notes_are_upstreams() {
    for (group, kind, manifest, expected) in [
        (
            "",
            "Service",
            "{spec: {type: ClusterIP, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], externalIPs: [1.2.3.4], externalName: x}}",
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters|spec.externalName is ignored when spec.type is not \"ExternalName\"",
        ),
        (
            "",
            "Pod",
            "{metadata: {name: a.b}, spec: {containers: [{name: a, ports: [{containerPort: 80, protocol: TCP}], env: [{name: X}, {name: X, value: '$(X)1'}, {name: X}]}, {name: b, ports: [{containerPort: 80, protocol: TCP}]}]}}",
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]|spec.containers[0].env[2]: hides previous definition of \"X\", which may be dropped when using apply|spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            "apps",
            "Deployment",
            "{metadata: {name: a}, spec: {template: {spec: {nodeSelector: {beta.kubernetes.io/os: linux}, containers: [{name: a, resources: {limits: {memory: 100m}}}], volumes: [{name: v, configMap: {name: c, items: [{key: a, path: p}, {key: b, path: p/q}]}}]}}}}",
            "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead|volume \"v\" (ConfigMap \"c\"): overlapping paths: \"p/q\" with \"p\"|spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
        ),
        (
            "",
            "Secret",
            "{type: kubernetes.io/tls, data: {tls.crt: YQ==, tls.key: YQ==}}",
            "tls: failed to find any PEM data in certificate input",
        ),
        (
            "",
            "ResourceQuota",
            "{spec: {hard: {requests.cpu: 2, limits.cpu: 1}}}",
            "ResourceQuota requests.cpu (2) should be less than limits.cpu (1)",
        ),
    ] {
        let object = yaml::parse(manifest).unwrap();
        let found = warnings(group, kind, &object, None);
        assert_eq!(found.iter().map(Text::as_str).collect::<Vec<_>>().join("|"), expected, "{kind}");
    }
}
