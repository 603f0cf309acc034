//! What the API server asks of the knowledge about kinds: decoding, defaults, strategies, validation, patches.
//!
//! Picture to hold in mind: the clerks' handbook. The desks of this house do not know what a pod is; they look it up.
//!
//! Every call into `crate::api`'s strategies, validation and patches goes through here.

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::ResourceInfo;
use crate::api::schema::{self, Schema, SchemaType, Strictness};
use crate::api::status::Status;
use crate::api::{Text, Value, defaults, meta, patch, strategy, time, validation, warnings};
use crate::message::rest::{self, Request};
use crate::sim::Time;

use super::{conversion, custom};

/// The body of a request as an object of the kind, in its stored version. Unknown fields become errors, warnings or
/// nothing, as `fieldValidation` says. What the object shares with `old`, which has been decoded before, is not looked at
/// again: a status update does not walk the spec.
pub(super) fn decode(
    info: &ResourceInfo,
    request: &Request,
    body: &Value,
    old: Option<&Value>,
    warnings: &mut Vec<Text>,
) -> Result<Value, Status> {
    let api_version = request.resource.api_version();
    let Some(strictness) = Strictness::parse(&request.options.field_validation) else {
        use crate::api::field::{FieldError, FieldPath};
        let error = FieldError::not_supported(
            &FieldPath::new("fieldValidation"),
            request.options.field_validation.as_str(),
            &["", "Ignore", "Strict", "Warn"],
        );
        let kind = crate::api::kind::GroupKind::new("meta.k8s.io", "CreateOptions");
        return Err(Status::invalid(&kind, "", &[error]));
    };
    let mut object = body.clone();
    if object.as_object().is_none() {
        return Err(Status::bad_request(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            object.type_name()
        )));
    }
    // Clients that know what they talk about may leave the type out.
    object.set_default("apiVersion", api_version.as_str());
    object.set_default("kind", &info.kind);
    if info.custom {
        return custom::decode(info, request, &object, strictness, warnings);
    }
    let (own_version, own_kind) = (object.text("apiVersion"), object.text("kind"));
    if own_version != api_version
        && meta::split_api_version(own_version).0 == info.group
        && own_kind == info.kind
    {
        return Err(Status::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    if own_kind != info.kind || own_version != api_version {
        let version = own_version.rsplit('/').next().unwrap_or("");
        return Err(Status::bad_request(format!(
            "{own_kind} in version \"{version}\" cannot be handled as a {}: no kind \"{own_kind}\" is registered for version \"{own_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            info.kind
        )));
    }
    if let Some(place) = Schema::built_in().kind(&api_version, &info.kind) {
        let duplicates: Vec<String> = request.options.duplicates.iter().map(Text::to_string).collect();
        let known = old.filter(|_| is_stored_version(info, request));
        let (decoded, notes) =
            schema::decode_object(place, &info.kind, &object, known, &duplicates, strictness)?;
        warnings.extend(notes.into_iter().map(Text::from));
        object = decoded;
    }
    if info.kind == "Secret" && info.group.is_empty() && object.has("stringData") {
        encode_string_data(&mut object);
    }
    if !is_stored_version(info, request) {
        defaults::apply(&info.group, &request.resource.version, &info.kind, &mut object);
        object = conversion::to_storage(&object, &info.storage_api_version());
    }
    Ok(object)
}

/// Fills in what the author left out.
pub(super) fn default(info: &ResourceInfo, object: &mut Value) {
    let (group, version, kind) = stored_kind(info);
    defaults::apply(group, version, kind, object);
}

/// `stringData` is written only: it is what `data` says in base64 (`pkg/apis/core/v1/conversion.go`).
fn encode_string_data(secret: &mut Value) {
    let Some(texts) = secret.remove("stringData") else { return };
    let Some(texts) = texts.as_object().filter(|texts| !texts.is_empty()) else { return };
    let data = secret.at_mut("data").make_object();
    for (key, text) in texts.iter() {
        data.insert(key, crate::api::base64::STANDARD.encode(text.as_str().unwrap_or("").as_bytes()));
    }
}

/// Whether the request's version is the stored one.
fn is_stored_version(info: &ResourceInfo, request: &Request) -> bool {
    request.resource.version == info.storage_version && !conversion::is_shared(info)
}

/// [`default`], but not where all that has defaults is shared with `old`, which has them.
pub(super) fn default_beside(info: &ResourceInfo, object: &mut Value, old: Option<&Value>) {
    let has_them = |old: &Value| {
        let differs = |(name, value): (&Text, &Value)| {
            !matches!(name.as_str(), "metadata" | "status" | "apiVersion" | "kind")
                && !old.get(name).is_some_and(|old| old.is_same(value))
        };
        object.as_object().is_some_and(|fields| !fields.iter().any(differs))
            && object.as_object().map(|fields| fields.len()) == old.as_object().map(|fields| fields.len())
    };
    // The status of a service has a default of its own, and so have a namespace's labels.
    let only_above_status = !matches!(info.kind.as_str(), "Service" | "Namespace" | "Ingress");
    if !(only_above_status && old.is_some_and(has_them)) {
        default(info, object);
    }
}

/// The group, version and kind under which the handbook has the stored form.
fn stored_kind(info: &ResourceInfo) -> (&str, &str, &str) {
    match info.group.as_str() {
        "events.k8s.io" => ("", "v1", &info.kind),
        group => (group, &info.storage_version, &info.kind),
    }
}

fn refused(info: &ResourceInfo, object: &Value, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&info.group_kind(), meta::name(object), errors))
}

