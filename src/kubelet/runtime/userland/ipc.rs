//! `ipcs`, `ipcmk` and `ipcrm`: what the processes of one IPC namespace share.
//!
//! Picture to hold in mind: a pinboard in the hall of a flat. Who lives there reads it and pins to it; the flat next
//! door has its own; it goes when the flat is torn down.
//!
//! Output follows util-linux.

use crate::api::Text;
use crate::shell::system::Outcome;

use super::tools::{Tool, fails, text};

/// Flag, title, columns, and what `ipcmk` says.
const KINDS: [(char, &str, &str, &str); 3] = [
    (
        'q',
        "Message Queues",
        "key        msqid      owner      perms      used-bytes   messages    ",
        "Message queue id: ",
    ),
    (
        'm',
        "Shared Memory Segments",
        "key        shmid      owner      perms      bytes      nattch     status      ",
        "Shared memory id: ",
    ),
    ('s', "Semaphore Arrays", "key        semid      owner      perms      nsems     ", "Semaphore id: "),
];
/// How many there may be of a kind (`SHMMNI`).
const MOST: usize = 4096;

impl Tool<'_, '_, '_> {
    /// Each object is a line: flag, identity, key, size.
    pub(super) fn ipc(&mut self) -> Outcome {
        let objects = self.userland.files.ipc_objects();
        let flags = self.flags();
        if self.name == "ipcs" {
            return show(&objects, &flags);
        }
        let is_made = self.name == "ipcmk";
        if !is_made && flags.contains('a') {
            self.userland.files.set_ipc_objects(Text::new());
            return Outcome::default();
        }
        for (flag, _, _, said) in KINDS {
            let wanted = if is_made { flag.to_ascii_uppercase() } else { flag };
            if !flags.contains(wanted) {
                continue;
            }
            let value = self.option(&format!("-{wanted}"));
            let of_kind = objects.lines().filter(|line| line.starts_with(flag));
            if is_made {
                let Some(size) = (if flag == 'q' { Some(0) } else { value.and_then(size) }) else {
                    return fails(1, format!("ipcmk: failed to parse size: '{}'\n", value.unwrap_or("")));
                };
                let last =
                    of_kind.clone().next_back().and_then(|line| line.split(' ').nth(1)?.parse::<u32>().ok());
                let id = last.map_or(0, |id| id + 1);
                if of_kind.count() >= MOST {
                    return fails(1, "ipcmk: create failed: No space left on device\n");
                }
                let key = (self.command.now.0 as u32).wrapping_mul(2_654_435_761) ^ id;
                self.userland
                    .files
                    .set_ipc_objects(arcstr::format!("{objects}{flag} {id} 0x{key:08x} {size}\n"));
                return text(format!("{said}{id}\n"));
            }
            let id = value.unwrap_or("");
            let head = format!("{flag} {id} ");
            let rest: String =
                objects.split_inclusive('\n').filter(|line| !line.starts_with(&head)).collect();
            if rest.len() == objects.len() {
                return fails(1, format!("ipcrm: invalid id ({id})\n"));
            }
            self.userland.files.set_ipc_objects(rest.into());
            return Outcome::default();
        }
        fails(1, format!("{0}: bad usage\nTry '{0} --help' for more information.\n", self.name))
    }
}

/// `1024`, `64K`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text[digits.len()..].chars().next() {
        None => 0,
        Some(letter) => 1 + "KMG".find(letter)? as u32,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << (10 * unit))
}

fn show(objects: &str, flags: &str) -> Outcome {
    let mut out = Outcome::default();
    out.line("");
    for (flag, title, columns, _) in KINDS {
        if flags.contains(['q', 'm', 's']) && !flags.contains(flag) {
            continue;
        }
        out.line(format!("------ {title} --------\n{columns}"));
        for line in objects.lines().filter(|line| line.starts_with(flag)) {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, id, key, size] = words[..] else { continue };
            let mut row = format!("{key} {id:<10} root       644        ");
            match flag {
                'q' => row.push_str("0            0           "),
                'm' => row += &format!("{size:<10} 0                       "),
                _ => row += &format!("{size:<10}"),
            }
            out.line(row);
        }
        out.line("");
    }
    out
}
