//! The project's commands, so that whoever clones it needs to know one word: `cargo xtask`.
//!
//! Picture to hold in mind: a stage manager. Before each act it checks that every prop is there, fetches what
//! it can, names what it cannot, and only then raises the curtain.
//!
//! - [`setup`] what has to be on the machine, and how it gets there
//! - [`shell`] running other programs, with their output in view
//! - [`verify`] everything that `test` runs

mod setup;
mod shell;
mod verify;

use std::net::TcpListener;
use std::process::ExitCode;

use setup::Need;
use shell::{Command, Outcome};

const USAGE: &str = "\
cargo xtask COMMAND

  serve [--port N] [--release]   set up, build, and serve the page on this machine; rebuilds on change
  test [STEP...]                 set up, then formatting, clippy, native tests, WASM tests, tests of the built page
                                 (steps: format clippy native wasm build browser; all of them unless named)
  build                          write the site to dist/ and check its size
  screenshots                    build, then write pictures of the main states to screenshots/
  setup                          only fetch what the other commands need
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.split_first() {
        Some((&"serve", rest)) => serve(rest),
        Some((&"test", rest)) => verify::test(rest),
        Some((&"build", [])) => setup::ensure(&Need::BUILD).and_then(|()| build()),
        Some((&"screenshots", [])) => screenshots(),
        Some((&"setup", [])) => setup::ensure(&Need::ALL),
        _ => Err(USAGE.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Builds for the local machine and serves; ends when the user ends it.
fn serve(arguments: &[&str]) -> Outcome {
    let mut port = None;
    let mut release = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--release" => release = true,
            "--port" => {
                let value = rest.next().and_then(|value| value.parse::<u16>().ok());
                port = Some(value.ok_or("--port wants a number up to 65535")?);
            }
            other => return Err(format!("serve does not know '{other}'\n\n{USAGE}")),
        }
    }
    setup::ensure(&Need::BUILD)?;
    let port = match port {
        Some(port) => port,
        None => free_port().ok_or("no free port from 8080 to 8179: name one with --port")?,
    };
    println!(
        "\nThe page will be at http://127.0.0.1:{port}/ once it is built (the first time takes minutes)."
    );
    println!("Press Ctrl+C to stop.\n");
    let port = port.to_string();
    let mut command = Command::new("trunk").args(["serve", "--address", "127.0.0.1", "--port", &port]);
    command = command.args(["--dist", "target/serve"]);
    command = match release {
        true => published(command),
        false => command.args(["--cargo-profile", "serve"]),
    };
    command.run()
}

/// Trunk would only say that the port is taken; the next one will do.
fn free_port() -> Option<u16> {
    (8080..8180).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// For the compiler of the page as it is published, beside what `.cargo/config.toml` says: no loop counts in several
/// variables what follows from one (one percent of the worker), and what takes more than one load and store is moved by
/// `memory.copy` (20 kB less than with two of them; on arrival the short ones are written out, see
/// `xtask/web/streams.mjs`). What else makes it smaller makes it slower: to leave no call for a longer copy of what it
/// calls (`-inline-threshold=0`, 6 kB and seven percent). Not for one that is compiled to be fast.
///
/// Nor does a panic of the published page say in which line it was (15 kB): whoever opens the same saved session in the
/// page of `cargo xtask serve` sees the same panic, with its line.
///
/// `published` is what the attribute `optimize(speed)` of some functions waits for (`[profile.page]` in `Cargo.toml`).
const SMALL: &str =
    "-C llvm-args=-disable-lsr -C llvm-args=-max-store-memcpy=1 -Z location-detail=none --cfg published";

/// Trunk, told to build the page as it is published. `RUSTC_BOOTSTRAP` lets the stable compiler take what is
/// not settled yet: the flag for panics of [`SMALL`], and the attribute `optimize`.
fn published(trunk: Command) -> Command {
    trunk
        .args(["--release", "--cargo-profile", "page"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", SMALL)
        .env("RUSTC_BOOTSTRAP", "1")
}

/// The site as it is published, in `dist/`, measured against the budgets.
pub fn build() -> Outcome {
    published(Command::new("trunk").args(["build", "--dist", "dist"])).run()?;
    Command::new("node").args(["xtask/web/sizes.mjs", "dist"]).run()
}

fn screenshots() -> Outcome {
    setup::ensure(&Need::BROWSER)?;
    build()?;
    let chromium = setup::chromium().ok_or("Chromium is missing")?;
    Command::new("node")
        .args(["tests/browser/screenshots.mjs", "screenshots"])
        .env("CHROME", &chromium.to_string_lossy())
        .run()
}
