//! Splits an SQL file into statements, one after the other, in bounded memory.
//!
//! A statement ends at a semicolon, except inside quotes, comments, PostgreSQL's dollar quotes
//! (manual 4.1.2.4), and the bodies of `CREATE TRIGGER`, `FUNCTION` and `PROCEDURE`. To find the
//! end of a body, the splitter counts `BEGIN`, `CASE` and `END`, as psql does. It knows no other
//! SQL.

mod body;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use anyhow::{Context, bail, ensure};

use body::RoutineBody;

use crate::dialect::Dialect;

/// The longest statement, in bytes.
const MAX_STATEMENT: usize = 16 << 20;

/// The statements that a file may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Every statement except `COPY` and statements that control a transaction, such as `ROLLBACK`.
    All,
    /// Only INSERT, because MySQL and MariaDB commit at other statements, such as CREATE TABLE.
    Inserts,
}

/// One statement, without its semicolon and without the comments before it.
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a str,
    number: u64,
    line: u64,
}

impl Statement<'_> {
    /// Returns `statement 3 (line 17: INSERT INTO …)`.
    pub(crate) fn place(&self) -> String {
        place(self.number, self.line, self.text)
    }
}

fn place(number: u64, line: u64, text: &str) -> String {
    let start: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
    format!("statement {number} (line {line}: {start})")
}

/// Reads the statements of a file, except the `BEGIN` at its start and the `COMMIT` at its end.
pub(crate) struct Statements<R> {
    input: R,
    dialect: Dialect,
    allowed: Allowed,
    text: Vec<u8>,
    number: u64,
    line: u64,
    /// Whether the COMMIT at the end of the file was read.
    closed: bool,
}

/// Whether the last byte was in code, in quotes or in a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LexerState {
    Code,
    /// Inside quotes: the byte of the closing quote, and whether a backslash escapes the next byte.
    Quoted(u8, bool),
    LineComment,
    /// Inside a comment, with its nesting depth: comments nest in PostgreSQL.
    BlockComment(u32),
    /// Inside a dollar quote: its tag, and the offset in the text where the opening tag ends.
    Dollar(Vec<u8>, usize),
}

/// What to do with a byte outside quotes and comments.
enum ByteAction {
    /// The byte ends the statement, but is not part of the statement.
    EndOfStatement,
    /// The byte is not part of the statement, or the text already contains the byte.
    Skip(LexerState),
    Take(LexerState),
}

