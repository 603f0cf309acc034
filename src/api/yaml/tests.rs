use super::*;
use crate::api::Text;

fn conformance(folder: &str, extension: &str) -> Vec<(String, String)> {
    let folder = format!("{}/tests/conformance/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn words_mean_what_yaml_1_1_says() {
    for (text, json) in [
        ("yes", "true"),
        ("on", "true"),
        ("y", "true"),
        ("Off", "false"),
        ("'yes'", r#""yes""#),
        ("yEs", r#""yEs""#),
        ("0755", "493"),
        ("0o14", "12"),
        ("0x1F", "31"),
        ("0b101", "5"),
        ("-0b101", "-5"),
        ("08", "8"),
        ("1_000", "1000"),
        ("+12", "12"),
        ("1e3", "1000"),
        ("1.50", "1.5"),
        (".5", "0.5"),
        ("1.2.3", r#""1.2.3""#),
        ("12e03x", r#""12e03x""#),
        ("2001-12-14", r#""2001-12-14""#),
        ("2001-12-14T21:59:43Z", r#""2001-12-14T21:59:43Z""#),
        ("1:30", r#""1:30""#),
        ("10Gi", r#""10Gi""#),
        ("\"a\\u00e9\\n\"", "\"aé\\n\""),
        ("'it''s'", r#""it's""#),
        ("!!str 12", r#""12""#),
        ("!!float 3", "3"),
        ("!custom 12", r#""12""#),
        ("9223372036854775807", "9223372036854775807"),
        ("- a\n- ~\n-\n- null", r#"["a",null,null,null]"#),
        ("{a: 1, b: [x, {c: d}], e}", r#"{"a":1,"b":["x",{"c":"d"}],"e":null}"#),
        ("[a: b, c]", r#"[{"a":"b"},"c"]"#),
        ("a: b: c", ""),
        ("1: x\ntrue: y\n1.5: z\non: w", r#"{"1":"x","1.5":"z","true":"w"}"#),
        ("a: |\n  x\n   y\n\nb: >-\n  p\n  q\n\n  r\n", r#"{"a":"x\n y\n","b":"p q\nr"}"#),
        ("a: |2\n    x\nb: |+\n  y\n\n", r#"{"a":"  x\n","b":"y\n\n"}"#),
        ("a: plain\n  goes on\n\n  here", r#"{"a":"plain goes on\nhere"}"#),
        ("a: \"x\n  y\\\n  z\"", r#"{"a":"x yz"}"#),
        ("base: &b {x: 1, z: 2}\nd:\n  <<: *b\n  z: 3", r#"{"base":{"x":1,"z":2},"d":{"x":1,"z":3}}"#),
        ("a: &x 1\nb: *x\nc: {<<: [{p: 1}, {p: 2, q: 3}]}", r#"{"a":1,"b":1,"c":{"p":1,"q":3}}"#),
        ("a:\n- b\n- c\nd: e", r#"{"a":["b","c"],"d":"e"}"#),
        ("? a\n: b\n? c", r#"{"a":"b","c":null}"#),
        ("%YAML 1.1\n--- \na", ""),
        ("a: 'x'\n...\nb: y", r#"{"a":"x"}"#),
        ("a: http://x/#y # z", r#"{"a":"http://x/#y"}"#),
    ] {
        match parse(text) {
            Ok(value) => assert_eq!(value.to_string(), json, "{text}"),
            Err(error) => assert_eq!(json, "", "{text}: {error}"),
        }
    }
}

#[test]
fn what_is_wrong_is_told_in_kubectls_words() {
    let deep = "[".repeat(2000);
    let deep_block: String = (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip("abcdefgh".chars()) {
        bomb.push_str(&format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"));
    }
    // Each rung is shallow; together they are not.
    let rungs: Vec<String> =
        (1..9).map(|n| format!("- &a{n} {}*a{}{}\n", "[".repeat(50), n - 1, "]".repeat(50))).collect();
    let ladder = format!("- &a0 x\n{}", rungs.concat());
    for (text, message) in [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: 1\nb: c: d", "yaml: line 2: mapping values are not allowed in this context"),
        ("a: 1\n\tb: 2", "yaml: line 2: found a tab character that violates indentation"),
        ("a:\n\tb: 2", "yaml: line 2: found character that cannot start any token"),
        ("a: \"x\nb: 2", "yaml: line 3: found unexpected end of stream"),
        ("a: 1\n b: 2\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n  b: 1\n c: 2\n", "yaml: line 2: did not find expected key"),
        ("a:\n- b\n  c: 1\n", "yaml: line 3: mapping values are not allowed in this context"),
        ("a: 1\nfoo\nb: 2\n", "yaml: line 3: could not find expected ':'"),
        ("a: [1, 2\nb: 3\n", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: {b: 1\n", "yaml: line 1: did not find expected ',' or '}'"),
        ("a: @b", "yaml: found character that cannot start any token"),
        ("a: *b", "yaml: unknown anchor 'b' referenced"),
        ("a: &b [*b]", "yaml: anchor 'b' value contains itself"),
        ("a: {{ b }}", "yaml: invalid map key: map[interface {}]interface {}{\"b\":interface {}(nil)}"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("~: 1", "unsupported map key of type: %!s(<nil>), key: <nil>"),
        ("a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("a: \u{1}", "yaml: control characters are not allowed"),
        ("<<: 3", "yaml: map merge requires map or sequence of maps as the value"),
        ("\"\\q\"", "yaml: found unknown escape character"),
        (&deep, "yaml: exceeded max depth of 200"),
        (&deep_block, "yaml: line 201: exceeded max depth of 200"),
        (&bomb, "yaml: document contains excessive aliasing"),
        (&ladder, "yaml: exceeded max depth of 200"),
    ] {
        let error = parse(text).expect_err(&text[..text.len().min(40)]).to_string();
        let expected = format!("error converting YAML to JSON: {message}");
        assert_eq!(error, expected, "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn the_real_kubectl_said_the_same() {
    let mut refused = 0;
    for (name, text) in conformance("invalid", "yaml") {
        let case: Value =
            serde_json::from_str(&conformance("invalid", "json").iter().find(|(n, _)| *n == name).unwrap().1)
                .unwrap();
        let stderr: Vec<&str> = case.items("stderr").iter().filter_map(Value::as_str).collect();
        let expected = stderr.iter().find_map(|line| line.strip_prefix("error: error parsing FILE: "));
        let found = read(&text).into_iter().find_map(Result::err).map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
        refused += usize::from(expected.is_some());
    }
    assert!(refused >= 5);
}

#[test]
fn documents_of_a_stream_know_their_places() {
    let text =
        "# first\na: 1\n---\n---\nb:\n  c: [x, {d: e}]\n--- # comment\n\n---\nk: \"x\n--- oops\nz: 1\n";
    let documents = read(text);
    let shown: Vec<String> = documents
        .iter()
        .map(|document| match document {
            Ok(document) => format!("{} at {}", document.value, document.span.start.line),
            Err(error) => format!("{error} at {}", error.mark.line),
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"{"a":1} at 1"#,
            r#"{"b":{"c":["x",{"d":"e"}]}} at 4"#,
            "invalid Yaml document separator: oops at 10",
            r#"{"z":1} at 11"#,
        ]
        .map(str::to_owned)
    );
    let second = documents[1].as_ref().unwrap();
    for (path, exact, key, value) in [
        ("b.c[0]", true, "", "x"),
        ("b.c[1].d", true, "d", "e"),
        ("b.c[1].missing.more", false, "", "{d: e"),
        ("b.c[7]", false, "c", "[x, {d: e"),
        ("", true, "", "b:\n  c: [x, {d: e"),
    ] {
        let found = second.locate(path);
        let cut = |span: Span| &text[span.start.offset..span.end.offset];
        assert_eq!(
            (found.exact, found.key.map(cut).unwrap_or(""), cut(found.value)),
            (exact, key, value),
            "{path}"
        );
    }
}

#[test]
fn keys_with_dots_are_found() {
    let text = "metadata:\n  labels:\n    app.kubernetes.io/name: web\n    app: x\ndata:\n  tls.key: k\n";
    let document = read(text).remove(0).unwrap();
    for (path, value) in [
        ("metadata.labels.app.kubernetes.io/name", "web"),
        ("metadata.labels.app", "x"),
        ("data[tls.key]", "k"),
        ("metadata.labels[app]", "x"),
    ] {
        let span = document.locate(path).value;
        assert_eq!(&text[span.start.offset..span.end.offset], value, "{path}");
    }
}

#[test]
fn duplicate_keys_are_found_and_the_last_counts() {
    let text = "spec:\n  a: 1\n  b: [{c: 1, c: 2}]\n  a: 3\n";
    let document = read(text).remove(0).unwrap();
    assert_eq!(document.value.to_string(), r#"{"spec":{"a":3,"b":[{"c":2}]}}"#);
    assert_eq!(document.duplicate_paths(), ["spec.b[0].c", "spec.a"]);
    assert_eq!(document.duplicates[1].key.start.line, 3);
}

#[test]
fn json_is_read_too() {
    let documents = read("{\"a\": 1, \"b\": \"\\ud83d\\ude00\\/\"}\n{\"c\":\n [2]}\n");
    let values: Vec<String> = documents.iter().map(|d| d.as_ref().unwrap().value.to_string()).collect();
    assert_eq!(values, ["{\"a\":1,\"b\":\"😀/\"}", "{\"c\":[2]}"]);
    let second = documents[1].as_ref().unwrap();
    assert_eq!(second.locate("c[0]").value.start.line, 2);
}

#[test]
fn what_is_neither_json_nor_yaml_is_bad_json() {
    for (text, message) in [
        ("{\"a\": 1 \"b\": 2}", "json: offset 9: invalid character '\"' after object key:value pair"),
        ("{\"a\": [1, 2}", "json: offset 12: invalid character '}' after array element"),
        ("{\"a\" 1: 2}x: [", "json: offset 6: invalid character '1' after object key"),
        ("{\"a\": nul, [}", "json: offset 10: invalid character ',' in literal null (expecting 'l')"),
        ("{\"a\": \"x", "unexpected EOF"),
        ("{a: b", "json: offset 2: invalid character 'a' looking for beginning of object key string"),
        ("{\"a\": \"\\q\"}", "json: offset 9: invalid character 'q' in string escape code"),
        ("{\"a\": -x, [}", "json: offset 8: invalid character 'x' in numeric literal"),
    ] {
        let found = read(text).into_iter().find_map(Result::err).map(|error| error.to_string());
        assert_eq!(found.as_deref(), Some(message), "{text}");
    }
    // YAML allows what JSON does not.
    assert_eq!(parse("{\"a\": 1,}").unwrap().to_string(), r#"{"a":1}"#);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for (bytes, problem) in [
        (&b"a: \xff"[..], "invalid leading UTF-8 octet"),
        (&b"a: \xe2\x82"[..], "incomplete UTF-8 octet sequence"),
    ] {
        let errors = read_bytes(bytes);
        assert_eq!(errors[0].as_ref().err().map(|error| error.problem.as_str()), Some(problem));
    }
    let large = "a".repeat(MAX_BYTES + 1);
    assert!(read(&large)[0].is_err());
}

#[test]
fn values_print_as_kubectl_prints_them() {
    for (json, yaml) in [
        (r#"{"b":[1,{"c":"d","e":[]}],"a":{}}"#, "a: {}\nb:\n- 1\n- c: d\n  e: []\n"),
        (r#"[["a","b"],[[]]]"#, "- - a\n  - b\n- - []\n"),
        (
            r##"{"a":"yes","b":"12","c":"","d":"null","e":"a: b","f":"- x","g":"#x","h":"x #y"}"##,
            "a: \"yes\"\nb: \"12\"\nc: \"\"\nd: \"null\"\ne: 'a: b'\nf: '- x'\ng: '#x'\nh: 'x #y'\n",
        ),
        (
            r#"{"a":"it's","b":"'q'","c":"tab\there","d":" lead","e":"1:30","f":"2026-01-02","g":"1e3","h":"0x1"}"#,
            "a: it's\nb: '''q'''\nc: \"tab\\there\"\nd: ' lead'\ne: \"1:30\"\nf: \"2026-01-02\"\ng: \"1e3\"\nh: \"0x1\"\n",
        ),
        (
            r#"{"a":"x\ny\n","b":"x\ny","c":"x\n\n","d":"  x\ny\n","e":"x \ny","f":"\n"}"#,
            "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\nd: |2\n    x\n  y\ne: \"x \\ny\"\nf: |2+\n\n",
        ),
        (r#"{"a10":1,"a9":2,"a":3,"_":4,"B":5,"1":6}"#, "_: 4\n\"1\": 6\nB: 5\na: 3\na9: 2\na10: 1\n"),
        (
            r#"{"y":null,"t":true,"f":1.5,"big":1234567.5,"small":0.00001}"#,
            "big: 1.2345675e+06\nf: 1.5\nsmall: 1e-05\nt: true\n\"y\": null\n",
        ),
        (r#"{"emoji":"😀","e":"é","q":"a\"b\\"}"#, "e: é\nemoji: \"\\U0001F600\"\nq: a\"b\\\n"),
        (r#""x""#, "x\n"),
        (r#"{"on":"x","k k":"v","a:b":"c:d","-":"-"}"#, "'-': '-'\na:b: c:d\nk k: v\n\"on\": x\n"),
    ] {
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(to_string(&value), yaml, "{json}");
        assert_eq!(parse(yaml).unwrap(), value, "{yaml}");
    }
}

#[test]
fn long_lines_are_broken_at_the_margin() {
    let words = |count: usize| vec!["word"; count].join(" ");
    let value = crate::object! { "plain" => words(30), "quoted" => format!("a: {}", words(30)), "one" => "x".repeat(200) };
    let text = to_string(&value);
    assert!(text.lines().filter(|line| !line.contains("xxx")).all(|line| line.len() <= 85), "{text}");
    assert!(text.contains("\n  word"), "{text}");
    assert_eq!(parse(&text).unwrap(), value);
}

#[test]
fn what_the_real_kubectl_printed_prints_the_same() {
    let mut checked = 0;
    for (name, text) in conformance("kubectl", "json") {
        let steps: Value = serde_json::from_str(&text).unwrap();
        for step in steps.as_array().unwrap() {
            let argv: Vec<&str> = step.items("argv").iter().filter_map(Value::as_str).collect();
            let stdout = step.text("stdout");
            if argv.ends_with(&["-o", "yaml"]) && !stdout.is_empty() {
                assert_eq!(to_string(&parse(stdout).unwrap()), stdout, "{name} {argv:?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn everything_recorded_survives_printing_and_reading() {
    for (name, text) in conformance("valid", "json") {
        let case: Value = serde_json::from_str(&text).unwrap();
        for object in case.items("objects") {
            let printed = to_string(object);
            assert_eq!(parse(&printed).unwrap(), *object, "{name}");
        }
    }
}

/// Texts cut short and changed at many places are read or refused, at once and without a panic; what is read can be
/// printed and read again.
#[test]
fn damaged_texts_never_panic() {
    let mut seed = 1u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below.max(1)
    };
    let bits = [
        "\t", "\n", ": ", "- ", "\"", "'", "{", "}", "[", "]", "&a ", "*a", "!", "|", ">", "%", "---\n", "#",
        "?", ",", "\\", "é", "\u{85}", " ", "<<: *a\n", "0", "\0",
    ];
    let mut texts = conformance("valid", "yaml");
    texts.extend(conformance("invalid", "yaml"));
    for (_, text) in &texts {
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for _ in 0..12 {
            let cut = boundaries[random(boundaries.len())];
            check(&text[..cut]);
            let mut changed = text.clone();
            for _ in 0..1 + random(4) {
                let at = loop {
                    let at = random(changed.len());
                    if changed.is_char_boundary(at) {
                        break at;
                    }
                };
                changed.insert_str(at, bits[random(bits.len())]);
            }
            check(&changed);
        }
    }
    fn check(text: &str) {
        for document in read(text) {
            match document {
                Ok(document) => {
                    let printed = to_string(&document.value);
                    let again = parse(&printed);
                    assert_eq!(
                        again.as_ref().ok(),
                        Some(&document.value),
                        "{text}\n---\n{printed}\n{again:?}"
                    );
                    document.locate("spec.template.spec.containers[0].image");
                    for duplicate in &document.duplicates {
                        assert!(text.get(duplicate.key.start.offset..duplicate.key.end.offset).is_some());
                    }
                }
                Err(error) => {
                    assert!(error.mark.offset <= text.len());
                    let _: Text = Text::from(error.to_string());
                }
            }
        }
    }
}
