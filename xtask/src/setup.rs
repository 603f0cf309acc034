//! What has to be on the machine, and how it gets there.
//!
//! Picture to hold in mind: a checklist before take-off. Each line is looked at; what is missing is fetched
//! where that is ours to do, and named, with what to do about it, where it is not. A line that is in order
//! costs milliseconds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Command, Outcome, find, root, tools};

/// One line of the checklist.
#[derive(Clone, Copy)]
pub enum Need {
    /// Node.js with npm.
    Node,
    /// The packages of package-lock.json.
    Packages,
    /// The standard library for WASM.
    Target,
    /// rustfmt and clippy.
    Lints,
    WasmBindgen,
    Trunk,
    /// Chromium and its WebDriver.
    Browser,
}

impl Need {
    pub const BUILD: [Need; 5] = [Need::Node, Need::Target, Need::Packages, Need::WasmBindgen, Need::Trunk];
    pub const BROWSER: [Need; 6] =
        [Need::Node, Need::Browser, Need::Target, Need::Packages, Need::WasmBindgen, Need::Trunk];
    pub const ALL: [Need; 7] = [
        Need::Node,
        Need::Lints,
        Need::Browser,
        Need::Target,
        Need::Packages,
        Need::WasmBindgen,
        Need::Trunk,
    ];
}

const NODE_MAJOR: u32 = 20;
const TRUNK_VERSION: &str = "0.21.14";
const WASM: &str = "wasm32-unknown-unknown";

/// Goes through `needs` in order, and stops at the first that cannot be met.
pub fn ensure(needs: &[Need]) -> Outcome {
    for need in needs {
        match need {
            Need::Node => node(),
            Need::Packages => packages(),
            Need::Target => target(),
            Need::Lints => lints(),
            Need::WasmBindgen => wasm_bindgen(),
            Need::Trunk => trunk(),
            Need::Browser => browser(),
        }?;
    }
    Ok(())
}

fn node() -> Outcome {
    let how =
        "Install it from https://nodejs.org/ (or with your system's package manager), then run this again.";
    let version = Command::new("node").args(["--version"]).output();
    let version = version.ok_or(format!("Node.js {NODE_MAJOR} or later is missing. {how}"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR) {
        return Err(format!("Node.js {NODE_MAJOR} or later is needed; here is {version}. {how}"));
    }
    match find("npm") {
        Some(_) => Ok(()),
        None => Err(format!("npm, which comes with Node.js, is missing. {how}")),
    }
}

/// `npm ci` when the lock file is not the one that was last installed.
fn packages() -> Outcome {
    let lock = fs::read_to_string(root().join("package-lock.json"))
        .map_err(|error| format!("cannot read package-lock.json: {error}"))?;
    let stamp = root().join("node_modules/.installed-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("Fetching the npm packages.");
    Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).run().map_err(|error| {
        format!("{error}\nThe npm packages could not be fetched: is the registry (npm config get registry) within reach?")
    })?;
    fs::write(&stamp, lock).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

fn target() -> Outcome {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot =
        sysroot.ok_or("rustc is missing. Install Rust from https://rustup.rs/, then run this again.")?;
    if Path::new(&sysroot).join("lib/rustlib").join(WASM).is_dir() {
        return Ok(());
    }
    if find("rustup").is_none() {
        return Err(format!(
            "Rust's standard library for {WASM} is missing, and rustup, which could add it, is not here.\n\
             Install rustup from https://rustup.rs/, or that library with your system's package manager \
             (Debian: libstd-rust-dev-wasm32)."
        ));
    }
    println!("Adding Rust's standard library for {WASM}.");
    Command::new("rustup").args(["target", "add", WASM]).env("RUSTUP_AUTO_INSTALL", "0").run()
}

fn lints() -> Outcome {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if Command::new("cargo").args([command, "--version"]).output().is_some() {
            continue;
        }
        if find("rustup").is_none() {
            return Err(format!(
                "{component} is missing. Install it as you installed Rust, then run this again."
            ));
        }
        Command::new("rustup").args(["component", "add", component]).env("RUSTUP_AUTO_INSTALL", "0").run()?;
    }
    Ok(())
}

/// The command must be of the very version of the library that the code is linked with.
fn wasm_bindgen() -> Outcome {
    let lock = fs::read_to_string(root().join("Cargo.lock"))
        .map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
    let version = locked_version(&lock, "wasm-bindgen").ok_or("Cargo.lock does not name wasm-bindgen")?;
    // Its published lock file is older than its requirements, hence not --locked.
    install("wasm-bindgen", "wasm-bindgen-cli", version, 1, &[])
}

fn trunk() -> Outcome {
    // It only calls the other tools: not worth optimising.
    let options = ["--locked", "--no-default-features", "--features", "rustls"];
    install("trunk", "trunk", TRUNK_VERSION, 0, &options)
}

fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    entry.split('"').next()
}

