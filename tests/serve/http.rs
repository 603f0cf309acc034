//! HTTP as a plain client speaks it.

use std::process::Command;

use clusterarium::api::Value;

use super::program::Program;

const HOLLOW: &[&str] = &["--hollow", "--workers", "1"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const CONFIG_MAP: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"a":"b"}}"#;
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A request, and what its answer holds: status code, content type, and texts at paths of its JSON (the whole body
/// where the path is empty).
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    // What is not about a resource.
    ("GET", "/version", &[], "", 200, "application/json", &[("gitVersion", "v1.36.2")]),
    ("GET", "/healthz", &[], "", 200, "text/plain", &[("", "ok")]),
    ("GET", "/livez", &[], "", 200, "text/plain", &[("", "ok")]),
    ("GET", "/livez/ping", &[], "", 200, "text/plain", &[("", "ok")]),
    ("HEAD", "/livez", &[], "", 200, "text/plain", &[("", "")]),
    ("GET", "/nowhere", &[], "", 404, "application/json", &[("reason", "NotFound")]),
    ("POST", "/version", &[JSON], "{}", 405, "application/json", &[("reason", "MethodNotAllowed")]),
    // Discovery, all three kinds.
    ("GET", "/api", &[], "", 200, "application/json", &[("kind", "APIVersions")]),
    ("GET", "/apis", &[], "", 200, "application/json", &[("kind", "APIGroupList")]),
    ("GET", "/apis/apps/v1", &[], "", 200, "application/json", &[("groupVersion", "apps/v1")]),
    (
        "GET",
        "/apis",
        &[(
            "Accept",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        )],
        "",
        200,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        &[("kind", "APIGroupDiscoveryList")],
    ),
    // In which form.
    ("GET", "/api/v1/namespaces/default", &[], "", 200, "application/json", &[("kind", "Namespace")]),
    (
        "GET",
        "/api/v1/namespaces/default",
        &[("Accept", "application/vnd.kubernetes.protobuf,application/json")],
        "",
        200,
        "application/json",
        &[("kind", "Namespace")],
    ),
    (
        "GET",
        "/api/v1/namespaces/default",
        &[("Accept", "application/vnd.kubernetes.protobuf")],
        "",
        406,
        "application/json",
        &[("reason", "NotAcceptable")],
    ),
    (
        "GET",
        "/api/v1/namespaces",
        &[("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")],
        "",
        200,
        "application/json",
        &[("kind", "Table"), ("apiVersion", "meta.k8s.io/v1")],
    ),
    (
        "GET",
        "/api/v1/namespaces",
        &[("Accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")],
        "",
        200,
        "application/json",
        &[("kind", "PartialObjectMetadataList")],
    ),
    (
        "GET",
        "/api/v1/namespaces/default",
        &[("Accept", "application/yaml")],
        "",
        200,
        "application/yaml",
        &[],
    ),
    // Bodies.
    ("POST", CONFIG_MAPS, &[JSON], CONFIG_MAP, 201, "application/json", &[("metadata.name", "settings")]),
    ("POST", CONFIG_MAPS, &[JSON], CONFIG_MAP, 409, "application/json", &[("reason", "AlreadyExists")]),
    (
        "POST",
        CONFIG_MAPS,
        &[("Content-Type", "application/yaml")],
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: from-yaml}}",
        201,
        "application/json",
        &[("metadata.name", "from-yaml")],
    ),
    (
        "POST",
        CONFIG_MAPS,
        &[("Content-Type", "application/vnd.kubernetes.protobuf")],
        "k8s",
        400,
        "application/json",
        &[("reason", "BadRequest")],
    ),
    (
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        &[("Content-Type", "application/vnd.kubernetes.protobuf")],
        "k8s\0\n3\n\u{17}apiextensions.k8s.io/v1\u{12}\u{18}CustomResourceDefinition",
        415,
        "application/json",
        &[("reason", "UnsupportedMediaType")],
    ),
    (
        "POST",
        CONFIG_MAPS,
        &[("Content-Type", "application/vnd.kubernetes.protobuf")],
        "k8s\0\n\u{f}\n\u{2}v1\u{12}\tConfigMap\u{12}\u{12}\n\u{8}\n\u{6}binary\u{12}\u{6}\n\u{1}a\u{12}\u{1}b",
        201,
        "application/json",
        &[("metadata.name", "binary"), ("data.a", "b")],
    ),
    ("POST", CONFIG_MAPS, &[JSON], "{", 400, "application/json", &[("reason", "BadRequest")]),
    (
        "POST",
        "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
        &[JSON],
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"a":"b"},"data":{},"more":1}"#,
        400,
        "application/json",
        &[(
            "message",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"more\", duplicate field \"data\"",
        )],
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/settings",
        &[("Content-Type", "application/merge-patch+json")],
        r#"{"data":{"c":"d"}}"#,
        200,
        "application/json",
        &[("data.a", "b"), ("data.c", "d")],
    ),
    ("PATCH", "/api/v1/namespaces/default/configmaps/settings", &[JSON], "{}", 415, "application/json", &[]),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/settings?fieldManager=test",
        &[("Content-Type", "application/apply-patch+yaml")],
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: z}}",
        409,
        "application/json",
        &[("reason", "Conflict")],
    ),
    (
        "PATCH",
        "/api/v1/namespaces/default/configmaps/settings?fieldManager=test&force=true",
        &[("Content-Type", "application/apply-patch+yaml")],
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: z}}",
        200,
        "application/json",
        &[("data.a", "z")],
    ),
    // Options.
    ("GET", "/api/v1/namespaces?limit=x", &[], "", 400, "application/json", &[("reason", "BadRequest")]),
    ("GET", "/api/v1/pods?labelSelector=a%20in%20(", &[], "", 400, "application/json", &[]),
    (
        "DELETE",
        "/api/v1/namespaces/default/configmaps/settings?dryRun=All",
        &[],
        "",
        200,
        "application/json",
        &[("status", "Success")],
    ),
    ("DELETE", "/api/v1/namespaces/default/configmaps/settings", &[], "", 200, "application/json", &[]),
    ("GET", "/api/v1/namespaces/default/configmaps/settings", &[], "", 404, "application/json", &[]),
    (
        "GET",
        "/api/v1/namespaces/default/pods/web/exec?command=ls",
        &[],
        "",
        400,
        "application/json",
        &[("message", "Upgrade request required")],
    ),
    // Who asks.
    (
        "GET",
        "/api/v1/nodes",
        &[("Authorization", "Bearer nonsense")],
        "",
        401,
        "application/json",
        &[("reason", "Unauthorized"), ("message", "Unauthorized")],
    ),
    (
        "GET",
        "/api/v1/nodes",
        &[("Impersonate-User", "jane")],
        "",
        403,
        "application/json",
        &[(
            "message",
            "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        )],
    ),
    // Web pages.
    ("GET", "/api/v1/nodes", &[("Host", "evil.example:80")], "", 403, "application/json", &[]),
    ("GET", "/api/v1/nodes", &[("Origin", "http://evil.example")], "", 403, "application/json", &[]),
    ("GET", "/api/v1/nodes", &[("Sec-Fetch-Site", "cross-site")], "", 403, "application/json", &[]),
    ("GET", "/livez", &[("Host", "localhost:1")], "", 200, "text/plain", &[]),
];

#[test]
fn requests_are_answered_as_by_the_real_server() {
    let program = Program::start(HOLLOW);
    // All on one connection: it is kept alive whatever is asked.
    let mut connection = program.connect();
    for (method, target, headers, body, code, content_type, texts) in CASES {
        let answer = connection.ask(method, target, headers, body);
        let what = format!("{method} {target} {headers:?} {body}: {answer:?}");
        assert_eq!(answer.code, *code, "{what}");
        assert_eq!(answer.header("content-type"), *content_type, "{what}");
        for (path, expected) in *texts {
            match *path {
                "" => assert_eq!(answer.text, *expected, "{what}"),
                path => assert_eq!(answer.json().text(path), *expected, "{what}"),
            }
        }
    }
    verbose_health_and_warnings(&program);
    tokens_are_believed(&program);
    openapi_fits_together(&program);
    what_is_no_request_is_refused(&program);
}

fn verbose_health_and_warnings(program: &Program) {
    let ready = program.get("/readyz?verbose");
    assert!(ready.text.contains("[+]informer-sync ok\n") && ready.text.ends_with("readyz check passed\n"));
    let unknown = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"odd"},"more":1}"#;
    let warned = program.post(CONFIG_MAPS, unknown);
    assert_eq!((warned.code, warned.header("warning")), (201, r#"299 - "unknown field \"more\"""#));
    let pretty = program.get("/api/v1/namespaces/default?pretty=true");
    assert!(pretty.text.starts_with("{\n  \"") && pretty.text.ends_with("}\n"), "{pretty:?}");
}

fn tokens_are_believed(program: &Program) {
    let made = program.post("/api/v1/namespaces/default/serviceaccounts/default/token", "{}");
    assert_eq!(made.code, 201, "{made:?}");
    let token = made.json().text("status.token").to_owned();
    let who = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [JSON, ("Authorization", bearer.as_str())];
        program.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &headers, "{}")
    };
    assert_eq!(who(&token).json().text("status.userInfo.username"), "system:serviceaccount:default:default");
    // A letter in the middle of the claims.
    let middle = token.len() / 2;
    let other = if &token[middle..=middle] == "A" { "B" } else { "A" };
    let damaged = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert_eq!(who(&damaged).code, 401);
    let review = format!(
        r#"{{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{{"token":"{token}"}}}}"#
    );
    let review = program.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).json();
    assert!(review.is_true("status.authenticated"), "{review}");
}

