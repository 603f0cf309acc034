//! What a terminal does with keys before a program sees them.
//!
//! Picture to hold in mind: a typist's carriage: letters appear as they are typed, the last one can be struck out, and
//! only at the end of the line is it handed over.
//!
//! A client with a terminal (`kubectl exec -it`) sends keys as they are pressed and shows what comes back; the line
//! discipline of a real container's terminal answers them. This one knows the keys that it takes to write a line.

/// What a piece of typing leads to, in order.
#[derive(Debug, PartialEq)]
pub enum Typed {
    /// To be shown.
    Echo(String),
    Line(String),
    /// Ctrl+C.
    Interrupt,
    /// Ctrl+D on an empty line.
    End,
}

/// A line longer than this takes no more letters.
const LINE_BYTES: usize = 4096;

#[derive(Default)]
pub struct Carriage {
    line: Vec<u8>,
    /// Inside of an escape sequence, of which nothing is shown: arrows and the like.
    escape: Escape,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

impl Carriage {
    pub fn type_in(&mut self, keys: &[u8]) -> Vec<Typed> {
        let (mut typed, mut echo) = (Vec::new(), Vec::new());
        for key in keys {
            let event = self.press(*key, &mut echo);
            if let Some(event) = event {
                show(&mut typed, &mut echo);
                typed.push(event);
            }
        }
        show(&mut typed, &mut echo);
        typed
    }

    fn press(&mut self, key: u8, echo: &mut Vec<u8>) -> Option<Typed> {
        match (self.escape, key) {
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Sequence,
            (Escape::Begun, _) | (Escape::Sequence, 0x40..=0x7e) => self.escape = Escape::None,
            (Escape::Sequence, _) => {}
            (Escape::None, 0x1b) => self.escape = Escape::Begun,
            (Escape::None, b'\r' | b'\n') => {
                echo.extend(b"\r\n");
                let line = std::mem::take(&mut self.line);
                return Some(Typed::Line(String::from_utf8_lossy(&line).into_owned()));
            }
            (Escape::None, 0x03) => {
                echo.extend(b"^C\r\n");
                self.line.clear();
                return Some(Typed::Interrupt);
            }
            (Escape::None, 0x04) if self.line.is_empty() => return Some(Typed::End),
            // Backspace: a letter may have several bytes.
            (Escape::None, 0x7f | 0x08) => {
                if !self.line.is_empty() {
                    while self.line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                    echo.extend(b"\x08 \x08");
                }
            }
            // Ctrl+U strikes out all of it.
            (Escape::None, 0x15) => {
                let letters = self.line.iter().filter(|byte| *byte & 0xc0 != 0x80).count();
                self.line.clear();
                echo.extend(b"\x08 \x08".repeat(letters));
            }
            (Escape::None, 0x20..) if self.line.len() < LINE_BYTES => {
                self.line.push(key);
                echo.push(key);
            }
            (Escape::None, _) => {}
        }
        None
    }
}

fn show(typed: &mut Vec<Typed>, echo: &mut Vec<u8>) {
    if !echo.is_empty() {
        typed.push(Typed::Echo(String::from_utf8_lossy(echo).into_owned()));
        echo.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_lines() {
        let echo = |text: &str| Typed::Echo(text.into());
        let line = |text: &str| Typed::Line(text.into());
        for (keys, expected) in [
            ("ls\r", vec![echo("ls\r\n"), line("ls")]),
            ("lz\x7fs\n", vec![echo("lz\x08 \x08s\r\n"), line("ls")]),
            ("\x7f", vec![]),
            ("é\x7fe", vec![echo("é\x08 \x08e")]),
            ("abc\x15x\r", vec![echo("abc\x08 \x08\x08 \x08\x08 \x08x\r\n"), line("x")]),
            ("a\x1b[A\x1b[1;5Cb\r", vec![echo("ab\r\n"), line("ab")]),
            ("abc\x03", vec![echo("abc^C\r\n"), Typed::Interrupt]),
            ("a\x04", vec![echo("a")]),
            ("\x04", vec![Typed::End]),
            ("a\rb\r", vec![echo("a\r\n"), line("a"), echo("b\r\n"), line("b")]),
        ] {
            assert_eq!(Carriage::default().type_in(keys.as_bytes()), expected, "{keys:?}");
        }
        let mut carriage = Carriage::default();
        carriage.type_in(&vec![b'x'; 3 * LINE_BYTES]);
        assert_eq!(carriage.line.len(), LINE_BYTES);
    }
}
