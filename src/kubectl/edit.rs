//! `kubectl edit`: an object as a file, an editor, and what was changed as a patch.
//!
//! Picture to hold in mind: a page that is taken out of the binder, lent to somebody with a pen, and put back with only
//! his marks copied into the original.
//!
//! The editor is what `KUBE_EDITOR` or `EDITOR` names: a command of this shell that changes the file behind it, such as
//! `sed -i`. Without one the object is laid into the home directory and opened in the page's editor.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/util/editor/editoptions.go`. A mistake ends it, where upstream opens the file again.

use crate::api::{Value, patch, yaml};
use crate::message::rest::PatchType;
use crate::object;
use crate::shell::quoted;

use super::builder::{Info, Rules};
use super::change::{for_each, patch_request};
use super::failure::{Failure, Outcome, Stop, fail};
use super::session::Session;

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "field-manager@kubectl-edit",
    "filename",
    "kustomize",
    "output",
    "output-patch",
    "recursive",
    "save-config",
    "show-managed-fields",
    "subresource",
    "template",
    "validate",
    "windows-line-endings",
];

const HEADER: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// The file that has been edited, for the second half of the work.
const FILE: &str = "CLUSTERARIUM_EDIT";

pub fn run(session: &mut Session) -> Outcome {
    match session.cli.variable(FILE).map(String::from) {
        Some(path) => put_back(session, &path),
        None => lend(session),
    }
}

/// As somebody sees it who edits it.
fn page(info: &Info) -> Value {
    let mut page = info.object.clone();
    page.remove("metadata.managedFields");
    page
}

fn lend(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    let mut infos = Vec::new();
    let rules = Rules { all_without_selector: true, ..Rules::default() };
    let gathered = for_each(session, &operands, rules, |_, info| {
        infos.push(info.clone());
        Ok(())
    });
    gathered?;
    let pages: Vec<Value> = infos.iter().map(page).collect();
    let Some(first) = pages.first() else { return fail("edit cancelled, no objects found") };
    let variables = ["KUBE_EDITOR", "EDITOR"].map(|name| session.cli.variable(name).map(String::from));
    let Some(editor) = variables.into_iter().flatten().find(|editor| !editor.is_empty()) else {
        let mut page = first.clone();
        for field in [
            "status",
            "metadata.resourceVersion",
            "metadata.uid",
            "metadata.generation",
            "metadata.creationTimestamp",
        ] {
            page.remove(field);
        }
        let kind = page.text("kind").to_ascii_lowercase();
        let name = format!("{kind}-{}.yaml", page.text("metadata.name"));
        session.cli.open_in_editor(&name, &yaml::to_string(&page));
        session.eprintln(format!(
            "{name} lies in the home directory, and is open in the editor: change it and apply it. (KUBE_EDITOR='sed -i ...' names a command that changes the object at once.)"
        ));
        return Ok(());
    };
    let text = match pages.as_slice() {
        [page] => yaml::to_string(page),
        pages => yaml::to_string(&object! {
            "apiVersion" => "v1", "items" => Value::from(pages.to_vec()), "kind" => "List", "metadata" => Value::object(),
        }),
    };
    let path = format!("/tmp/kubectl-edit-{}.yaml", session.cli.draw() % 4_000_000_000);
    for (path, content) in [(path.clone(), format!("{HEADER}{text}")), (format!("{path}.orig"), text)] {
        if let Err(error) = session.cli.write_file(&path, &content) {
            return fail(format!("open {path}: {}", error.message().to_ascii_lowercase()));
        }
    }
    let again: Vec<String> = session.cli.arguments().iter().map(|word| quoted(word)).collect();
    let again = again.join(" ");
    session.cli.give_way(format!(
        "if {editor} {path}; then {FILE}={path} {again}; else echo 'error: there was a problem with the editor '{} >&2; rm -f {path} {path}.orig; false; fi",
        quoted(&format!("{editor:?}"))
    ));
    Ok(())
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for document in yaml::read(text) {
        let value = document.map_err(|error| error.to_string())?.value;
        match value.items("items") {
            [] => found.push(value),
            items => found.extend(items.iter().cloned()),
        }
    }
    Ok(found)
}

fn put_back(session: &mut Session, path: &str) -> Outcome {
    let original = session.cli.read_file(&format!("{path}.orig")).unwrap_or_default();
    let edited = session.cli.read_file(path).unwrap_or_default();
    let is_kept = |line: &&str| !line.starts_with('#');
    let edited = edited.split_inclusive('\n').filter(is_kept).collect::<String>();
    let clear = |session: &mut Session, keeps: bool| {
        session.cli.change_files(|files| {
            // Nobody misses what is not there.
            let _ = files.remove(&format!("{path}.orig"));
            if !keeps {
                let _ = files.remove(path);
            }
        });
    };
    if edited.trim().is_empty() {
        clear(session, false);
        session.eprintln("Edit cancelled, saved file was empty.");
        return Ok(());
    }
    if edited == *original {
        clear(session, false);
        session.eprintln("Edit cancelled, no changes made.");
        return Ok(());
    }
    let keep = |session: &mut Session, why: String| {
        clear(session, true);
        session.eprintln(format!("A copy of your changes has been stored to {path:?}"));
        fail(why)
    };
    let (before, after) = match (documents(&original), documents(&edited)) {
        (Ok(before), Ok(after)) => (before, after),
        (_, Err(error)) | (Err(error), _) => {
            session.eprintln(format!("error: {error}"));
            return keep(session, "Edit cancelled, no valid changes were saved.".into());
        }
    };
    let format = session.format(false)?;
    let operands = session.operands().to_vec();
    let wrong = |text: String| Err(Failure::Exact(format!("error: {text}")).into());
    let done = for_each(session, &operands, Rules::default(), |session, info| {
        let is_it = |one: &&Value| {
            let same = |field: &str| one.text(field) == info.object.text(field);
            same("apiVersion") && same("kind") && same("metadata.name")
        };
        let (Some(old), Some(new)) = (before.iter().find(is_it), after.iter().find(is_it)) else {
            return wrong("At least one of apiVersion, kind and name was changed".into());
        };
        if old == new {
            return session.print_change(&format, &info.object, "skipped");
        }
        let (kind, change) = match patch::place_of(&info.object).map(|place| patch::two_way(old, new, place))
        {
            Some(Ok(change)) => (PatchType::StrategicMerge, change),
            Some(Err(error)) => return Err(Failure::Message(error.to_string()).into()),
            None => (PatchType::Merge, patch::json_merge_diff(old, new)),
        };
        let request = patch_request(session, info, kind, change, "kubectl-edit")?;
        match session.attempt(request.subresource(session.flags.text("subresource")))? {
            Ok(object) => session.print_change(&format, &object, "edited"),
            Err(failure) => {
                let (resource, name) = (info.mapping.info.group_resource(), &info.name);
                wrong(match failure.reason() {
                    "Invalid" => format!("{resource} {name:?} is invalid\n{}", failure.text()),
                    "NotFound" => format!("{resource} {name:?} could not be found on the server"),
                    _ => format!("{resource} {name:?} could not be patched: {}", failure.text()),
                })
            }
        }
    });
    match done {
        Ok(_) => {
            clear(session, false);
            Ok(())
        }
        Err(Stop::Failure(failure)) => {
            session.cli.eprint(failure.report());
            keep(session, "Edit cancelled, no valid changes were saved.".into())
        }
        Err(halt) => Err(halt),
    }
}
