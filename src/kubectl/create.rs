//! `kubectl create`: from files, or with a generator per kind.
//!
//! Picture to hold in mind: a drawer of rubber stamps. Each makes one kind of form out of a few words; the post
//! office takes the form like any other.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/create`.

use crate::api::{Text, Value};
use crate::arrange::Gather;
use crate::object;

use super::apply::{create_request, with_annotation};
use super::builder::Info;
use super::failure::{Failure, Outcome, fail, misused};
use super::generate::{access, config, network, workload};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-create",
    "filename",
    "kustomize",
    "output",
    "raw",
    "recursive",
    "save-config",
    "selector",
    "show-managed-fields",
    "template",
    "validate",
];

/// One generator.
pub struct Generator {
    pub names: &'static [&'static str],
    pub usage: &'static str,
    pub summary: &'static str,
    pub flags: &'static [&'static str],
    pub required: &'static [&'static str],
    /// Group and plural of what is made.
    pub resource: (&'static str, &'static str),
    pub make: fn(&mut Session, &str) -> Outcome<Value>,
}

pub const GENERATORS: &[Generator] = &[
    Generator {
        names: &["clusterrole"],
        usage: "clusterrole NAME --verb=verb --resource=resource.group [--resource-name=resourcename] [--dry-run=server|client|none]",
        summary: "Create a cluster role",
        flags: &["verb", "resource", "resource-name", "non-resource-url", "aggregation-rule"],
        required: &[],
        resource: ("rbac.authorization.k8s.io", "clusterroles"),
        make: access::cluster_role,
    },
    Generator {
        names: &["clusterrolebinding"],
        usage: "clusterrolebinding NAME --clusterrole=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
        summary: "Create a cluster role binding for a particular cluster role",
        flags: &["clusterrole", "user", "group", "serviceaccount"],
        required: &["clusterrole"],
        resource: ("rbac.authorization.k8s.io", "clusterrolebindings"),
        make: access::cluster_role_binding,
    },
    Generator {
        names: &["configmap", "cm"],
        usage: "configmap NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none]",
        summary: "Create a config map from a local file, directory or literal value",
        flags: &["from-file", "from-literal", "from-env-file", "append-hash"],
        required: &[],
        resource: ("", "configmaps"),
        make: config::config_map,
    },
    Generator {
        names: &["cronjob", "cj"],
        usage: "cronjob NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [flags]",
        summary: "Create a cron job with the specified name",
        flags: &["image:text", "schedule", "restart@"],
        required: &["image", "schedule"],
        resource: ("batch", "cronjobs"),
        make: workload::cron_job,
    },
    Generator {
        names: &["deployment", "deploy"],
        usage: "deployment NAME --image=image -- [COMMAND] [args...]",
        summary: "Create a deployment with the specified name",
        flags: &["image", "port:number@-1", "r=replicas@1"],
        required: &["image"],
        resource: ("apps", "deployments"),
        make: workload::deployment,
    },
    Generator {
        names: &["ingress", "ing"],
        usage: "ingress NAME --rule=host/path=service:port[,tls[=secret]]",
        summary: "Create an ingress with the specified name",
        flags: &["class", "rule", "default-backend", "annotation"],
        required: &[],
        resource: ("networking.k8s.io", "ingresses"),
        make: network::ingress,
    },
    Generator {
        names: &["job"],
        usage: "job NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
        summary: "Create a job with the specified name",
        flags: &["image:text", "from"],
        required: &[],
        resource: ("batch", "jobs"),
        make: workload::job,
    },
    Generator {
        names: &["namespace", "ns"],
        usage: "namespace NAME [--dry-run=server|client|none]",
        summary: "Create a namespace with the specified name",
        flags: &[],
        required: &[],
        resource: ("", "namespaces"),
        make: config::namespace,
    },
    Generator {
        names: &["poddisruptionbudget", "pdb"],
        usage: "poddisruptionbudget NAME --selector=SELECTOR --min-available=N [--dry-run=server|client|none]",
        summary: "Create a pod disruption budget with the specified name",
        flags: &["min-available", "max-unavailable", "=selector"],
        required: &[],
        resource: ("policy", "poddisruptionbudgets"),
        make: config::pod_disruption_budget,
    },
    Generator {
        names: &["priorityclass", "pc"],
        usage: "priorityclass NAME --value=VALUE --global-default=BOOL [--dry-run=server|client|none]",
        summary: "Create a priority class with the specified name",
        flags: &["value", "global-default", "description", "preemption-policy"],
        required: &[],
        resource: ("scheduling.k8s.io", "priorityclasses"),
        make: config::priority_class,
    },
    Generator {
        names: &["quota", "resourcequota"],
        usage: "quota NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2] [--dry-run=server|client|none]",
        summary: "Create a quota with the specified name",
        flags: &["hard", "scopes"],
        required: &[],
        resource: ("", "resourcequotas"),
        make: config::quota,
    },
    Generator {
        names: &["role"],
        usage: "role NAME --verb=verb --resource=resource.group/subresource [--resource-name=resourcename] [--dry-run=server|client|none]",
        summary: "Create a role with single rule",
        flags: &["verb", "resource", "resource-name"],
        required: &[],
        resource: ("rbac.authorization.k8s.io", "roles"),
        make: access::role,
    },
    Generator {
        names: &["rolebinding"],
        usage: "rolebinding NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
        summary: "Create a role binding for a particular role or cluster role",
        flags: &["clusterrole", "role", "user", "group", "serviceaccount"],
        required: &[],
        resource: ("rbac.authorization.k8s.io", "rolebindings"),
        make: access::role_binding,
    },
    Generator {
        names: &["secret generic"],
        usage: "generic NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none]",
        summary: "Create a secret from a local file, directory, or literal value",
        flags: &["from-file", "from-literal", "from-env-file", "append-hash", "type"],
        required: &[],
        resource: ("", "secrets"),
        make: config::secret_generic,
    },
    Generator {
        names: &["secret docker-registry"],
        usage: "docker-registry NAME --docker-username=user --docker-password=password --docker-email=email [--docker-server=string]",
        summary: "Create a secret for use with a Docker registry",
        flags: &[
            "docker-email",
            "docker-password",
            "docker-server",
            "docker-username",
            "from-file",
            "append-hash",
        ],
        required: &[],
        resource: ("", "secrets"),
        make: config::secret_docker,
    },
    Generator {
        names: &["secret tls"],
        usage: "tls NAME --cert=path/to/cert/file --key=path/to/key/file [--dry-run=server|client|none]",
        summary: "Create a TLS secret",
        flags: &["cert", "key", "append-hash"],
        required: &[],
        resource: ("", "secrets"),
        make: config::secret_tls,
    },
    Generator {
        names: &["service clusterip", "svc clusterip"],
        usage: "clusterip NAME [--tcp=<port>:<targetPort>] [--dry-run=server|client|none]",
        summary: "Create a ClusterIP service",
        flags: &["tcp", "clusterip"],
        required: &[],
        resource: ("", "services"),
        make: network::service_cluster_ip,
    },
    Generator {
        names: &["service externalname", "svc externalname"],
        usage: "externalname NAME --external-name external.name [--dry-run=server|client|none]",
        summary: "Create an ExternalName service",
        flags: &["tcp", "external-name"],
        required: &["external-name"],
        resource: ("", "services"),
        make: network::service_external_name,
    },
    Generator {
        names: &["service loadbalancer", "svc loadbalancer"],
        usage: "loadbalancer NAME [--tcp=port:targetPort] [--dry-run=server|client|none]",
        summary: "Create a LoadBalancer service",
        flags: &["tcp"],
        required: &[],
        resource: ("", "services"),
        make: network::service_load_balancer,
    },
    Generator {
        names: &["service nodeport", "svc nodeport"],
        usage: "nodeport NAME [--tcp=port:targetPort] [--dry-run=server|client|none]",
        summary: "Create a NodePort service",
        flags: &["tcp", "node-port"],
        required: &[],
        resource: ("", "services"),
        make: network::service_node_port,
    },
    Generator {
        names: &["serviceaccount", "sa"],
        usage: "serviceaccount NAME [--dry-run=server|client|none]",
        summary: "Create a service account with the specified name",
        flags: &[],
        required: &[],
        resource: ("", "serviceaccounts"),
        make: config::service_account,
    },
];

