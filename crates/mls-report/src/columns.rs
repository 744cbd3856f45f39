//! Columns that line up on a terminal, whatever the characters in them.

use unicode_width::UnicodeWidthStr;

/// How a column's cells stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The rows as lines, each column as wide as its widest cell and two blanks from the next; no line ends in blanks.
pub(crate) fn line_up<const N: usize>(columns: [Align; N], rows: &[[String; N]]) -> Vec<String> {
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].width()).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for ((cell, align), width) in row.iter().zip(columns).zip(widths) {
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
            .map(|row| row.map(str::to_owned));
        let lines = line_up([Align::Left, Align::Right], &rows);
        assert_eq!(lines, ["日本語    1", "e\u{301}le\u{300}ve    22", "plain   333"]);
    }
}