/// Every reference leads somewhere, and the kinds that people write are there.
fn openapi_fits_together(program: &Program) {
    fn references(value: &Value, prefix: &str, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, prefix, found)),
            Value::Object(fields) => {
                for (name, value) in fields.iter() {
                    match value.as_str().and_then(|text| text.strip_prefix(prefix)) {
                        Some(name_of) if name == "$ref" => found.push(name_of.to_owned()),
                        _ => references(value, prefix, found),
                    }
                }
            }
            _ => {}
        }
    }
    let check = |document: &Value, definitions: &Value, prefix: &str| {
        let mut found = Vec::new();
        references(document, prefix, &mut found);
        assert!(!found.is_empty());
        for name in found {
            assert!(definitions.get(&name).is_some(), "{name} is referred to and not there");
        }
    };
    let v2 = program.get("/openapi/v2").json();
    check(&v2, v2.at("definitions"), "#/definitions/");
    let definition = |name: &str| v2.at("definitions").get(name).cloned().unwrap_or_default();
    let spec = definition("io.k8s.api.core.v1.ServiceSpec");
    assert_eq!(spec.text("properties.ports.x-kubernetes-patch-merge-key"), "port");
    assert_eq!(
        definition("io.k8s.api.apps.v1.Deployment").at("x-kubernetes-group-version-kind").to_string(),
        r#"[{"group":"apps","kind":"Deployment","version":"v1"}]"#
    );
    let index = program.get("/openapi/v3").json();
    let paths: Vec<(String, String)> = index
        .map("paths")
        .iter()
        .map(|(name, value)| (name.to_string(), value.text("serverRelativeURL").to_owned()))
        .collect();
    assert!(paths.iter().any(|(name, _)| name == "apis/apps/v1"));
    for (name, url) in paths {
        let v3 = program.get(&url);
        assert_eq!(v3.code, 200, "{name}");
        let v3 = v3.json();
        check(&v3, v3.at("components.schemas"), "#/components/schemas/");
    }
    let protobuf = program.ask(
        "GET",
        "/openapi/v2",
        &[("Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")],
        "",
    );
    assert_eq!(protobuf.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(protobuf.text.starts_with("\n\u{3}2.0"));
}