impl<R: BufRead> Statements<R> {
    pub(crate) fn new(input: R, dialect: Dialect, allowed: Allowed) -> Self {
        Self { input, dialect, allowed, text: Vec::new(), number: 0, line: 1, closed: false }
    }

    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Returns the next statement to run. Fails if the file cannot be read, or if a statement is
    /// not allowed, not complete, too long, or not UTF-8. Fails also for a NUL byte, and for a byte
    /// order mark that is not at the start of the file.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Statement<'_>>> {
        if self.number == 0 && self.input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.input.consume(3);
        }
        loop {
            let Some(line) = self.read()? else { return Ok(None) };
            self.number += 1;
            if self.is_to_run(line)? {
                let text = str::from_utf8(&self.text)?;
                return Ok(Some(Statement { text, number: self.number, line }));
            }
        }
    }

    /// Whether the last statement must be run. `BEGIN` at the start of a file and `COMMIT` at the
    /// end are not run. Fails if the statement is not allowed.
    fn is_to_run(&mut self, line: u64) -> anyhow::Result<bool> {
        let text = str::from_utf8(&self.text)
            .with_context(|| format!("statement {} (line {line}) is not UTF-8", self.number))?;
        let words: Vec<String> =
            text.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let here = || place(self.number, line, text);
        ensure!(
            !self.closed,
            "{} comes after COMMIT, but a file is one transaction; remove this statement, or \
             split the file",
            here()
        );
        match words.as_slice() {
            ["BEGIN"] | ["BEGIN" | "START", "TRANSACTION"] | ["BEGIN", "WORK"]
                if self.number == 1 =>
            {
                Ok(false)
            }
            ["COMMIT" | "END"] | ["COMMIT" | "END", "TRANSACTION" | "WORK"] => {
                self.closed = true;
                Ok(false)
            }
            [
                "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
                | "RELEASE" | "PREPARE",
                ..,
            ] => bail!(
                "{}: a file is one transaction, so this statement is not allowed; remove it",
                here()
            ),
            ["COPY", ..] => bail!(
                "{}: the rows of COPY are not SQL; write them as INSERT (pg_dump --inserts)",
                here()
            ),
            ["INSERT", ..] => Ok(true),
            _ if self.allowed == Allowed::Inserts => bail!(
                "{}: a file for MySQL may contain only INSERT, because MySQL commits at other \
                 statements",
                here()
            ),
            _ => Ok(true),
        }
    }

    /// Reads the text of one statement and returns the line in which it begins.
    fn read(&mut self) -> anyhow::Result<Option<u64>> {
        self.text.clear();
        let (mut state, mut begin) = (LexerState::Code, self.line);
        let mut body = RoutineBody::default();
        loop {
            let Some(byte) = self.byte()? else { return self.end_of_file(&state, begin) };
            ensure!(
                self.text.len() < MAX_STATEMENT,
                "the statement that begins in line {begin} is longer than {MAX_STATEMENT} bytes; \
                 split the statement"
            );
            match &mut state {
                LexerState::Code => match self.step(byte, &mut body)? {
                    ByteAction::EndOfStatement if self.text.trim_ascii().is_empty() => {
                        self.text.clear();
                        body = RoutineBody::default();
                    }
                    ByteAction::EndOfStatement => return Ok(Some(begin)),
                    ByteAction::Skip(next) => state = next,
                    // The text of a statement begins after the blanks and comments before it.
                    ByteAction::Take(_) if self.text.is_empty() && byte.is_ascii_whitespace() => {}
                    ByteAction::Take(next) => {
                        if self.text.is_empty() {
                            begin = self.line;
                        }
                        self.code(byte)?;
                        state = next;
                    }
                },
                LexerState::Quoted(quote, escapes) => {
                    let (quote, escapes) = (*quote, *escapes);
                    if self.quoted(byte, quote, escapes)? {
                        state = LexerState::Code;
                    }
                }
                LexerState::LineComment => {
                    if byte == b'\n' || (byte == b'\r' && self.dialect == Dialect::Postgresql) {
                        self.blank();
                        state = LexerState::Code;
                    }
                }
                LexerState::BlockComment(depth) => {
                    if self.block_comment(byte, depth)? {
                        self.blank();
                        state = LexerState::Code;
                    }
                }
                LexerState::Dollar(tag, opened) => {
                    self.text.push(byte);
                    if byte == b'$' && self.text[*opened..].ends_with(tag) {
                        state = LexerState::Code;
                    }
                }
            }
        }
    }

    fn end_of_file(&self, state: &LexerState, begin: u64) -> anyhow::Result<Option<u64>> {
        match state {
            LexerState::Code | LexerState::LineComment => {
                Ok((!self.text.trim_ascii().is_empty()).then_some(begin))
            }
            _ => bail!(
                "the file ends within the statement that begins in line {begin}; copy the whole \
                 file again, or close the quotes and comments of the statement"
            ),
        }
    }

    /// Decides what a byte outside quotes and comments begins or ends.
    fn step(&mut self, byte: u8, body: &mut RoutineBody) -> anyhow::Result<ByteAction> {
        let before = self.text.last().copied();
        body.code(byte);
        Ok(match byte {
            b';' if body.depth == 0 => {
                self.refuse_dashes_before("a semicolon")?;
                ByteAction::EndOfStatement
            }
            b'\'' => ByteAction::Take(LexerState::Quoted(b'\'', self.escapes())),
            b'"' => ByteAction::Take(LexerState::Quoted(b'"', self.dialect == Dialect::Mysql)),
            b'`' if self.dialect != Dialect::Postgresql => {
                ByteAction::Take(LexerState::Quoted(b'`', false))
            }
            b'[' if self.dialect == Dialect::Sqlite => {
                ByteAction::Take(LexerState::Quoted(b']', false))
            }
            b'-' if before == Some(b'-') && self.is_comment()? => {
                self.text.pop();
                self.refuse_dashes_before("a comment")?;
                ByteAction::Skip(LexerState::LineComment)
            }
            b'#' if self.dialect == Dialect::Mysql => {
                self.refuse_dashes_before("a comment")?;
                ByteAction::Skip(LexerState::LineComment)
            }
            b'*' if before == Some(b'/') => {
                let is_run = self.dialect == Dialect::Mysql
                    && self.peek()?.is_some_and(|b| b"!M+".contains(&b));
                ensure!(
                    !is_run,
                    "line {}: MySQL would run the text of this comment; remove the comment",
                    self.line
                );
                self.text.pop();
                self.refuse_dashes_before("a comment")?;
                ByteAction::Skip(LexerState::BlockComment(1))
            }
            b'$' if self.dialect == Dialect::Postgresql && !before.is_some_and(is_word) => {
                let tag = self.dollar_tag()?;
                ByteAction::Skip(
                    tag.map_or(LexerState::Code, |tag| LexerState::Dollar(tag, self.text.len())),
                )
            }
            _ => ByteAction::Take(LexerState::Code),
        })
    }

    /// Refuses two dashes right before a comment or a semicolon. In MySQL these dashes are two
    /// minus signs. This splitter replaces a comment by a blank and removes the semicolon. Then the
    /// server would read the dashes as a comment.
    fn refuse_dashes_before(&self, what: &str) -> anyhow::Result<()> {
        ensure!(
            self.dialect != Dialect::Mysql || !self.text.ends_with(b"--"),
            "line {}: two dashes directly before {what}; put a space between the dashes",
            self.line
        );
        Ok(())
    }

    /// Takes a byte inside a block comment. Returns whether the comment has ended.
    fn block_comment(&mut self, byte: u8, depth: &mut u32) -> anyhow::Result<bool> {
        match (byte, self.peek()?) {
            (b'*', Some(b'/')) => {
                self.byte()?;
                *depth -= 1;
            }
            (b'/', Some(b'*')) if self.dialect == Dialect::Postgresql => {
                self.byte()?;
                *depth += 1;
            }
            _ => {}
        }
        Ok(*depth == 0)
    }

    /// Takes a byte outside quotes and comments.
    fn code(&mut self, byte: u8) -> anyhow::Result<()> {
        self.text.push(byte);
        // Refuse U+FEFF. SQLite reads U+FEFF as a blank. The other servers and this splitter read
        // it as part of a word. So SQLite could see a COMMIT that this splitter does not see.
        let mark = self.text.ends_with("\u{feff}".as_bytes());
        ensure!(
            !mark,
            "line {}: a byte order mark (U+FEFF) is allowed only at the start of the file; \
             remove it",
            self.line
        );
        Ok(())
    }

    /// Takes a byte inside quotes. Returns whether the quotes end with this byte.
    fn quoted(&mut self, byte: u8, quote: u8, escapes: bool) -> anyhow::Result<bool> {
        self.text.push(byte);
        if byte == b'\\' && escapes {
            let next = self.byte()?;
            self.text.extend(next);
            return Ok(false);
        }
        if byte != quote {
            return Ok(false);
        }
        // Two quotes in a row mean one quote inside the text.
        let doubled = quote != b']' && self.peek()? == Some(quote);
        if doubled {
            let next = self.byte()?;
            self.text.extend(next);
        }
        Ok(!doubled)
    }

    /// Replaces a comment by a blank, as the server does.
    fn blank(&mut self) {
        if !self.text.is_empty() {
            self.text.push(b' ');
        }
    }

    fn byte(&mut self) -> anyhow::Result<Option<u8>> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            // At a NUL byte, SQLite ends the text, and sqlx loops forever. PostgreSQL drops the
            // connection.
            ensure!(byte != 0, "line {}: a NUL byte is not allowed in SQL; remove it", self.line);
            self.input.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }

    fn peek(&mut self) -> anyhow::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    /// Whether the quote just read opens a text with backslash escapes: always in MySQL, never in
    /// SQLite, and after an `E` in PostgreSQL.
    fn escapes(&self) -> bool {
        match self.dialect {
            Dialect::Mysql => true,
            Dialect::Sqlite => false,
            Dialect::Postgresql => match self.text.as_slice() {
                [.., before, b'e' | b'E'] => !is_word(*before),
                [b'e' | b'E'] => true,
                _ => false,
            },
        }
    }

    /// Whether the two dashes just read begin a comment. In MySQL, a blank must follow them.
    fn is_comment(&mut self) -> anyhow::Result<bool> {
        Ok(self.dialect != Dialect::Mysql
            || self.peek()?.is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control()))
    }

    /// Reads the text after a `$`. If a dollar quote begins there, returns its tag: `$body$`.
    fn dollar_tag(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let start = self.text.len();
        self.text.push(b'$');
        while let Some(byte) = self.peek()? {
            let inside = self.text.len() > start + 1;
            if byte == b'$' {
                self.byte()?;
                self.text.push(b'$');
                return Ok(Some(self.text[start..].to_vec()));
            }
            if !is_word(byte) || (byte.is_ascii_digit() && !inside) {
                break;
            }
            self.byte()?;
            self.text.push(byte);
        }
        Ok(None)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