pub(super) fn prepare_for_create(info: &ResourceInfo, object: &mut Value) {
    if info.custom {
        return custom::prepare_for_create(info, object);
    }
    let (group, version, kind) = stored_kind(info);
    // What clients write there means nothing: the server counts.
    object.remove("metadata.generation");
    // Go's maps are references: labels that a job was given from its template are the template's, and get what the
    // strategy adds there.
    let follows_template = kind == "Job"
        && group == "batch"
        && object.at("metadata.labels").is_same(object.at("spec.template.metadata.labels"));
    strategy::prepare_for_create(group, version, kind, object);
    if follows_template {
        object.set("metadata.labels", object.at("spec.template.metadata.labels").clone());
    }
}

pub(super) fn prepare_for_update(
    info: &ResourceInfo,
    subresource: &str,
    object: &mut Value,
    old: &Value,
    now: Time,
) {
    if info.custom {
        return custom::prepare_for_update(info, subresource, object, old);
    }
    let (group, version, kind) = stored_kind(info);
    match subresource {
        "status" => {
            strategy::prepare_for_status_update(group, kind, object, old, &time::rfc3339(now));
        }
        "approval" => {
            strategy::stamp_conditions(object, old, &time::rfc3339(now));
            keep_all_but(subresource, object, old);
        }
        "finalize" => keep_all_but(subresource, object, old),
        "ephemeralcontainers" => keep_only(object, old, "spec.ephemeralContainers"),
        "resize" => prepare_for_resize(object, old),
        _ => strategy::prepare_for_update(group, version, kind, object, old),
    }
}

/// `finalize` changes a namespace's `spec.finalizers`, `approval` a signing request's conditions: nothing else.
fn keep_all_but(subresource: &str, object: &mut Value, old: &Value) {
    let path = if subresource == "finalize" { "spec.finalizers" } else { "status.conditions" };
    let finalizers = object.at("metadata.finalizers").clone();
    keep_only(object, old, path);
    if subresource == "finalize" && finalizers.is_null() {
        object.remove("metadata.finalizers");
    }
}