fn what_is_no_request_is_refused(program: &Program) {
    for bad in [
        "nonsense\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
    ] {
        let mut connection = program.connect();
        connection.send(bad.as_bytes());
        let code = connection.head().code;
        assert!(code == 400 || code == 505, "{bad:?}: {code}");
    }
    // A head without end is cut off.
    let mut connection = program.connect();
    connection.send(format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(1 << 20)).as_bytes());
    assert_eq!(connection.head().code, 431);
    // A body that is too large is refused by its length alone.
    let mut connection = program.connect();
    let length = (4 << 20).to_string();
    connection.request("POST", CONFIG_MAPS, &[JSON, ("Content-Length", &length)], "");
    assert_eq!(connection.head().code, 413);
    // One whose length is not told is cut off where it becomes too large.
    let mut connection = program.connect();
    connection.request("POST", CONFIG_MAPS, &[JSON, ("Transfer-Encoding", "chunked")], "");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..4 {
        connection.send(chunk.as_bytes());
    }
    assert_eq!(connection.head().code, 413);
    // Who asks before sending is told to go on.
    let mut connection = program.connect();
    let body = CONFIG_MAP.replace("settings", "asked");
    let length = body.len().to_string();
    connection.request(
        "POST",
        CONFIG_MAPS,
        &[JSON, ("Content-Length", &length), ("Expect", "100-continue")],
        "",
    );
    assert_eq!(connection.head().code, 100);
    connection.send(body.as_bytes());
    assert_eq!(connection.head().code, 201);
}

