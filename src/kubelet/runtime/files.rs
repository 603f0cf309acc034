//! Files: what containers of one pod can hand to one another.
//!
//! Picture to hold in mind: shelves. Each container has a small one of its own (its writable layer), each
//! volume is a shelf that several containers may have mounted at different places, and the node has one that
//! stays when pods go. A path leads through the mounts to one shelf and a place on it.
//!
//! A directory exists because something lies in it, or because it was made: its name then ends in `/`.
//! A file keeps its last 64 KiB: a container that writes for hours must not fill the browser's memory.

use std::sync::Arc;

use arcstr::literal;

use crate::shared_map::SharedMap;
use crate::sim::Time;
use crate::sorted::SortedMap;

use crate::api::Text;
use crate::arrange::Arrange;
use crate::message::cri::{Mount, MountSource};
use crate::shell::files::{FileError, FileSystem, Files, NULL_DEVICE, absolute};

use super::container::{CONTROL_GROUP, Container};
use super::host::Shown;

const FILE_CAPACITY: usize = 64 * 1024;

/// The tmpfs that a sandbox holds for all its containers.
pub const SHARED_MEMORY: &str = "/dev/shm";
/// The node's own, which `hostIPC` gives to a pod.
const NODE_SHARED_MEMORY: MountSource = MountSource::Host { path: literal!("/dev/shm") };

/// Where the containers of a sandbox find their shared memory. No volume is called as a sandbox is.
pub fn shared_memory(sandbox: &Text, host_ipc: bool) -> Mount {
    let source = if host_ipc { NODE_SHARED_MEMORY } else { MountSource::Pod { volume: sandbox.clone() } };
    Mount { container_path: SHARED_MEMORY.into(), source, sub_path: Text::new(), read_only: false }
}

/// Paths without a leading slash, and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    entries: SortedMap<Text, Text>,
}

impl Directory {
    pub fn from_files(files: &[(Text, Text)]) -> Directory {
        Directory { entries: files.iter().cloned().collect() }
    }
    pub fn read(&self, path: &str) -> Option<&Text> {
        self.entries.get(path)
    }
    pub fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || {
            let prefix = format!("{path}/");
            self.entries
                .range(Text::from(&prefix)..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(&prefix))
        }
    }
    pub fn write(&mut self, path: &str, content: &str, append: bool) {
        let mut text = match self.entries.get(path) {
            Some(old) if append => old.to_string() + content,
            _ => content.to_string(),
        };
        if text.len() > FILE_CAPACITY {
            let mut from = text.len() - FILE_CAPACITY;
            while !text.is_char_boundary(from) {
                from += 1;
            }
            text.drain(..from);
        }
        self.entries.insert(path.into(), text.into());
    }
    /// Writes a whole file, however long it is: a backup must not lose its beginning.
    pub fn put(&mut self, path: &str, content: Text) {
        self.entries.insert(path.into(), content);
    }
    pub fn make_directory(&mut self, path: &str) {
        self.entries.insert(arcstr::format!("{path}/"), Text::new());
    }
    /// Takes away a file, or a directory with all that is in it; true if there was something.
    pub fn remove(&mut self, path: &str) -> bool {
        let prefix = format!("{path}/");
        let before = self.entries.len();
        self.entries.retain(|name, _| name != path && !name.starts_with(&prefix));
        self.entries.len() < before
    }
    /// The names directly below `path`, sorted.
    pub fn list(&self, path: &str) -> Vec<Text> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut names: Vec<Text> = self
            .entries
            .keys()
            .filter_map(|name| name.strip_prefix(prefix.as_str()))
            .filter_map(|rest| rest.split('/').next())
            .filter(|name| !name.is_empty())
            .map(Text::from)
            .collect();
        names.dedup();
        names
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.entries.iter()
    }
}

/// All shelves of a node but the containers' own. A copy costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// (pod UID, volume name).
    volumes: SharedMap<(Text, Text), Arc<Directory>>,
    host: Arc<Directory>,
}