impl Generator {
    /// Most generators wrap the server's refusal in words of their own; some hand it on.
    fn explain(&self, failure: Failure) -> Failure {
        let name = self.names[0];
        let what = match name.split_once(' ') {
            Some(("secret", _)) => "secret".to_string(),
            Some(("service", kind)) => {
                format!("{} service", KINDS.iter().find(|k| k.eq_ignore_ascii_case(kind)).unwrap_or(&kind))
            }
            _ if matches!(name, "namespace" | "role" | "clusterrole") => return failure,
            _ if name == "poddisruptionbudget" => "poddisruptionbudgets".into(),
            _ => name.to_string(),
        };
        let colon = if what == "secret" { "" } else { ":" };
        Failure::Message(format!("failed to create {what}{colon} {}", failure.text()))
    }
}

const KINDS: [&str; 4] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

/// Runs one generator.
pub fn generate(session: &mut Session, generator: &Generator) -> Outcome {
    let command = session.command.clone();
    let missing: Vec<String> = generator
        .required
        .iter()
        .filter(|flag| !session.flags.is_set(flag))
        .map(|flag| format!("{flag:?}"))
        .gather();
    if !missing.is_empty() {
        return fail(format!("required flag(s) {} not set", missing.join(", ")));
    }
    let operands = session.operands().to_vec();
    let [name] = operands.as_slice() else {
        return misused(&command, &format!("exactly one NAME is required, got {}", operands.len()));
    };
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    let mut object = (generator.make)(session, name)?;
    if session.flags.switch("append-hash") {
        let name = name.clone() + &config::hash_of(&object);
        object.set("metadata.name", name);
    }
    let mapping = session.built_in(generator.resource.0, generator.resource.1);
    let mut object = with_annotation(&object, session.flags.switch("save-config"));
    let namespace = if mapping.namespaced() { session.namespace() } else { String::new() };
    if mapping.namespaced() && session.has_explicit_namespace() {
        object.set("metadata.namespace", namespace.as_str());
    }
    if dry_run != DryRun::Client {
        let info =
            Info { mapping, namespace, name: name.clone(), object: Value::Null, source: String::new() };
        let request = create_request(session, &info, object, "kubectl-create", dry_run)?;
        object = match session.attempt(request)? {
            Ok(object) => object,
            Err(failure @ Failure::Status(_)) => return Err(generator.explain(failure).into()),
            Err(failure) => return Err(failure.into()),
        };
    }
    session.print_change(&format, &object, "created")
}

