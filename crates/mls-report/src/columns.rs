//! Fits text to the width of a terminal. Characters can be wide or have no width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width of a digest in columns of a terminal.
pub(crate) const WIDTH: usize = 80;

/// Cells are not cut below this width.
const MIN_WIDTH: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    /// Left. Cut only if cutting all `Left` columns is not enough.
    Whole,
    Right,
}

/// Returns the rows as lines that are at most `width` wide. Each column is as wide as its widest
/// cell, and two blanks separate columns. If the lines are too wide, cuts the widest cells. Numbers
/// and narrow cells are not cut, so a line can stay too wide. No line ends in blanks.
pub(crate) fn line_up(columns: &[Align], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let widest =
        |i: usize| rows.iter().map(|row: &Vec<String>| row[i].width()).max().unwrap_or_default();
    let mut widths: Vec<_> = (0..columns.len()).map(widest).collect();
    shrink(columns, &mut widths, width);
    rows.iter().map(|row| line(columns, row, &widths)).collect()
}

/// Makes the widest columns narrower until the lines fit.
fn shrink(columns: &[Align], widths: &mut [usize], width: usize) {
    let gaps = 2 * widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
    for align in [Align::Left, Align::Whole] {
        while widths.iter().sum::<usize>() + gaps > width {
            let candidates = columns.iter().zip(widths.iter_mut());
            let candidates = candidates.filter(|(column, _)| **column == align);
            match candidates.map(|(_, width)| width).max() {
                Some(widest) if *widest > MIN_WIDTH => *widest -= 1,
                _ => break,
            }
        }
    }
}

fn line(columns: &[Align], row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for ((cell, align), width) in row.iter().zip(columns).zip(widths) {
        if *width == 0 {
            continue;
        }
        let cell = ellipsis(cell, *width);
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        if !line.is_empty() {
            line.push_str("  ");
        }
        match align {
            Align::Left | Align::Whole => line.extend([cell, blanks]),
            Align::Right => line.extend([blanks, cell]),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Returns the text, cut to at most `width` columns. `…` replaces the rest.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if cut.width() + 1 > width {
            cut.pop();
            break;
        }
    }
    cut + "…"
}

/// Returns the text in lines of at most `width` columns. The first line begins with the blanks of
/// the text, the other lines with `indent`. Breaks words that are wider than a line.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let words = text.trim_start();
    let (mut lines, mut line) = (String::new(), text[..text.len() - words.len()].to_owned());
    let mut is_begun = false;
    for word in words.split(' ') {
        if is_begun && line.width() + 1 + word.width() > width {
            lines.extend([line.as_str(), "\n"]);
            indent.clone_into(&mut line);
        } else if is_begun {
            line.push(' ');
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or_default() > width {
                lines.extend([line.as_str(), "\n"]);
                indent.clone_into(&mut line);
            }
            line.push(c);
        }
        is_begun = true;
    }
    lines + &line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    #[test]
    fn wide_and_combining_characters_are_counted_in_columns() {
        let rows = rows(&[["日本語", "1"], ["e\u{301}le\u{300}ve", "22"], ["plain", "333"]]);
        let lines = line_up(&[Align::Left, Align::Right], &rows, 80);
        assert_eq!(lines, ["日本語    1", "e\u{301}le\u{300}ve    22", "plain   333"]);
    }

    #[test]
    fn the_widest_columns_are_cut_and_numbers_are_not() {
        let rows = rows(&[["日本語日本語日本語", "a long name of a host", "1,000 times"]]);
        let lines = line_up(&[Align::Left, Align::Left, Align::Right], &rows, 40);
        assert_eq!(lines, ["日本語日本語…  a long name…  1,000 times"]);
        assert!(lines[0].width() <= 40);
        let address = line_up(&[Align::Whole, Align::Left, Align::Right], &rows, 42);
        assert_eq!(address, ["日本語日本語日本語  a long n…  1,000 times"]);
        let tiny = line_up(&[Align::Left, Align::Left, Align::Right], &rows, 5);
        assert_eq!(tiny, ["日本語…   a long …  1,000 times"]);
    }

    #[test]
    fn long_lines_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 8, "  "), "one two\n  three");
        assert_eq!(wrap("    - one two", 10, "      "), "    - one\n      two");
        assert_eq!(wrap("a日本語日本語", 6, "  "), "a日本\n  語日\n  本語");
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_wider_than_its_limit(text in "\\PC{0,60}", width in 4_usize..40) {
            proptest::prop_assert!(ellipsis(&text, width).width() <= width);
            for line in wrap(&text, width, "  ").lines() {
                proptest::prop_assert!(line.width() <= width + 1, "{line:?}");
            }
        }
    }
}