/// Compiles `package` into target/tools, with that level of optimisation, unless `program` of that version is on the path.
fn install(program: &str, package: &str, version: &str, level: u8, options: &[&str]) -> Outcome {
    let installed = Command::new(program).args(["--version"]).output();
    if installed.as_deref().and_then(|text| text.split(' ').nth(1)) == Some(version) {
        return Ok(());
    }
    println!("Installing {package} {version} into target/tools: compiles for some minutes, once.");
    let directory = tools();
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (root, build) = (path(&directory), path(&directory.join("build")));
    // A tool that is run for seconds need not be optimised for minutes.
    let level = format!("profile.release.opt-level={level}");
    let quick = ["--config", &level, "--config", "profile.release.lto=false"];
    let units = ["--config", "profile.release.codegen-units=16", "--config", "profile.release.debug=false"];
    Command::new("cargo")
        .args(["install", package, "--version", version, "--root", &root, "--target-dir", &build, "--force"])
        .args(options.iter().copied())
        .args(quick)
        .args(units)
        .run()
        .map_err(|error| {
            format!("{error}\n{package} {version} could not be compiled; it also comes ready-made from its release page: put '{program}' on the PATH.")
        })?;
    // The intermediate files are of no more use, and large.
    let _ = fs::remove_dir_all(directory.join("build"));
    Ok(())
}

/// Where Chromium (or Chrome) is.
pub fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROME").map(PathBuf::from).filter(|path| path.is_file());
    let usual = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let applications = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    ];
    named
        .or_else(|| usual.iter().find_map(|name| find(name)))
        .or_else(|| applications.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn browser() -> Outcome {
    let missing = |program: &str| match program {
        "chromium" => chromium().is_none(),
        _ => find(program).is_none(),
    };
    if !missing("chromium") && !missing("chromedriver") {
        return Ok(());
    }
    let is_root = cfg!(unix) && Command::new("id").args(["-u"]).output().as_deref() == Some("0");
    if Path::new("/etc/debian_version").is_file() && is_root {
        println!("Installing Chromium and its WebDriver with apt.");
        Command::new("apt-get").args(["update", "-q"]).run()?;
        Command::new("apt-get")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(["chromium", "chromium-driver", "fonts-dejavu-core"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run()?;
    }
    let missing: Vec<&str> = ["chromium", "chromedriver"].into_iter().filter(|name| missing(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Missing for tests in the browser: {}.\n\
         Debian, Ubuntu: sudo apt-get install chromium chromium-driver\n\
         Fedora: sudo dnf install chromium chromedriver\n\
         Arch: sudo pacman -S chromium\n\
         macOS: brew install --cask chromium chromedriver\n\
         Elsewhere: https://googlechromelabs.github.io/chrome-for-testing/ has both; put them on the PATH, or name \
         the browser in the environment variable CHROME.",
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    #[test]
    fn the_version_of_a_package_is_found_in_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "bindgen"), None);
    }
}