/// The old object with what the new one says at `path`.
fn keep_only(object: &mut Value, old: &Value, path: &str) {
    let mut kept = old.clone();
    match object.at(path) {
        Value::Null => {
            kept.remove(path);
        }
        value => {
            kept.set(path, value);
        }
    }
    if path == "spec.ephemeralContainers" && kept.at(path) != old.at(path) {
        meta::set_generation(&mut kept, meta::generation(old) + 1);
    }
    *object = kept;
}

/// `resize` changes the resources of containers and of the pod, and nothing else; what is wrong with the order of
/// containers is left to the validation (`dropNonResizeUpdates`).
fn prepare_for_resize(object: &mut Value, old: &Value) {
    let mut resized = old.clone();
    validation::take(&mut resized, object, "spec.resources");
    for field in ["spec.containers", "spec.initContainers"] {
        let (wanted, had) = (object.items(field), old.items(field));
        let is_same = |(new, old): (&Value, &Value)| new.text("name") == old.text("name");
        if wanted.len() != had.len() || !wanted.iter().zip(had).all(is_same) {
            validation::take(&mut resized, object, field);
            continue;
        }
        for (index, new) in wanted.iter().enumerate() {
            for own in ["resources", "resizePolicy"] {
                validation::take(&mut resized.at_mut(field).make_array()[index], new, own);
            }
        }
    }
    if resized.at("spec") != old.at("spec") {
        meta::set_generation(&mut resized, meta::generation(old) + 1);
    }
    *object = resized;
}

pub(super) fn validate_create(info: &ResourceInfo, object: &Value) -> Result<(), Status> {
    if info.custom {
        return refused(info, object, &custom::validate(info, "", object, None));
    }
    let (group, version, kind) = stored_kind(info);
    refused(info, object, &validation::validate_create(group, version, kind, object))
}

pub(super) fn validate_update(
    info: &ResourceInfo,
    subresource: &str,
    object: &Value,
    old: &Value,
) -> Result<(), Status> {
    if info.custom {
        return refused(info, object, &custom::validate(info, subresource, object, Some(old)));
    }
    let (group, version, kind) = stored_kind(info);
    let errors = match subresource {
        "status" => validation::validate_status_update(group, kind, object, old),
        "ephemeralcontainers" => validation::validate_ephemeral_containers(object, old),
        "resize" => validation::validate_resize(object, old),
        "finalize" => validation::validate_namespace_finalize(object, old),
        _ => validation::validate_update(group, version, kind, object, old),
    };
    refused(info, object, &errors)
}

/// The warnings about an object that is made (`old` is `None`) or replaced.
pub(super) fn warnings(info: &ResourceInfo, object: &Value, old: Option<&Value>) -> Vec<Text> {
    if info.custom {
        return custom::warnings(object, old);
    }
    let (group, _, kind) = stored_kind(info);
    let mut warnings = warnings::warnings(group, kind, object, old);
    if group == "apiextensions.k8s.io" {
        warnings.extend(custom::definition_warnings(object, old));
    }
    warnings
}

/// `AllowUnconditionalUpdate`: whether an update without a revision is one.
pub(super) fn allows_unconditional_update(info: &ResourceInfo) -> bool {
    !matches!(
        (info.group.as_str(), info.kind.as_str()),
        ("coordination.k8s.io", "Lease")
            | ("policy", "PodDisruptionBudget")
            | ("admissionregistration.k8s.io", _)
            | ("apiregistration.k8s.io", _)
            | ("apiextensions.k8s.io", _)
            | ("storage.k8s.io", "CSIDriver" | "CSINode" | "VolumeAttachment" | "CSIStorageCapacity")
            | ("node.k8s.io", "RuntimeClass")
    ) && !info.custom
}

/// `AllowCreateOnUpdate`.
pub(super) fn allows_create_on_update(info: &ResourceInfo) -> bool {
    matches!(
        (info.group.as_str(), info.kind.as_str()),
        ("coordination.k8s.io", "Lease")
            | ("", "Endpoints" | "Event" | "LimitRange" | "Service")
            | ("events.k8s.io", "Event")
            | ("node.k8s.io", "RuntimeClass")
            | ("rbac.authorization.k8s.io", _)
    )
}

