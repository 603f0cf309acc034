//! `test`, `[` and `[[`: questions about texts, numbers and files.
//!
//! Picture to hold in mind: a doorman with a short list of questions; the exit code is the nod.

use super::expand::matches;
use super::files::{Entry, FileSystem, absolute, entry};

/// Why a question makes no sense.
pub enum TestError {
    /// A number is wanted in this one's place.
    NoNumber(String),
    NoUnary(String),
    NoBinary(String),
    TooMany,
    Pattern(String),
}

impl TestError {
    pub fn in_bash(&self) -> String {
        match self {
            TestError::NoNumber(text) => format!("{text}: integer expression expected"),
            TestError::NoUnary(sign) => format!("{sign}: unary operator expected"),
            TestError::NoBinary(sign) => format!("{sign}: binary operator expected"),
            TestError::TooMany => "too many arguments".into(),
            TestError::Pattern(error) => error.clone(),
        }
    }
    pub fn in_busybox(&self) -> String {
        match self {
            TestError::NoNumber(text) => format!("{text}: bad number"),
            TestError::NoUnary(sign) | TestError::NoBinary(sign) => format!("{sign}: unknown operand"),
            other => other.in_bash(),
        }
    }
}

pub fn evaluate(
    words: &[String],
    folder: &str,
    files: &dyn FileSystem,
    patterns: bool,
) -> Result<bool, TestError> {
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
            let entry = || entry(files, &absolute(folder, operand));
            Ok(match *sign {
                "-z" => operand.is_empty(),
                "-n" => !operand.is_empty(),
                "-e" | "-r" | "-w" | "-x" => entry().is_some(),
                "-f" => matches!(entry(), Some(Entry::File(_))),
                "-d" => matches!(entry(), Some(Entry::Folder)),
                "-s" => matches!(entry(), Some(Entry::File(content)) if !content.is_empty()),
                // Nothing here is a link, a pipe, a device or a terminal.
                "-L" | "-h" | "-p" | "-S" | "-b" | "-c" | "-t" => false,
                _ => return Err(TestError::NoUnary(sign.to_string())),
            })
        }
        [left, sign, right] => {
            let numbers = || {
                let number = |text: &str| {
                    text.trim().parse::<i64>().map_err(|_| TestError::NoNumber(text.to_string()))
                };
                Ok::<_, TestError>((number(left)?, number(right)?))
            };
            Ok(match *sign {
                "=" | "==" if patterns => matches(right, left),
                "!=" if patterns => !matches(right, left),
                "=" | "==" => left == right,
                "!=" => left != right,
                "<" => left < right,
                ">" => left > right,
                "=~" => {
                    let regex = crate::api::regex::Regex::new(right, true, false)
                        .map_err(|error| TestError::Pattern(error.to_string()))?;
                    regex.is_match(&left.chars().collect::<Vec<char>>())
                }
                "-eq" => numbers().map(|(a, b)| a == b)?,
                "-ne" => numbers().map(|(a, b)| a != b)?,
                "-lt" => numbers().map(|(a, b)| a < b)?,
                "-le" => numbers().map(|(a, b)| a <= b)?,
                "-gt" => numbers().map(|(a, b)| a > b)?,
                "-ge" => numbers().map(|(a, b)| a >= b)?,
                _ => return Err(TestError::NoBinary(sign.to_string())),
            })
        }
        _ => Err(TestError::TooMany),
    }
}
