//! The cluster without a browser: `clusterarium shell`, `clusterarium serve`, `clusterarium bench`.
//!
//! Picture to hold in mind: the adapter between the simulation, which knows no outside, and a real machine:
//! files, clock and streams are here and nowhere else.

mod bench;
mod serve;
mod shell;
mod topology;

use std::process::ExitCode;

const USAGE: &str = "\
A Kubernetes cluster under glass, without the glass.

Usage:
  clusterarium shell [-c COMMANDS | FILE | -] [--home DIR] [--seed N] [--audit FILE] [--hollow]
  clusterarium serve [--listen ADDRESS] [--speed FACTOR] [--write-kubeconfig FILE]
  clusterarium bench [NAME ...]

Use \"clusterarium <command> --help\" for more.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match command.as_deref() {
        Some("shell") => shell::run(&rest),
        Some("serve") => serve::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("--help" | "-h" | "help") => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("clusterarium {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        Some(other) => {
            eprintln!("clusterarium: unknown command {other:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
