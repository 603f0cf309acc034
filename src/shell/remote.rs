//! `ssh`, and commands of the node at whose console a program runs.
//!
//! Picture to hold in mind: somebody who shouts an order down to the machine room of this house, or telephones the one of
//! the house across the street; what is said there comes back through the receiver.
//!
//! A node's own shell is kept by its container engine, which keeps the node's kernel and disk too.

use crate::api::Text;
use crate::message::cri::Call;
use crate::sim::Duration;

use super::program::{Cli, Halt, Main, NO_ANSWER, Run, UNKNOWN_NODE};

/// A machine on the same wire that does not answer for its address (ARP) is given up.
const CONNECT: Duration = Duration::from_secs(3);
/// Who has answered before is waited for: a command that says nothing is heard of every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `ssh` takes a word with.
const WITH_VALUE: [&str; 8] = ["-i", "-o", "-p", "-l", "-F", "-L", "-R", "-J"];

/// Commands that read and change the node itself.
pub const HERE: &[(&str, Main)] = &[
    ("bridge", here),
    ("conntrack", here),
    ("curl", here),
    ("dig", here),
    ("getent", here),
    ("host", here),
    ("ip", here),
    ("ip6tables", here),
    ("ip6tables-save", here),
    ("ipset", here),
    ("iptables", here),
    ("iptables-save", here),
    ("ipvsadm", here),
    ("journalctl", here),
    ("nc", here),
    ("nft", here),
    ("nslookup", here),
    ("ping", here),
    ("ps", here),
    ("ss", here),
    ("systemctl", here),
    ("wget", here),
];
pub const SSH: (&str, Main) = ("ssh", ssh);

fn exec(command: Vec<Text>, input: Text) -> Call {
    Call::Exec { container: Text::new(), command, input, is_input_over: true, tty: false }
}

fn here(cli: &mut Cli) -> Run<()> {
    let words = cli.arguments().iter().map(Text::from).collect();
    match cli.run_elsewhere("", &Text::new(), exec(words, Text::new()), PATIENCE)? {
        Ok((0, _)) => Ok(()),
        Ok((code, _)) => Err(Halt::Exit(code)),
        Err(error) => cli.fail(error),
    }
}

fn fails(cli: &mut Cli, words: String) -> Run<()> {
    cli.eprintln(words);
    Err(Halt::Exit(255))
}

fn ssh(cli: &mut Cli) -> Run<()> {
    let words = cli.arguments();
    let mut rest = words.iter().skip(1);
    let mut target = None;
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            rest.next();
        } else if !word.starts_with('-') {
            target = Some(word);
            break;
        }
    }
    let Some(target) = target else {
        return fails(cli, "usage: ssh [-i identity_file] [-l login_name] [-o option] [-p port] destination [command [argument ...]]".into());
    };
    let node = target.rsplit('@').next().unwrap_or(target);
    let command: Vec<&str> = rest.map(String::as_str).collect();
    let container = Text::new();
    let line = cli.variable("CLUSTERARIUM_SHELL").zip(cli.variable("CLUSTERARIUM_LINE"));
    if let Some((shell, line)) = line.map(|(shell, line)| (Text::from(shell), Text::from(line))) {
        let call = Call::ExecLine { container: Text::new(), shell, line, is_input_over: true, tty: true };
        return match cli.run_elsewhere(node, &container, call, PATIENCE)? {
            Ok((code, leaves)) => {
                if leaves {
                    cli.detach();
                    cli.eprintln(format!("logout\nConnection to {node} closed."));
                }
                if code == 0 { Ok(()) } else { Err(Halt::Exit(code)) }
            }
            Err(_) => {
                cli.detach();
                fails(cli, "client_loop: send disconnect: Broken pipe".into())
            }
        };
    }
    if let Err(error) =
        cli.run_elsewhere(node, &container, exec(vec!["true".into()], Text::new()), CONNECT)?
    {
        let why = match error.as_str() {
            UNKNOWN_NODE => {
                return fails(
                    cli,
                    format!("ssh: Could not resolve hostname {node}: Name or service not known"),
                );
            }
            NO_ANSWER => "No route to host",
            _ => "Connection refused",
        };
        return fails(cli, format!("ssh: connect to host {node} port 22: {why}"));
    }
    let input = cli.stdin()?;
    let words: Vec<Text> = match command.is_empty() {
        true if input.is_empty() => {
            // What is typed from now on is for the shell over there, line by line.
            cli.attach();
            return Ok(());
        }
        true => vec!["bash".into()],
        // The words are put together again, and read by a shell over there.
        false => vec!["bash".into(), "-c".into(), command.join(" ").into()],
    };
    match cli.run_elsewhere(node, &container, exec(words, input), PATIENCE)? {
        Ok((0, _)) => Ok(()),
        Ok((code, _)) => Err(Halt::Exit(code)),
        Err(_) => fails(cli, format!("Connection to {node} closed by remote host.")),
    }
}