impl Disk {
    pub fn write_volume(&mut self, pod_uid: &Text, volume: &Text, files: &[(Text, Text)]) {
        self.volumes.insert((pod_uid.clone(), volume.clone()), Arc::new(Directory::from_files(files)));
    }
    pub fn remove_volumes(&mut self, pod_uid: &str) {
        let first = (Text::from(pod_uid), Text::new());
        let of_pod: Vec<(Text, Text)> = self
            .volumes
            .from(&first)
            .map(|(key, _)| key.clone())
            .take_while(|(uid, _)| uid == pod_uid)
            .collect();
        for key in of_pod {
            self.volumes.remove(&key);
        }
    }
    /// Takes away the shared memory of a sandbox, and with it what its IPC namespace holds.
    pub fn remove_shared_memory(&mut self, pod_uid: &Text, sandbox: &Text) {
        self.volumes.remove(&(pod_uid.clone(), sandbox.clone()));
    }
    fn change(&mut self, pod_uid: &Text, source: MountSource, act: impl FnOnce(&mut Directory)) {
        match source {
            MountSource::Host { .. } => act(self.host_mut()),
            MountSource::Pod { volume } => {
                let key = (pod_uid.clone(), volume);
                let mut directory = self.volumes.get(&key).cloned().unwrap_or_default();
                self.volumes.remove(&key);
                act(Arc::make_mut(&mut directory));
                self.volumes.insert(key, directory);
            }
        }
    }
    pub fn volume(&self, pod_uid: &str, volume: &str) -> Option<&Directory> {
        self.volumes.get(&(Text::from(pod_uid), Text::from(volume))).map(|directory| &**directory)
    }
    pub fn read_host(&self, path: &str) -> Option<&Text> {
        self.host.read(path.trim_start_matches('/'))
    }
    pub fn host(&self) -> &Arc<Directory> {
        &self.host
    }
    pub fn host_mut(&mut self) -> &mut Directory {
        Arc::make_mut(&mut self.host)
    }
}

/// The file system as one container sees it.
pub struct View<'a> {
    pub disk: &'a mut Disk,
    pub layer: &'a mut Directory,
    pub mounts: &'a [Mount],
    pub pod_uid: &'a Text,
    pub hostname: &'a str,
    /// What is on the node besides what somebody has written there.
    pub shown: Option<&'a Shown<'a>>,
    /// Whose control group `/sys/fs/cgroup` shows, and when.
    pub container: Option<(&'a Container, Time)>,
}

/// Where a path leads.
enum Place<'a> {
    Layer,
    Mount(&'a Mount),
}

