//! Who fills in the forms: nearly right, torn, or not at all.

use clusterarium::api::{Text, Value, meta};
use clusterarium::message::http::Request;
use clusterarium::sim::Random;

use super::corpus::{Corpus, Form};
use super::porter::Answer;

const NAMESPACES: [&str; 4] = ["default", "default", "kube-system", "elsewhere"];
const PATCHES: [&str; 5] = [
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+yaml",
];
const ACCEPT: [&str; 5] = [
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/yaml",
    "text/plain;q=2,*/*;;",
];
/// Queries that make sense somewhere, and some that do nowhere; `%` stands for a number.
const QUERIES: &[&str] = &[
    "limit=%",
    "continue=%",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
    "resourceVersion=%",
    "resourceVersion=0&resourceVersionMatch=NotOlderThan",
    "resourceVersion=%&resourceVersionMatch=Exact",
    "resourceVersionMatch=Exact",
    "labelSelector=app%3Dweb",
    "labelSelector=a+in+(b,c),!d",
    "labelSelector=%00,,=",
    "fieldSelector=metadata.name%3Dweb",
    "fieldSelector=spec.nodeName!%3Dworker-1,status.phase%3DRunning",
    "fieldSelector=nothing",
    "watch=1&timeoutSeconds=%",
    "watch=true&allowWatchBookmarks=true&sendInitialEvents=true",
    "dryRun=All",
    "dryRun=Some",
    "fieldValidation=Strict",
    "fieldValidation=Ignore",
    "fieldValidation=Warn",
    "fieldValidation=?",
    "fieldManager=me",
    "fieldManager=me&force=true",
    "force=maybe",
    "gracePeriodSeconds=%",
    "propagationPolicy=Foreground",
    "propagationPolicy=Orphan",
    "propagationPolicy=Never",
    "pretty=true",
    "%ff=%zz",
    "orphanDependents=true",
    "container=web&tailLines=%",
    "follow=true",
    "timeout=%s",
    "shards=%",
];
const SUBRESOURCES: &[&str] = &[
    "status",
    "scale",
    "binding",
    "eviction",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "ephemeralcontainers",
    "resize",
    "token",
    "approval",
    "finalize",
    "nothing",
];
/// Texts that somewhere mean something, and some that mean trouble.
const TEXTS: &[&str] = &[
    "",
    "a",
    "-",
    "A",
    "web",
    "100m",
    "1Gi",
    "1e308",
    "-1",
    "0x10",
    "9223372036854775808",
    "25%",
    "101%",
    "10.0.0.0/33",
    "::",
    "10.96.0.1",
    "true",
    "null",
    "a/b/c",
    "Always",
    "TCP",
    "2026-11-30T00:00:00Z",
    "2026-13-45T99:99:99Z",
    "1h30m",
    "*/0 * * * *",
    "TZ=UTC 0 0 31 2 *",
    "\u{0}",
    "\u{202e}",
    "🦀",
    "<script>alert(1)</script>",
    "{{.}}",
    "$(HOME)",
    "..",
    "../../etc/passwd",
    "size(self) > 0",
    "self.all(x, x == [x][0])",
    "oldSelf",
    "[[[[[[[[[[",
    "(a*)*b",
    "%s%n",
    "kubernetes.io/metadata.name",
    "app.kubernetes.io/name",
    "aGVsbG8=",
    "aGVsbG8",
    "-----BEGIN CERTIFICATE-----",
    "Internal",
    "NodePort",
    "None",
];
const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    80,
    100,
    255,
    65535,
    65536,
    30000,
    1 << 31,
    -(1 << 31),
    (1 << 32) + 1,
    i64::MAX,
    i64::MIN,
];
/// Names that patches give a meaning to.
const KEYS: &[&str] = &[
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "name",
    "metadata",
    "spec",
    "status",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "deletionTimestamp",
    "generateName",
    "replicas",
    "a.b",
    "",
];

/// Where an object is.
#[derive(Clone)]
pub struct Target {
    path: String,
}

/// What was written whole, and where.
pub struct Written {
    pub target: Target,
}

pub struct Act {
    pub request: Request,
    /// The collection, where the answer to a create stands.
    collection: Option<String>,
    /// The object itself, where it is written to.
    target: Option<Target>,
}

impl Act {
    /// Where the object of the answer is to be read, if the request has written one.
    pub fn written(&self, answer: &Answer) -> Option<Written> {
        let is_dry = self.request.target.contains("dryRun");
        if is_dry || !matches!(answer.code, 200 | 201) || meta::resource_version(&answer.body) == 0 {
            return None;
        }
        let target = match (&self.collection, &self.target) {
            (_, Some(target)) => target.clone(),
            (Some(collection), None) => Target { path: format!("{collection}/{}", meta::name(&answer.body)) },
            (None, None) => return None,
        };
        Some(Written { target })
    }
}

