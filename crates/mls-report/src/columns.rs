//! Columns that line up on a terminal, whatever the characters in them.

use unicode_width::UnicodeWidthStr;

/// How a column's cells are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The rows as lines. Each column is as wide as its widest cell, and two blanks separate columns.
/// No line ends in blanks.
pub(crate) fn line_up(columns: &[Align], rows: &[Vec<String>]) -> Vec<String> {
    let width =
        |i: usize| rows.iter().map(|row: &Vec<String>| row[i].width()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((cell, align), width) in row.iter().zip(columns).zip(&widths) {
            let blanks = " ".repeat(width - cell.width());
            if !line.is_empty() {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.extend([cell, &blanks[..]]),
                Align::Right => line.extend([&blanks[..], cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_take_the_cells_they_take() {
        let rows = [["日本語", "1"], ["e\u{301}le\u{300}ve", "22"], ["plain", "333"]]
            .map(|row| row.map(str::to_owned).to_vec());
        let lines = line_up(&[Align::Left, Align::Right], &rows);
        assert_eq!(lines, ["日本語    1", "e\u{301}le\u{300}ve    22", "plain   333"]);
    }
}