/// `kubectl create -f`.
pub fn from_files(session: &mut Session) -> Outcome {
    session.refuse_raw()?;
    if !session.operands().is_empty() {
        let words = ["Unexpected args: [", &session.operands().join(" "), "]"].concat();
        return misused(&session.command, &words);
    }
    if !session.has_files() {
        return fail("must specify one of -f and -k");
    }
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    let manifests = session.read_manifests()?;
    let (infos, bad) = &*manifests;
    if infos.is_empty() && bad.is_empty() {
        return fail("no objects passed to create");
    }
    let done = session.each_alone(infos, bad, |session, info| {
        let object = create_one(session, info, dry_run)?;
        session.print_change(&format, &object, "created")?;
        Ok(Value::Null)
    })?;
    Ok(Failure::many(done.0.clone())?)
}

fn create_one(session: &mut Session, info: &Info, dry_run: DryRun) -> Outcome<Value> {
    let object = with_annotation(&info.object, session.flags.switch("save-config"));
    if dry_run == DryRun::Client {
        return Ok(object);
    }
    let request = create_request(session, info, object, "kubectl-create", dry_run)?;
    match session.attempt(request)? {
        Ok(object) => Ok(object),
        Err(failure) => Err(failure.with_source("creating", &info.source).into()),
    }
}

/// `kubectl create token NAME`.
pub fn token(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    let [name] = operands.as_slice() else {
        let words = format!("exactly one NAME is required, got {}", operands.len());
        return misused(&session.command, &words);
    };
    let mut spec = object! {};
    let audiences: Vec<Value> = session.flags.list("audience").into_iter().map(Value::from).collect();
    if !audiences.is_empty() {
        spec.set("audiences", audiences);
    }
    if let Some(duration) = session.flags.duration_us("duration").filter(|duration| *duration > 0) {
        spec.set("expirationSeconds", duration / 1_000_000);
    }
    let [kind, bound, uid] =
        ["kind", "name", "uid"].map(|part| session.flags.text(&["bound-object-", part].concat()).to_string());
    match kind.as_str() {
        "" => {
            for (part, text) in [("name", &bound), ("uid", &uid)] {
                if !text.is_empty() {
                    let words =
                        ["--bound-object-", part, " can only be set if --bound-object-kind is provided"];
                    return fail(words.concat());
                }
            }
        }
        "Node" | "Pod" | "Secret" if bound.is_empty() => {
            return fail("--bound-object-name is required if --bound-object-kind is provided");
        }
        "Node" | "Pod" | "Secret" => {
            let mut reference = object! { "kind" => kind, "apiVersion" => "v1", "name" => bound };
            if !uid.is_empty() {
                reference.set("uid", uid);
            }
            spec.set("boundObjectRef", reference);
        }
        _ => return fail("supported --bound-object-kind values are Node, Pod, Secret"),
    }
    let body =
        object! { "apiVersion" => "authentication.k8s.io/v1", "kind" => "TokenRequest", "spec" => spec };
    let accounts = session.built_in("", "serviceaccounts").resource();
    let namespace = session.namespace();
    let mut request = crate::client::request::create(&accounts, &namespace, body).subresource("token");
    request.name = Text::from(name.as_str());
    match session.attempt(request)? {
        Ok(answer) => {
            session.println(answer.text("status.token"));
            Ok(())
        }
        Err(failure) => fail(["failed to create token: ", &failure.text()].concat()),
    }
}