fn request(method: &str, target: String, content: &str, body: String) -> Request {
    let mut headers = vec![("user-agent".to_string(), "monkey/1.0".to_string())];
    if !content.is_empty() {
        headers.push(("content-type".to_string(), content.to_string()));
    }
    Request { method: method.into(), target, headers, body }
}

pub fn read(target: &Target) -> Request {
    request("GET", target.path.clone(), "", String::new())
}

pub fn write_back(target: &Target, object: &Value) -> Request {
    request("PUT", target.path.clone(), "application/json", object.to_string())
}

pub struct Monkey {
    random: Random,
    /// What has been written lately, as it was answered.
    known: Vec<(Target, Value)>,
}

impl Monkey {
    pub fn new(seed: u64) -> Monkey {
        Monkey { random: Random::stream(seed, "monkey"), known: Vec::new() }
    }
    pub fn remember(&mut self, target: &Target, object: &Value) {
        if self.known.len() > 60 {
            let place = self.below(self.known.len());
            self.known.swap_remove(place);
        }
        self.known.push((target.clone(), object.clone()));
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }
    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
    fn chance(&mut self, percent: u32) -> bool {
        self.random.chance(percent * 10_000)
    }

    pub fn act(&mut self, corpus: &Corpus) -> Act {
        match self.below(100) {
            0..45 => self.create(corpus),
            45..55 => self.replace(corpus),
            55..75 => self.patch(corpus),
            75..83 => self.look(corpus),
            83..90 => self.delete(corpus),
            90..95 => self.subresource(corpus),
            _ => self.scribble(corpus),
        }
    }