impl View<'_> {
    /// `path` is absolute and normal.
    fn resolve(&self, path: &str) -> (Place<'_>, String) {
        let mut best: Option<(&Mount, usize, &str)> = None;
        for mount in self.mounts {
            let point = mount.container_path.trim_end_matches('/');
            let Some(rest) = path.strip_prefix(point) else { continue };
            if !(rest.is_empty() || rest.starts_with('/')) {
                continue;
            }
            if best.is_none_or(|(_, length, _)| point.len() > length) {
                best = Some((mount, point.len(), rest));
            }
        }
        match best {
            Some((mount, _, rest)) => {
                let base = match &mount.source {
                    MountSource::Host { path } => absolute(path, &mount.sub_path),
                    MountSource::Pod { .. } => absolute("/", &mount.sub_path),
                };
                let inside = absolute("/", &format!("{base}/{rest}"));
                (Place::Mount(mount), inside.trim_start_matches('/').to_string())
            }
            None => (Place::Layer, path.trim_start_matches('/').to_string()),
        }
    }
    fn directory(&self, place: &Place) -> Option<&Directory> {
        match place {
            Place::Layer => Some(self.layer),
            Place::Mount(mount) => match &mount.source {
                MountSource::Host { .. } => Some(&self.disk.host),
                MountSource::Pod { volume } => self.disk.volume(self.pod_uid, volume),
            },
        }
    }
    /// What is shown at a place of the node's.
    fn shown(&self, place: &Place, inside: &str) -> Option<&Directory> {
        match place {
            Place::Mount(Mount { source: MountSource::Host { .. }, .. }) => self.shown?.covering(inside),
            _ => None,
        }
    }
    /// A directory that every system has.
    fn is_standard(&self, place: &Place, path: &str, inside: &str) -> bool {
        match place {
            Place::Layer => STANDARD_DIRECTORIES.contains(&path),
            Place::Mount(mount) => {
                matches!(mount.source, MountSource::Host { .. })
                    && of_every_node().any(|one| one.trim_start_matches('/') == inside)
            }
        }
    }
    /// System V objects of the IPC namespace, a line each. They lie where `/dev/shm` lies, with which they come and
    /// go, under a name that no path has.
    fn ipc(&self) -> (MountSource, &'static str) {
        // The engine's own mount is the last: a volume may have been mounted over it.
        let own = self.mounts.iter().rfind(|mount| mount.container_path == SHARED_MEMORY);
        match own.map(|mount| &mount.source) {
            Some(source @ MountSource::Pod { .. }) => (source.clone(), "//"),
            _ => (NODE_SHARED_MEMORY, "dev/shm//"),
        }
    }
    pub fn ipc_objects(&self) -> Text {
        let (source, name) = self.ipc();
        let found = match source {
            MountSource::Host { .. } => self.disk.host.read(name),
            MountSource::Pod { volume } => {
                self.disk.volume(self.pod_uid, &volume).and_then(|shelf| shelf.read(name))
            }
        };
        found.cloned().unwrap_or_default()
    }
    pub fn set_ipc_objects(&mut self, objects: Text) {
        let (source, name) = self.ipc();
        self.disk.change(self.pod_uid, source, |shelf| shelf.put(name, objects));
    }
    fn change(&mut self, path: &str, act: impl FnOnce(&mut Directory, &str)) -> Result<(), FileError> {
        let (place, inside) = self.resolve(path);
        let source = match place {
            Place::Layer => {
                act(self.layer, &inside);
                return Ok(());
            }
            Place::Mount(mount) if mount.read_only => return Err(FileError::ReadOnly),
            Place::Mount(mount) => mount.source.clone(),
        };
        self.disk.change(self.pod_uid, source, |shelf| act(shelf, &inside));
        Ok(())
    }
    pub fn read(&self, path: &str) -> Option<Text> {
        let (place, inside) = self.resolve(path);
        let content = self.directory(&place).and_then(|directory| directory.read(&inside).cloned());
        let content = content.or_else(|| self.shown(&place, &inside)?.read(&inside).cloned());
        // The kubelet's, which it does not write here.
        if let (None, Some(name), Some((container, now))) =
            (&content, path.strip_prefix("/sys/fs/cgroup/"), self.container)
        {
            return container.control_group(name, now);
        }
        content.or_else(|| (path == "/etc/hostname").then(|| arcstr::format!("{}\n", self.hostname)))
    }
    pub fn is_directory(&self, path: &str) -> bool {
        let (place, inside) = self.resolve(path);
        let is_mount_point = inside.is_empty() || {
            let prefix = format!("{}/", path.trim_end_matches('/'));
            self.mounts.iter().any(|mount| mount.container_path.starts_with(&prefix))
        };
        is_mount_point
            || self.directory(&place).is_some_and(|directory| directory.is_directory(&inside))
            || self.shown(&place, &inside).is_some_and(|directory| directory.is_directory(&inside))
            || self.is_standard(&place, path, &inside)
    }
    pub fn exists(&self, path: &str) -> bool {
        self.read(path).is_some() || self.is_directory(path)
    }
    /// Names in a directory, mount points below it included; `None` if there is no such directory.
    pub fn list(&self, path: &str) -> Option<Vec<Text>> {
        if !self.is_directory(path) {
            return None;
        }
        let (place, inside) = self.resolve(path);
        let mut names = self.directory(&place).map(|directory| directory.list(&inside)).unwrap_or_default();
        if let Some(shown) = self.shown(&place, &inside) {
            names.extend(shown.list(&inside));
        }
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = |point: &str| -> Option<Text> {
            point.strip_prefix(prefix.as_str())?.split('/').next().filter(|n| !n.is_empty()).map(Text::from)
        };
        names.extend(self.mounts.iter().filter_map(|mount| below(&mount.container_path)));
        if path == "/sys/fs/cgroup" && self.container.is_some() {
            names.extend(CONTROL_GROUP.map(Text::from));
        }
        if matches!(place, Place::Layer) {
            names.extend(STANDARD_DIRECTORIES.iter().filter_map(|directory| below(directory)));
        } else if self.mounts.iter().any(|mount| mount.container_path == "/") {
            names.extend(of_every_node().filter_map(below));
        }
        names.arrange();
        names.dedup();
        Some(names)
    }
    /// Whether a file may stand there.
    fn check(&self, path: &str) -> Result<(), FileError> {
        if self.is_directory(path) {
            return Err(FileError::IsFolder);
        }
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        match self.is_directory(if parent.is_empty() { "/" } else { parent }) {
            true => Ok(()),
            false => Err(FileError::NotFound),
        }
    }
    pub fn write(&mut self, path: &str, content: &str, append: bool) -> Result<(), FileError> {
        if matches!(path, NULL_DEVICE | "/dev/stdout" | "/dev/stderr") {
            return Ok(());
        }
        self.check(path)?;
        self.change(path, |directory, inside| directory.write(inside, content, append))
    }
    pub fn make_directory(&mut self, path: &str) -> Result<(), FileError> {
        self.change(path, Directory::make_directory)
    }
    pub fn remove(&mut self, path: &str) -> Result<bool, FileError> {
        let existed = self.exists(path);
        self.change(path, |directory, inside| {
            directory.remove(inside);
        })?;
        Ok(existed)
    }
}

