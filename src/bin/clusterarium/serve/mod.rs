//! `clusterarium serve`: the simulated API server on a real port, for any client of Kubernetes.
//!
//! Picture to hold in mind: a model railway with a real letter box at its edge. The listener ([`listener`], the only
//! place with futures in it) takes letters from the box and throws answers out; the railway ([`simulation`]) runs on the
//! main thread, its clock geared to the clock on the wall.

mod answer;
mod certificates;
mod desk;
mod kubeconfig;
mod listener;
mod openapi;
mod order;
mod protobuf;
mod secret_file;
mod signer;
mod simulation;
mod streams;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use clusterarium::command::Scenario;

const USAGE: &str = "\
Serves the API server of a simulated cluster over HTTP or HTTPS, so that kubectl and any other client work against it.

Usage:
  clusterarium serve [options]

Options:
  --listen ADDRESS          where to listen (127.0.0.1:8001); port 0 takes a free one
  --allow-remote            listen on an address that other machines can reach: who reaches it administers the cluster,
                            unless --cert-dir makes them show who they are
  --cert-dir DIR            HTTPS, with the authority ca.crt and ca.key of this directory; made if they are not there
  --speed FACTOR            how fast simulated time passes (1), from 0.01 to 1000
  --seed N                  the run's seed (1)
  --hollow                  the reference cluster: no add-ons, containers start at once and never exit
  --workers N               worker nodes (3)
  --control-plane-nodes N   control-plane nodes (1); the first one's API server is served
  --etcd-members N          members of etcd (3): one on each control-plane node, the others on machines of their own
  --external-etcd           all of them on machines of their own
  --network NAME            the pod network: bridge, flannel or calico (bridge)
  --dual-stack              pods have an address of IPv6 besides that of IPv4
  --write-kubeconfig FILE   write a kubeconfig for kubectl's --kubeconfig; a file of somebody else is never overwritten
  --help                    this text

Over HTTP whoever connects is the cluster's administrator, as with `kubectl proxy`; impersonation (kubectl --as) or a
service account's bearer token makes a request somebody else's. With --cert-dir one is who one's client certificate or
token says (common name: user; organizations: groups). Approved CertificateSigningRequests are signed with ca.key, which
also signs elsewhere, and --write-kubeconfig writes the administrator's.
Ctrl+C ends open watches and stops.
";

#[derive(Debug)]
struct Options {
    listen: String,
    allow_remote: bool,
    /// Simulated microseconds in a thousand real ones.
    speed_per_mille: u64,
    seed: u64,
    scenario: Scenario,
    kubeconfig: Option<PathBuf>,
    cert_dir: Option<PathBuf>,
}

pub fn run(arguments: &[String]) -> ExitCode {
    let options = match parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("clusterarium serve: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clusterarium serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
    let mut options = Options {
        listen: "127.0.0.1:8001".into(),
        allow_remote: false,
        speed_per_mille: 1000,
        seed: 1,
        scenario: Scenario::default(),
        kubeconfig: None,
        cert_dir: None,
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    fn value(parser: &mut lexopt::Parser) -> Result<String, String> {
        parser.value().map(|value| value.to_string_lossy().into_owned()).map_err(|error| error.to_string())
    }
    let number = |value: String, name: &str| {
        value.parse::<u64>().map_err(|_| format!("{name} wants a number, not {value:?}"))
    };
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            lexopt::Arg::Long("listen") => options.listen = value(&mut parser)?,
            lexopt::Arg::Long("allow-remote") => options.allow_remote = true,
            lexopt::Arg::Long("speed") => {
                let text = value(&mut parser)?;
                let speed = text.parse::<f64>().ok().filter(|speed| (0.01..=1000.0).contains(speed));
                let speed = speed.ok_or_else(|| {
                    format!("--speed wants a number from 0.01 to 1000, not {text:?}: a clock that stands still answers nobody")
                })?;
                options.speed_per_mille = (speed * 1000.0).round() as u64;
            }
            lexopt::Arg::Long("seed") => options.seed = number(value(&mut parser)?, "--seed")?,
            lexopt::Arg::Long(name) if crate::topology::takes(name) => {
                let name = name.to_owned();
                crate::topology::read(&mut options.scenario, &name, &mut parser)?;
            }
            lexopt::Arg::Long("cert-dir") => options.cert_dir = Some(value(&mut parser)?.into()),
            lexopt::Arg::Long("write-kubeconfig") => options.kubeconfig = Some(value(&mut parser)?.into()),
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if let Some(refusal) = options.scenario.refusal() {
        return Err(refusal);
    }
    Ok(Some(options))
}

/// The address to listen on; refused where others could reach it and nobody said that they may.
fn address(options: &Options) -> Result<SocketAddr, String> {
    let listen = match options.listen.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => options.listen.clone(),
    };
    let address = listen
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| format!("--listen wants HOST:PORT, not {listen:?}"))?;
    if !address.ip().is_loopback() && !options.allow_remote && options.cert_dir.is_none() {
        return Err(format!(
            "{address} can be reached from other machines, and whoever reaches it administers the cluster: listen on 127.0.0.1, ask for certificates with --cert-dir, or add --allow-remote"
        ));
    }
    Ok(address)
}