    fn query(&mut self) -> String {
        let mut query = String::new();
        while self.chance(35) {
            query.push(if query.is_empty() { '?' } else { '&' });
            let number = self.pick(NUMBERS).to_string();
            let piece = self.pick(QUERIES);
            let is_escape = piece.starts_with('%') || piece.contains("%3D") || piece.contains("%00");
            query.push_str(&if is_escape { piece.to_string() } else { piece.replace('%', &number) });
        }
        query
    }
    fn collection(&mut self, form: &Form) -> String {
        if form.namespaced {
            let asked = meta::namespace(&form.object);
            let namespace = if self.chance(85) {
                if asked.is_empty() { "default" } else { asked }
            } else {
                self.pick(&NAMESPACES)
            };
            format!("{}/namespaces/{namespace}/{}", form.base, form.plural)
        } else {
            format!("{}/{}", form.base, form.plural)
        }
    }
    fn create(&mut self, corpus: &Corpus) -> Act {
        let form = &corpus.forms[self.below(corpus.forms.len())];
        let mut object = form.object.clone();
        // Names are used again now and then.
        let name = format!("{}-{}", meta::name(&object), self.below(200));
        let own_name = matches!(meta::kind(&object), "CustomResourceDefinition" | "APIService");
        if !own_name && !meta::name(&object).is_empty() && self.chance(80) {
            object.set("metadata.name", name);
        }
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2]) {
            self.mutate(&mut object, corpus);
        }
        let collection = self.collection(form);
        let target = collection.clone() + &self.query();
        let request = request("POST", target, "application/json", object.to_string());
        Act { request, collection: Some(collection), target: None }
    }
    /// Something that is known to be there, or was; else what a form is about.
    fn known(&mut self, corpus: &Corpus) -> (Target, Value) {
        if !self.known.is_empty() && self.chance(90) {
            let place = self.below(self.known.len());
            return self.known[place].clone();
        }
        let form = &corpus.forms[self.below(corpus.forms.len())];
        let path = format!("{}/{}", self.collection(form), meta::name(&form.object));
        (Target { path }, form.object.clone())
    }
    fn replace(&mut self, corpus: &Corpus) -> Act {
        let (target, mut object) = self.known(corpus);
        for _ in 0..1 + self.below(3) {
            self.mutate(&mut object, corpus);
        }
        if self.chance(60) {
            object.remove("metadata.resourceVersion");
        }
        let line = target.path.clone() + &self.query();
        let request = request("PUT", line, "application/json", object.to_string());
        Act { request, collection: None, target: Some(target) }
    }
    fn patch(&mut self, corpus: &Corpus) -> Act {
        let (target, object) = self.known(corpus);
        let content = self.pick(&PATCHES);
        let mut line = target.path.clone() + &self.query();
        let body = match content {
            "application/json-patch+json" => self.json_patch(&object, corpus),
            "application/apply-patch+yaml" => {
                if !line.contains("fieldManager") {
                    line.push_str(if line.contains('?') { "&" } else { "?" });
                    line.push_str(self.pick(&[
                        "fieldManager=one",
                        "fieldManager=two",
                        "fieldManager=two&force=true",
                    ]));
                }
                let mut applied = self.part(&object);
                applied.set("apiVersion", meta::api_version(&object));
                applied.set("kind", meta::kind(&object));
                applied.set("metadata", Value::object().with("name", meta::name(&object)));
                if self.chance(50) {
                    self.mutate(&mut applied, corpus);
                }
                applied.to_string()
            }
            _ => {
                let mut patch = self.part(&object);
                for _ in 0..1 + self.below(2) {
                    self.mutate(&mut patch, corpus);
                }
                patch.to_string()
            }
        };
        Act { request: request("PATCH", line, content, body), collection: None, target: Some(target) }
    }
    /// Some of an object's fields.
    fn part(&mut self, object: &Value) -> Value {
        let mut part = object.clone();
        for name in ["metadata.managedFields", "metadata.resourceVersion", "metadata.uid", "status"] {
            if self.chance(90) {
                part.remove(name);
            }
        }
        for _ in 0..self.below(6) {
            let path = self.path(&part);
            self.at_path(&mut part, &path, &mut |_, parent, key| remove(parent, key));
        }
        part
    }
    fn json_patch(&mut self, object: &Value, corpus: &Corpus) -> String {
        let mut steps = Vec::new();
        for _ in 0..1 + self.below(3) {
            let (path, from) = (self.path(object), self.path(object));
            let pointer = |path: &[Key]| -> String {
                let name = |key: &Key| match key {
                    Key::Name(name) => name.replace('~', "~0").replace('/', "~1"),
                    Key::Index(index) => index.to_string(),
                };
                path.iter().map(|key| format!("/{}", name(key))).collect()
            };
            let mut path = pointer(&path);
            if self.chance(20) {
                path.push_str(self.pick(&["/-", "/0", "/~2", "/new", "x", "/99999999999999999999"]));
            }
            let step = Value::object()
                .with("op", self.pick(&["add", "remove", "replace", "move", "copy", "test", "explode"]))
                .with("path", path)
                .with("from", pointer(&from))
                .with("value", self.anything(corpus));
            steps.push(step);
        }
        Value::array(steps).to_string()
    }
    fn look(&mut self, corpus: &Corpus) -> Act {
        let (target, _) = self.known(corpus);
        let path = match self.below(3) {
            0 => target.path,
            1 => target.path.rsplit_once('/').map_or(String::new(), |(collection, _)| collection.to_string()),
            _ => {
                let form = &corpus.forms[self.below(corpus.forms.len())];
                format!("{}/{}", form.base, form.plural)
            }
        };
        let mut request = request("GET", path + &self.query(), "", String::new());
        if self.chance(50) {
            request.headers.push(("accept".into(), self.pick(&ACCEPT).into()));
        }
        Act { request, collection: None, target: None }
    }
    fn delete(&mut self, corpus: &Corpus) -> Act {
        let (target, object) = self.known(corpus);
        let mut options = Value::object();
        if self.chance(30) {
            options.set("preconditions.uid", meta::uid(&object));
            options.set("gracePeriodSeconds", self.pick(NUMBERS));
            self.mutate(&mut options, corpus);
        }
        // Whole collections seldom: little would be left to play with.
        let path = match target.path.rsplit_once('/') {
            Some((collection, _)) if self.chance(4) => collection.to_string(),
            _ => target.path,
        };
        let request = request("DELETE", path + &self.query(), "application/json", options.to_string());
        Act { request, collection: None, target: None }
    }
    fn subresource(&mut self, corpus: &Corpus) -> Act {
        let (target, object) = self.known(corpus);
        let path = format!("{}/{}{}", target.path, self.pick(SUBRESOURCES), self.query());
        let mut body = object;
        self.mutate(&mut body, corpus);
        let method = self.pick(&["GET", "PUT", "POST", "PATCH", "DELETE"]);
        let content = if method == "PATCH" { self.pick(&PATCHES) } else { "application/json" };
        Act { request: request(method, path, content, body.to_string()), collection: None, target: None }
    }
    /// No form at all: a body with letters exchanged, cut off, or of noise; a path of noise.
    fn scribble(&mut self, corpus: &Corpus) -> Act {
        let form = &corpus.forms[self.below(corpus.forms.len())];
        let mut body = form.object.to_string().into_bytes();
        match self.below(4) {
            0 => body.truncate(self.below(body.len())),
            1 => body = (0..self.below(300)).map(|_| self.below(256) as u8).collect(),
            2 => {
                let depth = 1 + self.below(20_000);
                body = [b"{\"a\":".repeat(depth), b"[".repeat(depth)].concat();
            }
            _ => {
                for _ in 0..1 + self.below(8) {
                    let place = self.below(body.len());
                    body[place] = self.below(256) as u8;
                }
            }
        }
        let mut path = self.collection(form);
        if self.chance(30) {
            for _ in 0..1 + self.below(4) {
                let noise = self.pick(&[
                    "/",
                    "%2f",
                    "%",
                    "..",
                    "//",
                    "?",
                    "#",
                    "\u{0}",
                    "ü",
                    "namespaces",
                    "apis",
                    "&=",
                ]);
                let place = self.below(path.len());
                if path.is_char_boundary(place) {
                    path.insert_str(place, noise);
                }
            }
        }
        let content = self.pick(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
            "text/html",
            "application/cbor",
            "",
        ]);
        let method = self.pick(&["POST", "PUT", "PATCH", "GET", "DELETE", "OPTIONS", "BREW", ""]);
        let content = if method == "PATCH" { self.pick(&PATCHES) } else { content };
        let body = String::from_utf8_lossy(&body).into_owned();
        Act { request: request(method, path + &self.query(), content, body), collection: None, target: None }
    }

    /// A value that a field may or may not want.
    fn anything(&mut self, corpus: &Corpus) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => Value::Bool(self.chance(50)),
            2..5 => Value::Integer(self.pick(NUMBERS)),
            5..8 => Value::string(self.pick(TEXTS)),
            8 => Value::array([]),
            9 => Value::object(),
            10 => Value::string("x".repeat(self.pick(&[63, 64, 253, 254, 5000]))),
            _ => {
                let other = &corpus.forms[self.below(corpus.forms.len())].object;
                let path = self.path(other);
                follow(other, &path).cloned().unwrap_or(Value::Null)
            }
        }
    }
    /// The way to some value inside.
    fn path(&mut self, object: &Value) -> Vec<Key> {
        let (mut path, mut value) = (Vec::new(), object);
        loop {
            let key = match value {
                Value::Object(map) if !map.is_empty() => {
                    let place = self.below(map.len());
                    map.keys().nth(place).map(|name| Key::Name(name.clone()))
                }
                Value::Array(items) if !items.is_empty() => Some(Key::Index(self.below(items.len()))),
                _ => None,
            };
            let Some(key) = key else { return path };
            path.push(key);
            match follow(object, &path) {
                Some(next) if path.len() == 1 || self.chance(80) => value = next,
                _ => return path,
            }
        }
    }
    fn at_path(
        &mut self,
        object: &mut Value,
        path: &[Key],
        act: &mut dyn FnMut(&mut Monkey, &mut Value, &Key),
    ) {
        let Some((last, before)) = path.split_last() else { return };
        let mut value = object;
        for key in before {
            let next = match key {
                Key::Name(name) => value.make_object().get_mut(name),
                Key::Index(index) => value.make_array().get_mut(*index),
            };
            let Some(next) = next else { return };
            value = next;
        }
        act(self, value, last);
    }
    fn mutate(&mut self, object: &mut Value, corpus: &Corpus) {
        let path = self.path(object);
        let kind = self.below(8);
        let fresh = self.anything(corpus);
        self.at_path(object, &path, &mut |monkey, parent, key| match (kind, key) {
            (0, _) => remove(parent, key),
            (1, Key::Name(_)) => {
                let name = monkey.pick(KEYS);
                parent.make_object().put(name, fresh.clone());
            }
            (2, Key::Name(name)) => {
                let value = parent.make_object().remove(name);
                let name = format!("{name}{}", monkey.pick(&["s", "X", ".", " ", "\u{e9}"]));
                parent.make_object().put(&name, value.unwrap_or(Value::Null));
            }
            (1..4, Key::Index(index)) => {
                let items = parent.make_array();
                if let Some(item) = items.get(*index).cloned() {
                    items.extend(vec![item; monkey.pick(&[1, 2, 40])]);
                }
            }
            (_, Key::Name(name)) => parent.make_object().put(name, fresh.clone()),
            (_, Key::Index(index)) => {
                if let Some(item) = parent.make_array().get_mut(*index) {
                    *item = fresh.clone();
                }
            }
        });
    }
}

#[derive(Clone)]
enum Key {
    Name(Text),
    Index(usize),
}

fn follow<'a>(object: &'a Value, path: &[Key]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| match key {
        Key::Name(name) => value.get(name),
        Key::Index(index) => value.as_array()?.get(*index),
    })
}

fn remove(parent: &mut Value, key: &Key) {
    match key {
        Key::Name(name) => {
            parent.make_object().remove(name);
        }
        Key::Index(index) => {
            let items = parent.make_array();
            if *index < items.len() {
                items.remove(*index);
            }
        }
    }
}