/// Programs that are more than a tool see the same files.
impl FileSystem for View<'_> {
    fn read(&self, path: &str) -> Result<Text, FileError> {
        match View::read(self, path) {
            Some(content) => Ok(content),
            None if self.is_directory(path) => Err(FileError::IsFolder),
            None => Err(FileError::NotFound),
        }
    }
    fn write(&mut self, path: &str, content: Text) -> Result<(), FileError> {
        self.check(path)?;
        self.change(path, |directory, inside| directory.put(inside, content))
    }
    fn append(&mut self, path: &str, text: &str) -> Result<(), FileError> {
        View::write(self, path, text, true)
    }
    fn make_folders(&mut self, path: &str) -> Result<(), FileError> {
        let mut folder = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            folder += "/";
            folder += part;
            if self.is_directory(&folder) {
                continue;
            }
            if View::read(self, &folder).is_some() {
                return Err(FileError::NotFolder);
            }
            self.make_directory(&folder)?;
        }
        Ok(())
    }
    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        match View::remove(self, path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(FileError::NotFound),
            Err(error) => Err(error),
        }
    }
    fn is_folder(&self, path: &str) -> bool {
        self.is_directory(path)
    }
    fn names(&self, folder: &str) -> Vec<Text> {
        self.list(folder).unwrap_or_default()
    }
    /// No program of a container looks at all files at once.
    fn snapshot(&self) -> Files {
        Files::default()
    }
}

/// Directories of a machine that are there before anybody puts something into them.
fn of_every_node() -> impl Iterator<Item = &'static str> {
    let is_images = |one: &&&str| ["nginx", "apache2", "/data"].iter().any(|word| one.contains(word));
    STANDARD_DIRECTORIES.iter().filter(move |one| !is_images(one)).copied()
}

/// Directories that every image has.
const STANDARD_DIRECTORIES: &[&str] = &[
    "/",
    "/bin",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/sys/fs",
    "/sys/fs/cgroup",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/share",
    "/usr/local",
    "/usr/local/bin",
    "/var",
    "/var/log",
    "/var/run",
    "/var/lib",
    "/var/tmp",
    "/usr/share/nginx",
    "/usr/share/nginx/html",
    "/etc/nginx",
    "/etc/nginx/conf.d",
    "/var/log/nginx",
    "/usr/local/apache2",
    "/usr/local/apache2/htdocs",
    "/dev/shm",
    "/var/cache",
    "/data",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str, source: MountSource, read_only: bool) -> Mount {
        Mount { container_path: path.into(), source, sub_path: Text::new(), read_only }
    }

    #[test]
    fn containers_of_a_pod_share_a_volume_under_different_paths() {
        let (mut disk, mut app, mut logger) = (Disk::default(), Directory::default(), Directory::default());
        let uid = Text::from("uid");
        let volume = || MountSource::Pod { volume: "logs".into() };
        let app_mounts = [mount("/var/log/app", volume(), false)];
        let logger_mounts = [mount("/in", volume(), true)];
        let mut view = View {
            disk: &mut disk,
            layer: &mut app,
            mounts: &app_mounts,
            pod_uid: &uid,
            hostname: "web",
            shown: None,
            container: None,
        };
        view.write("/var/log/app/a.log", "one\n", true).unwrap();
        view.write("/var/log/app/a.log", "two\n", true).unwrap();
        view.write("/tmp/own", "x", false).unwrap();
        assert_eq!(view.write("/db/x", "", false), Err(FileError::NotFound));
        assert_eq!(view.write("/tmp", "", false), Err(FileError::IsFolder));
        let mut view = View {
            disk: &mut disk,
            layer: &mut logger,
            mounts: &logger_mounts,
            pod_uid: &uid,
            hostname: "web",
            shown: None,
            container: None,
        };
        assert_eq!(view.read("/in/a.log").as_deref(), Some("one\ntwo\n"));
        assert_eq!(view.list("/in").unwrap(), ["a.log"]);
        assert_eq!(view.read("/tmp/own"), None);
        assert_eq!(view.write("/in/b", "", false), Err(FileError::ReadOnly));
        assert_eq!(view.list("/db"), None);
    }
}