fn serve(mut options: Options) -> Result<(), String> {
    let address = address(&options)?;
    let socket = std::net::TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let group = if options.scenario.hollow { "system:masters" } else { "kubeadm:cluster-admins" };
    let office = options.cert_dir.as_ref().map(|directory| certificates::open(directory, address, group));
    let office = office.transpose()?;
    if let Some(office) = &office {
        options.scenario.authority.clone_from(&office.authority);
    }
    if let Some(path) = &options.kubeconfig {
        kubeconfig::write(path, address, office.as_ref())?;
    }
    let scheme = if office.is_some() { "https" } else { "http" };
    println!("Serving the simulated Kubernetes 1.36 API on {scheme}://{address}");
    match &options.cert_dir {
        None => println!("  kubectl --server http://{address} get pods --all-namespaces --watch"),
        Some(directory) => {
            println!("  curl --cacert {}/ca.crt https://{address}/version", directory.display())
        }
    }
    if let Some(path) = &options.kubeconfig {
        println!("  kubectl --kubeconfig {} get nodes", path.display());
    }
    println!("Ctrl+C stops.");
    let (orders, inbox) = std::sync::mpsc::channel();
    let access = listener::Access { address, allows_remote: options.allow_remote || office.is_some() };
    let (guard, signer) = office.map(|office| (office.guard, office.signer)).unzip();
    let listener = std::thread::Builder::new()
        .name("listener".into())
        .spawn(move || listener::run(socket, access, guard, orders))
        .map_err(|error| error.to_string())?;
    simulation::run(options.seed, options.scenario, options.speed_per_mille, &inbox, signer);
    match listener.join() {
        Ok(result) => result,
        Err(_) => Err("the listener broke down".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).into()).collect();
        match parse(&arguments) {
            Ok(Some(options)) => match address(&options) {
                Ok(address) => format!("{address} at {}", options.speed_per_mille),
                Err(error) => error,
            },
            Ok(None) => "help".into(),
            Err(error) => error,
        }
    }

    #[test]
    fn options_are_read_or_refused() {
        for (arguments, expected) in [
            (&[][..], "127.0.0.1:8001 at 1000"),
            (&["--listen", ":9000", "--speed=0.5"], "127.0.0.1:9000 at 500"),
            (&["--listen", "[::1]:80"], "[::1]:80 at 1000"),
            (&["--listen", "0.0.0.0:80", "--allow-remote"], "0.0.0.0:80 at 1000"),
            (
                &["--listen", "0.0.0.0:80"],
                "0.0.0.0:80 can be reached from other machines, and whoever reaches it administers the cluster: listen on 127.0.0.1, ask for certificates with --cert-dir, or add --allow-remote",
            ),
            (&["--listen", "0.0.0.0:80", "--cert-dir", "pki"], "0.0.0.0:80 at 1000"),
            (&["--listen", "8001"], "--listen wants HOST:PORT, not \"8001\""),
            (
                &["--speed", "0"],
                "--speed wants a number from 0.01 to 1000, not \"0\": a clock that stands still answers nobody",
            ),
            (
                &["--speed", "NaN"],
                "--speed wants a number from 0.01 to 1000, not \"NaN\": a clock that stands still answers nobody",
            ),
            (&["--seed", "x"], "--seed wants a number, not \"x\""),
            (&["--port", "1"], "invalid option '--port'"),
            (&["-h"], "help"),
        ] {
            assert_eq!(told(arguments), expected, "{arguments:?}");
        }
    }
}
