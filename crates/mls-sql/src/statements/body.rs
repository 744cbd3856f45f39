//! The bodies of triggers and functions, which contain semicolons.

use super::is_word;

/// Tracks whether the text is inside the body of a trigger or function.
#[derive(Default)]
pub(super) struct RoutineBody {
    word: Vec<u8>,
    words: u32,
    create: bool,
    routine: bool,
    /// How many `BEGIN` and `CASE` are open.
    pub(super) depth: u32,
}

impl RoutineBody {
    /// Reads the next byte. The caller must leave out bytes in quotes and comments.
    pub(super) fn code(&mut self, byte: u8) {
        if is_word(byte) {
            if self.word.len() < 16 {
                self.word.push(byte.to_ascii_uppercase());
            }
            return;
        }
        match self.word.as_slice() {
            [] => return,
            b"CREATE" if self.words == 0 => self.create = true,
            b"OR" | b"REPLACE" | b"TEMP" | b"TEMPORARY" if self.create => {}
            b"TRIGGER" | b"FUNCTION" | b"PROCEDURE" if self.create => {
                (self.create, self.routine) = (false, true);
            }
            b"BEGIN" | b"CASE" if self.routine => self.depth += 1,
            b"END" if self.routine => self.depth = self.depth.saturating_sub(1),
            // `CREATE TABLE function` does not create a function.
            _ => self.create = false,
        }
        self.words += 1;
        self.word.clear();
    }
}
