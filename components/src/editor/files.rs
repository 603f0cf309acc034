//! The editor's files: names and texts, kept for the next visit.
//!
//! Picture to hold in mind: a few sheets in a folder, one of them on top. Closing one can be undone; no two have
//! one name, for they lie in one directory of the simulated machine.

use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::notices::{Kind, Notices};
use crate::{json, session, storage};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Which sheet it is, whatever its name.
    pub id: u64,
    pub name: String,
    pub text: String,
}

/// What is kept.
struct Folder {
    files: Vec<File>,
    active: u64,
}

impl Folder {
    /// Reads what [`Folder::write`] wrote, or says in a sentence why that cannot be used.
    fn read(text: &str) -> Result<Folder, String> {
        let damaged = || "they are damaged".to_string();
        let kept = json::parse(text).ok_or_else(damaged)?;
        let number = |value: &JsValue, name| json::field(value, name).as_f64();
        match number(&kept, "version").ok_or_else(damaged)? {
            VERSION => {}
            other => {
                return Err(format!("they are of version {other}, and this page reads version {VERSION}"));
            }
        }
        let file = |value: &JsValue| {
            let text = |name| json::field(value, name).as_string();
            Some(File { id: number(value, "id")? as u64, name: text("name")?, text: text("text")? })
        };
        let files = json::items(&json::field(&kept, "files")).ok_or_else(damaged)?;
        let files = files.iter().map(file).collect::<Option<Vec<File>>>().ok_or_else(damaged)?;
        Ok(Folder { files, active: number(&kept, "active").ok_or_else(damaged)? as u64 })
    }
    fn write(&self) -> String {
        // Identities count from 0: far below where a double is no longer whole.
        let file = |file: &File| {
            json::object([
                ("id", (file.id as f64).into()),
                ("name", file.name.as_str().into()),
                ("text", file.text.as_str().into()),
            ])
        };
        json::text(&json::object([
            ("version", VERSION.into()),
            ("files", json::array(self.files.iter().map(file))),
            ("active", (self.active as f64).into()),
        ]))
    }
}

const VERSION: f64 = 1.0;
const NAME: &str = "files";

/// A longer name would not be one line of a tab, nor a file name everywhere.
const LONGEST_NAME: usize = 100;

#[derive(Clone, Copy)]
pub struct Files {
    pub list: RwSignal<Vec<File>>,
    pub active: RwSignal<u64>,
    notices: Notices,
    full: StoredValue<bool>,
}

impl Files {
    /// The files of the last visit, else the first example. What cannot be read is set aside with a notice.
    pub fn load(notices: Notices) -> Files {
        let first = &super::examples::EXAMPLES[0];
        let usual = || Folder {
            files: vec![File { id: 0, name: first.file.into(), text: first.text.into() }],
            active: 0,
        };
        let folder = match storage::read(NAME) {
            None => usual(),
            Some(text) => match Folder::read(&text) {
                Ok(folder) if folder.files.is_empty() => usual(),
                Ok(folder) => folder,
                Err(reason) => {
                    let key = storage::set_aside(NAME, &text);
                    notices.offer(
                        Kind::Problem,
                        format!("The editor's stored files were set aside (as {key}): {reason}."),
                        "Download them",
                        move || session::download("clusterarium-files-set-aside.json", &text),
                    );
                    usual()
                }
            },
        };
        let active = match folder.files.iter().any(|file| file.id == folder.active) {
            true => folder.active,
            false => folder.files[0].id,
        };
        Files {
            list: RwSignal::new(folder.files),
            active: RwSignal::new(active),
            notices,
            full: StoredValue::new(false),
        }
    }

    pub fn save(self) {
        let folder = Folder { files: self.list.get_untracked(), active: self.active.get_untracked() };
        let kept = storage::write(NAME, &folder.write());
        let mut was_full = false;
        self.full.update_value(|full| was_full = std::mem::replace(full, !kept));
        if !kept && !was_full {
            self.notices.problem(
                "The browser has no room for the editor's files: they would be lost on reload. Close some, or copy them elsewhere.",
            );
        }
    }

    /// The file on top.
    pub fn current(self) -> File {
        let active = self.active.get_untracked();
        self.list.with_untracked(|list| {
            let file = list.iter().find(|file| file.id == active).or(list.first());
            file.cloned().unwrap_or_else(|| File { id: 0, name: "untitled.yaml".into(), text: String::new() })
        })
    }

    pub fn set_text(self, id: u64, text: String) {
        self.list.update(|list| {
            if let Some(file) = list.iter_mut().find(|file| file.id == id) {
                file.text = text;
            }
        });
    }

    /// Puts a new file on top; a name that is taken gets a number.
    pub fn add(self, name: &str, text: &str) -> u64 {
        let id = self.list.with_untracked(|list| list.iter().map(|file| file.id + 1).max().unwrap_or(0));
        let name = self.free_name(&clean(name), id);
        self.list.update(|list| list.push(File { id, name, text: text.to_string() }));
        self.active.set(id);
        self.save();
        id
    }

    pub fn rename(self, id: u64, name: &str) {
        let name = self.free_name(&clean(name), id);
        self.list.update(|list| {
            if let Some(file) = list.iter_mut().find(|file| file.id == id) {
                file.name = name;
            }
        });
        self.save();
    }

    /// Takes a file away; a notice brings it back. The last one leaves an empty sheet.
    pub fn close(self, id: u64) {
        let found = self.list.with_untracked(|list| {
            list.iter().position(|file| file.id == id).map(|index| (index, list[index].clone()))
        });
        let Some((index, file)) = found else { return };
        if self.list.with_untracked(|list| list.len() == 1) {
            self.add("untitled.yaml", "");
        }
        self.list.update(|list| list.retain(|file| file.id != id));
        if self.active.get_untracked() == id {
            let next = self.list.with_untracked(|list| list[index.min(list.len() - 1)].id);
            self.active.set(next);
        }
        self.save();
        if !file.text.is_empty() {
            self.notices.offer(Kind::Info, format!("Closed {}.", file.name), "Undo", move || {
                self.add(&file.name, &file.text);
            });
        }
    }

    fn free_name(self, name: &str, of: u64) -> String {
        let taken =
            |name: &str| self.list.with_untracked(|list| list.iter().any(|f| f.id != of && f.name == name));
        if !taken(name) {
            return name.to_string();
        }
        let (stem, end) = name.rsplit_once('.').map_or((name, String::new()), |(a, b)| (a, format!(".{b}")));
        (2..).map(|number| format!("{stem}-{number}{end}")).find(|name| !taken(name)).unwrap_or_default()
    }
}

/// A name that is one file in one directory.
fn clean(name: &str) -> String {
    let name: String = name
        .trim()
        .chars()
        .map(|c| if c.is_control() || c == '/' || c == '\\' { '-' } else { c })
        .take(LONGEST_NAME)
        .collect();
    match name.trim_start_matches('.') {
        "" => "untitled.yaml".to_string(),
        name => name.to_string(),
    }
}
