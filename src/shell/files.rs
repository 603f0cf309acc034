//! The files that the terminal can see: a small tree in memory.
//!
//! Picture to hold in mind: a filing cabinet of which every copy is free: a checkpoint keeps the cabinet as
//! it was, and sheets that nobody changed are the same sheets.

use crate::arrange::Gather;
use crate::shared_map::SharedMap;

use crate::api::Text;

/// The home directory of the simulated user.
pub const HOME: &str = "/home/student";

/// Absolute paths without a slash at the end. A folder is an entry of its own, so that it may be empty.
#[derive(Clone)]
pub struct Files {
    entries: SharedMap<Text, Entry>,
    /// Counts changes.
    revision: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Folder,
    File(Text),
}

/// Why an operation on a file failed, in the C library's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    NotFound,
    IsFolder,
    NotFolder,
    Exists,
    NotEmpty,
    ReadOnly,
}

impl FileError {
    pub fn message(self) -> &'static str {
        match self {
            FileError::NotFound => "No such file or directory",
            FileError::IsFolder => "Is a directory",
            FileError::NotFolder => "Not a directory",
            FileError::Exists => "File exists",
            FileError::NotEmpty => "Directory not empty",
            FileError::ReadOnly => "Read-only file system",
        }
    }
}

/// The files as a program sees them: the terminal's, or those of a container. Paths are absolute and normal.
pub trait FileSystem {
    fn read(&self, path: &str) -> Result<Text, FileError>;
    /// Writes a file into a folder that is there.
    fn write(&mut self, path: &str, content: Text) -> Result<(), FileError>;
    /// Writes at the end of a file, which is made if it is not there.
    fn append(&mut self, path: &str, text: &str) -> Result<(), FileError> {
        let before = self.read(path).unwrap_or_default();
        self.write(path, if before.is_empty() { text.into() } else { arcstr::format!("{before}{text}") })
    }
    /// Makes a folder, and those above it.
    fn make_folders(&mut self, path: &str) -> Result<(), FileError>;
    /// Removes a file, or a folder with all that is in it.
    fn remove(&mut self, path: &str) -> Result<(), FileError>;
    fn is_folder(&self, path: &str) -> bool;
    fn exists(&self, path: &str) -> bool {
        self.is_folder(path) || self.read(path).is_ok()
    }
    /// The names in a folder, sorted.
    fn names(&self, folder: &str) -> Vec<Text>;
    /// All files, as a tree of their own.
    fn snapshot(&self) -> Files;
}

/// Makes one folder, where nothing is yet and the folder above is there.
pub fn make_folder(files: &mut dyn FileSystem, path: &str) -> Result<(), FileError> {
    if files.exists(path) {
        return Err(FileError::Exists);
    }
    let above = parent(path);
    if !files.is_folder(above) {
        return Err(if files.exists(above) { FileError::NotFolder } else { FileError::NotFound });
    }
    files.make_folders(path)
}

/// What is at a path.
pub fn entry(files: &dyn FileSystem, path: &str) -> Option<Entry> {
    if files.is_folder(path) {
        return Some(Entry::Folder);
    }
    files.read(path).ok().map(Entry::File)
}

/// A file's content; the null device is an empty one.
pub fn read(files: &dyn FileSystem, path: &str) -> Result<Text, FileError> {
    if path == NULL_DEVICE { Ok(Text::new()) } else { files.read(path) }
}

/// Everything below a folder, a folder before what is in it.
pub fn below(files: &dyn FileSystem, folder: &str) -> Vec<(String, Entry)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_string()];
    while let Some(path) = open.pop() {
        if path != folder {
            match entry(files, &path) {
                Some(Entry::Folder) => found.push((path.clone(), Entry::Folder)),
                Some(file) => {
                    found.push((path, file));
                    continue;
                }
                None => continue,
            }
        }
        open.extend(files.names(&path).iter().rev().map(|name| absolute(&path, name)));
    }
    found
}

pub const NULL_DEVICE: &str = "/dev/null";

impl FileSystem for Files {
    fn read(&self, path: &str) -> Result<Text, FileError> {
        Files::read(self, path)
    }
    fn write(&mut self, path: &str, content: Text) -> Result<(), FileError> {
        Files::write(self, path, content)
    }
    fn make_folders(&mut self, path: &str) -> Result<(), FileError> {
        Files::make_folders(self, path)
    }
    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        Files::remove(self, path)
    }
    fn is_folder(&self, path: &str) -> bool {
        Files::is_folder(self, path)
    }
    fn names(&self, folder: &str) -> Vec<Text> {
        self.list(folder).into_iter().map(|(name, _)| name.into()).collect()
    }
    fn snapshot(&self) -> Files {
        self.clone()
    }
}

