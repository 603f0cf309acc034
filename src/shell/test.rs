//! `test`, `[` and `[[`: questions about texts, numbers and files.
//!
//! Picture to hold in mind: a doorman with a short list of questions; the exit code is the nod.

use super::expand::matches;
use super::files::{Entry, Files, absolute};

pub fn evaluate(words: &[String], folder: &str, files: &Files, patterns: bool) -> Result<bool, String> {
    // `-o` binds looser than `-a`.
    for (sign, all) in [("-o", false), ("-a", true)] {
        let is_split = |index: &usize| words[*index] == sign && *index > 0 && *index + 1 < words.len();
        if words.len() > 3
            && let Some(index) = (0..words.len()).find(is_split)
        {
            let left = evaluate(&words[..index], folder, files, patterns)?;
            let right = evaluate(&words[index + 1..], folder, files, patterns)?;
            return Ok(if all { left && right } else { left || right });
        }
    }
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    match texts.as_slice() {
        [] => Ok(false),
        [text] => Ok(!text.is_empty()),
        ["!", ..] => Ok(!evaluate(&words[1..], folder, files, patterns)?),
        [sign, operand] => {
            let entry = files.get(&absolute(folder, operand));
            Ok(match *sign {
                "-z" => operand.is_empty(),
                "-n" => !operand.is_empty(),
                "-e" | "-r" | "-w" => entry.is_some(),
                "-f" => matches!(entry, Some(Entry::File(_))),
                "-d" => matches!(entry, Some(Entry::Folder)),
                "-s" => matches!(entry, Some(Entry::File(content)) if !content.is_empty()),
                "-x" | "-L" | "-h" => false,
                _ => return Err(format!("{sign}: unary operator expected")),
            })
        }
        [left, sign, right] => {
            let numbers = || {
                let number = |text: &str| {
                    text.trim().parse::<i64>().map_err(|_| format!("{text}: integer expression expected"))
                };
                Ok::<_, String>((number(left)?, number(right)?))
            };
            Ok(match *sign {
                "=" | "==" if patterns => matches(right, left),
                "!=" if patterns => !matches(right, left),
                "=" | "==" => left == right,
                "!=" => left != right,
                "<" => left < right,
                ">" => left > right,
                "=~" => {
                    let regex = crate::api::regex::Regex::new(right, true, false)?;
                    regex.is_match(&left.chars().collect::<Vec<char>>())
                }
                "-eq" => numbers().map(|(a, b)| a == b)?,
                "-ne" => numbers().map(|(a, b)| a != b)?,
                "-lt" => numbers().map(|(a, b)| a < b)?,
                "-le" => numbers().map(|(a, b)| a <= b)?,
                "-gt" => numbers().map(|(a, b)| a > b)?,
                "-ge" => numbers().map(|(a, b)| a >= b)?,
                _ => return Err(format!("{sign}: binary operator expected")),
            })
        }
        _ => Err("too many arguments".into()),
    }
}