#[test]
fn watches_are_told_and_ended() {
    let mut program = Program::start(HOLLOW);
    let list = program.get(CONFIG_MAPS).json();
    let revision = list.text("metadata.resourceVersion").to_owned();
    let mut watch = program.connect();
    let target = format!("{CONFIG_MAPS}?watch=true&resourceVersion={revision}&allowWatchBookmarks=true");
    watch.request("GET", &target, &[], "");
    let head = watch.head();
    assert_eq!((head.code, head.header("transfer-encoding")), (200, "chunked"));
    let mut table = program.connect();
    table.request(
        "GET",
        &target,
        &[("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")],
        "",
    );
    assert_eq!(table.head().code, 200);

    assert_eq!(program.post(CONFIG_MAPS, CONFIG_MAP).code, 201);
    let added = watch.event();
    assert_eq!((added.text("type"), added.text("object.metadata.name")), ("ADDED", "settings"));
    let row = table.event();
    assert_eq!((row.text("type"), row.text("object.kind")), ("ADDED", "Table"));
    let one = format!("{CONFIG_MAPS}/settings");
    let patch = [("Content-Type", "application/merge-patch+json")];
    assert_eq!(program.ask("PATCH", &one, &patch, r#"{"data":{"a":"c"}}"#).code, 200);
    assert_eq!(watch.event().text("type"), "MODIFIED");
    assert_eq!(program.ask("DELETE", &one, &[], "").code, 200);
    assert_eq!(watch.event().text("type"), "DELETED");

    // A watch that names its time ends by itself, properly.
    let mut short = program.connect();
    short.request(
        "GET",
        &format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={revision}"),
        &[],
        "",
    );
    assert_eq!(short.head().code, 200);
    for expected in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(short.event().text("type"), expected);
    }
    assert_eq!(short.chunk(), None);

    #[cfg(unix)]
    {
        program.interrupt();
        // The open watch ends with its last chunk, not with a broken connection.
        assert_eq!(watch.chunk(), None);
        assert_eq!(program.exit_code(), Some(0));
    }
    let _ = &mut program;
}

/// Two compactions are ten minutes; at a thousand times the pace they are soon past.
#[test]
fn a_compacted_revision_is_gone() {
    let program = Program::start(&["--hollow", "--workers", "1", "--speed", "1000"]);
    let list = program.get(CONFIG_MAPS).json();
    let revision = list.text("metadata.resourceVersion").to_owned();
    let exact = format!("{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact");
    assert_eq!(program.get(&exact).code, 200);
    // Each answer moves the clock on; a cluster that never compacts would hold the test up until its runner gives up.
    let gone = loop {
        let answer = program.get(&exact);
        if answer.code != 200 {
            break answer;
        }
    };
    assert_eq!((gone.code, gone.json().text("reason")), (410, "Expired"));
    let mut watch = program.connect();
    // Leases change every two seconds: the watch cache has long forgotten the first of these changes.
    watch.request("GET", "/apis/coordination.k8s.io/v1/leases?watch=true&resourceVersion=1", &[], "");
    assert_eq!(watch.head().code, 200);
    let event = watch.event();
    assert_eq!((event.text("type"), event.integer("object.code")), ("ERROR", Some(410)));
    assert_eq!(watch.chunk(), None);
}

#[test]
fn it_says_what_it_will_not_do() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_clusterarium")).arg("serve").args(arguments).output();
        let output = output.expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("add --allow-remote"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = run(&["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");

    let folder = std::env::temp_dir().join(format!("clusterarium-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("config");
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, "apiVersion: v1\n").unwrap();
    let (code, said) = run(&["--listen", "127.0.0.1:0", "--write-kubeconfig", &path]);
    assert_eq!(code, Some(1));
    assert!(said.contains("was not written by clusterarium"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "apiVersion: v1\n");
    std::fs::remove_file(&file).unwrap();
    let program = Program::start(&["--hollow", "--write-kubeconfig", &path]);
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains(&format!("server: http://{}\n", program.address)), "{written}");
    std::fs::remove_dir_all(&folder).unwrap();
}
