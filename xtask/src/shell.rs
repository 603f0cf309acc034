//! Running other programs.
//!
//! Picture to hold in mind: a foreman who reads each order aloud before it is carried out, and who hands every
//! worker the same tool belt, the project's own tools on top.

use std::path::{Path, PathBuf};
use std::time::Instant;

/// Fine, or a message for the user that says what to do.
pub type Outcome = Result<(), String>;

/// A program to run at the project's root, with the project's tools before all others on its path.
pub struct Command {
    words: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Command {
    pub fn new(program: &str) -> Command {
        Command { words: vec![program.to_string()], environment: Vec::new() }
    }
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        self.words.extend(arguments.into_iter().map(str::to_string));
        self
    }
    pub fn env(mut self, name: &str, value: &str) -> Command {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    fn prepare(&self) -> std::process::Command {
        let program = find(&self.words[0]).unwrap_or_else(|| PathBuf::from(&self.words[0]));
        let mut command = std::process::Command::new(program);
        command.args(&self.words[1..]).current_dir(root()).env("PATH", search_path());
        // The environment of `cargo run` is that of this crate; a cargo started below must not inherit it.
        for name in
            ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"]
        {
            command.env_remove(name);
        }
        // Trunk takes NO_COLOR for a flag that wants true or false.
        if std::env::var_os("NO_COLOR").is_some() {
            command.env("NO_COLOR", "true");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it in view of the user; an error when it cannot be started or does not end well.
    pub fn run(&self) -> Outcome {
        let line = self.words.join(" ");
        println!("$ {line}");
        let start = Instant::now();
        let status = self.prepare().status().map_err(|error| format!("cannot run '{line}': {error}"))?;
        if !status.success() {
            return Err(format!("'{line}' failed ({status})"));
        }
        let seconds = start.elapsed().as_secs_f32();
        if seconds > 2.0 {
            println!("  took {seconds:.0} s");
        }
        Ok(())
    }

    /// What it prints; `None` when it cannot be started or does not end well.
    pub fn output(&self) -> Option<String> {
        let output = self.prepare().stderr(std::process::Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    }
}

/// The project's root, above this crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project")
}

/// Where tools are put that this command installs: below target/, so that nothing of the user's own changes.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

fn search_path() -> std::ffi::OsString {
    let own = [tools().join("bin"), root().join("node_modules/.bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&inherited))).unwrap_or(inherited)
}

/// Where `program` is, if it is anywhere on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let names = match cfg!(windows) {
        true => vec![format!("{program}.exe"), format!("{program}.cmd")],
        false => vec![program.to_string()],
    };
    std::env::split_paths(&search_path())
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)).collect::<Vec<_>>())
        .find(|path| path.is_file())
}
