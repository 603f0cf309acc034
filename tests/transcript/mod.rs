//! Sessions in the terminal, as text files.
//!
//! Picture to hold in mind: the minutes of a meeting that is held again, word for word.
//!
//! Lines behind `$ ` are entered (`> ` goes on with one), what stands below is printed: `! ` marks the standard
//! error, `= ` an exit code other than 0, `~` an empty line, `%` a missing line end, `? ` the annotations of an
//! audit event (`as` whom, `by` which way to speak for him). Lines behind `@ ` do something to the cluster; lines
//! behind `# ` and empty ones are the author's, the first of them says which cluster it is.
//! `CLUSTERARIUM_UPDATE=1` writes the answers anew; read the difference before you keep it.

use std::path::Path;

use clusterarium::console::{Console, Output};
use clusterarium::shell::diff;
use clusterarium::sim::Duration;

/// What one line may take.
const LIMIT: Duration = Duration::from_secs(900);

/// What a session prints now, with what differs from run to run `barred`.
fn play(
    source: &str,
    boot: fn(&str) -> Console,
    act: fn(&mut Console, &str),
    barred: fn(&str) -> String,
) -> String {
    let mut console = boot(source.lines().next().unwrap_or_default());
    let mut text = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") || line.is_empty() {
            text += &format!("{line}\n");
            continue;
        }
        if let Some(order) = line.strip_prefix("@ ") {
            act(&mut console, order);
            text += &format!("{line}\n");
            continue;
        }
        let Some(mut command) = line.strip_prefix("$ ").map(String::from) else { continue };
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix("> ")) {
            command += &format!("\n{more}");
            lines.next();
        }
        text += &format!("$ {}\n", command.replace('\n', "\n> "));
        let (mut printed, mut noted) = (Vec::new(), String::new());
        let code = console.exec(&command, "", LIMIT, |output| match output {
            Output::Stdout(text) => printed.push((false, text)),
            Output::Stderr(text) => printed.push((true, text)),
            // Of audit events, where there are any: what the user's writes were annotated with.
            Output::Audit(event) => {
                if event.text("user.username") == "kubernetes-admin"
                    && !matches!(event.text("verb"), "get" | "list" | "watch")
                {
                    let constraint = event.text("authenticationMetadata.impersonationConstraint");
                    let other = match event.text("impersonatedUser.username") {
                        "" => String::new(),
                        name => format!(
                            " as {name}{}{constraint}",
                            if constraint.is_empty() { "" } else { " by " }
                        ),
                    };
                    noted += &format!(
                        "? {} {} {}{other}\n",
                        event.text("verb"),
                        event.text("requestURI"),
                        event.at("annotations")
                    );
                }
            }
        });
        for (on_error, part) in printed {
            for line in part.split_inclusive('\n') {
                let open = if line.ends_with('\n') { "" } else { "%\n" };
                // An empty line would be taken for one between two entries.
                let line = if line == "\n" { "~\n".to_string() } else { barred(line) };
                text += &format!("{}{line}{open}", if on_error { "! " } else { "" });
            }
        }
        text += &noted;
        match code {
            Some(0) => {}
            Some(code) => text += &format!("= {code}\n"),
            None => {
                text += "= still running\n";
                console.interrupt(&mut |_| {});
            }
        }
    }
    text
}

/// Plays all sessions of a folder.
pub fn check(
    folder: &str,
    boot: fn(&str) -> Console,
    act: fn(&mut Console, &str),
    barred: fn(&str) -> String,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = String::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).expect("a session is text");
        let now = play(&source, boot, act, barred);
        if now == source {
            continue;
        }
        if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
            std::fs::write(&path, &now).expect("the session can be written");
        } else {
            wrong += &format!("{}:\n{}\n", path.display(), diff::unified(&source, &now, 3));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