/// The object as the request's version shows it (`Null` for one that an apply makes), with the patch applied.
pub(super) fn patch(
    info: &ResourceInfo,
    request: &Request,
    kind: rest::PatchType,
    object: &Value,
    now: Time,
) -> Result<Value, Status> {
    let place = place_of(info, request);
    let kind = match kind {
        rest::PatchType::Json => patch::PatchType::Json,
        rest::PatchType::Merge => patch::PatchType::Merge,
        rest::PatchType::StrategicMerge if info.custom => {
            let supported = [
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ];
            return Err(Status::unsupported_media_type(&supported));
        }
        rest::PatchType::StrategicMerge => patch::PatchType::StrategicMerge,
        rest::PatchType::Apply => {
            let api_version = request.resource.api_version();
            if request.options.field_manager.is_empty() {
                let kind = crate::api::kind::GroupKind::new("meta.k8s.io", "PatchOptions");
                let error =
                    FieldError::required(&FieldPath::new("fieldManager"), "is required for apply patch");
                return Err(Status::invalid(&kind, "", &[error]));
            }
            return patch::apply::apply(
                object,
                &request.body,
                place,
                &writer(info, request, &api_version, now),
                request.options.force,
            );
        }
    };
    patch::apply(kind, place, object, &request.body)
}

/// A patched object, decoded as the body of a request is; what cannot be decoded is the patch's fault.
pub(super) fn decode_patched(
    info: &ResourceInfo,
    request: &Request,
    kind: rest::PatchType,
    patched: &Value,
    old: &Value,
    warnings: &mut Vec<Text>,
) -> Result<Value, Status> {
    decode(info, request, patched, Some(old), warnings).map_err(|status| {
        // The words after the colon are the decoder's own.
        let words = format!(" cannot be handled as a {}: ", info.kind);
        match status.message.split_once(words.as_str()) {
            Some((_, error)) if kind == rest::PatchType::StrategicMerge => {
                patch::undecodable(&patch::go_display(&request.body), error)
            }
            Some((_, error)) => patch::undecodable(&patched.to_string(), error),
            None => status,
        }
    })
}

fn place_of<'a>(info: &'a ResourceInfo, request: &Request) -> Option<SchemaType<'a>> {
    if request.subresource == "scale" {
        return Schema::built_in().kind("autoscaling/v1", "Scale");
    }
    if let Some(kind) = &info.definition {
        return kind.version(&request.resource.version)?.place();
    }
    Schema::built_in().kind(&request.resource.api_version(), &info.kind)
}

/// The manager of the fields that a request writes: `fieldManager`, or the program's name.
fn writer<'a>(
    info: &ResourceInfo,
    request: &'a Request,
    api_version: &'a str,
    now: Time,
) -> patch::apply::Writer<'a> {
    let agent = request.user_agent.split('/').next().unwrap_or("");
    let manager = match request.options.field_manager.as_str() {
        // Controllers share one process, and so one name.
        "" if request.user.name.starts_with("system:serviceaccount:kube-system:")
            && agent.contains("-controller") =>
        {
            "kube-controller-manager"
        }
        "" => agent,
        manager => manager,
    };
    patch::apply::Writer {
        manager,
        subresource: &request.subresource,
        api_version,
        now: time::rfc3339(now),
        reset_fields: match request.subresource.as_str() {
            "status" => &["spec"],
            "" if info.subresource("status").is_some() => &["status"],
            _ => &[],
        },
    }
}

/// Records who owns the fields of an object that is created (`old` is `Null`), updated or patched.
pub(super) fn manage_fields(
    info: &ResourceInfo,
    request: &Request,
    object: &mut Value,
    old: &Value,
    now: Time,
) {
    let api_version = request.resource.api_version();
    let writer = writer(info, request, &api_version, now);
    patch::apply::track_update(old, object, place_of(info, request), &writer);
}