impl Default for Files {
    fn default() -> Files {
        let entries =
            ["/", "/home", HOME, "/tmp"].into_iter().map(|path| (Text::from(path), Entry::Folder)).collect();
        Files { entries, revision: 0 }
    }
}

/// The absolute form of `path`, seen from `folder`: no `.`, no `..`, no slash at the end.
pub fn absolute(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { folder };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

impl Files {
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }
    pub fn is_folder(&self, path: &str) -> bool {
        matches!(self.get(path), Some(Entry::Folder))
    }
    pub fn read(&self, path: &str) -> Result<Text, FileError> {
        match self.get(path) {
            Some(Entry::File(content)) => Ok(content.clone()),
            Some(Entry::Folder) => Err(FileError::IsFolder),
            None => Err(FileError::NotFound),
        }
    }
    /// Writes a file into a folder that is there.
    pub fn write(&mut self, path: &str, content: Text) -> Result<(), FileError> {
        if self.is_folder(path) {
            return Err(FileError::IsFolder);
        }
        match self.get(parent(path)) {
            Some(Entry::Folder) => {}
            Some(Entry::File(_)) => return Err(FileError::NotFolder),
            None => return Err(FileError::NotFound),
        }
        self.entries.insert(Text::from(path), Entry::File(content));
        self.revision += 1;
        Ok(())
    }
    /// A number that grows with every change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// Writes a file and makes the folders above it.
    pub fn put(&mut self, path: &str, content: Text) -> Result<(), FileError> {
        self.make_folders(parent(path))?;
        self.write(path, content)
    }
    pub fn make_folders(&mut self, path: &str) -> Result<(), FileError> {
        let mut missing = Vec::new();
        let mut at = path;
        loop {
            match self.get(at) {
                Some(Entry::Folder) => break,
                Some(Entry::File(_)) => return Err(FileError::NotFolder),
                None => missing.push(at),
            }
            if at == "/" {
                break;
            }
            at = parent(at);
        }
        for folder in missing.into_iter().rev() {
            self.revision += 1;
            self.entries.insert(Text::from(folder), Entry::Folder);
        }
        Ok(())
    }
    /// Removes a file, or a folder with all that is in it.
    pub fn remove(&mut self, path: &str) -> Result<(), FileError> {
        self.revision += 1;
        if self.entries.remove(path).is_some() {
            let below: Vec<Text> = self.below(path).map(|(path, _)| path.clone()).collect();
            for path in below {
                self.entries.remove(&path);
            }
            return Ok(());
        }
        Err(FileError::NotFound)
    }
    /// Everything below a folder, in the order of the paths.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a Text, &'a Entry)> + use<'a> {
        let prefix = if folder == "/" { "/".to_string() } else { format!("{folder}/") };
        self.entries
            .from(prefix.as_str())
            .take_while({
                let prefix = prefix.clone();
                move |(path, _)| path.starts_with(&prefix)
            })
            .filter(move |(path, _)| path.len() > prefix.len())
    }
    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> Vec<(String, Entry)> {
        let prefix = if folder == "/" { 1 } else { folder.len() + 1 };
        self.below(folder)
            .filter(|(path, _)| !path[prefix..].contains('/'))
            .map(|(path, entry)| (path[prefix..].to_string(), entry.clone()))
            .gather()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute() {
        for (folder, path, expected) in [
            ("/home/student", "a.yaml", "/home/student/a.yaml"),
            ("/home/student", "../x/./y/", "/home/x/y"),
            ("/", "..", "/"),
            ("/a", "/b//c", "/b/c"),
            ("/x", "../a/./b", "/a/b"),
            ("/x/y", "..", "/x"),
            ("/", "//a//", "/a"),
        ] {
            assert_eq!(absolute(folder, path), expected);
        }
    }

    #[test]
    fn a_folder_lists_what_is_in_it_and_goes_with_it() {
        let mut files = Files::default();
        files.put("/home/student/app/web.yaml", "x".into()).unwrap();
        files.put("/home/student/app-2", "y".into()).unwrap();
        let names: Vec<String> = files.list(HOME).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["app", "app-2"]);
        assert_eq!(files.write("/home/student/none/x", "z".into()), Err(FileError::NotFound));
        files.remove("/home/student/app").unwrap();
        assert_eq!(files.read("/home/student/app/web.yaml"), Err(FileError::NotFound));
        assert!(files.read("/home/student/app-2").is_ok());
    }
}
