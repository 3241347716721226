//! Tables for people: columns as wide as their widest cell.

use crate::output::printable;

/// The rows below their heads, without a newline at the end; the last column is not padded.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| head.to_uppercase()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&heads).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(&heads).chain(&rows).map(line).collect::<Vec<_>>().join("\n")
}

/// An empty cell is a dash, so that columns can be counted.
fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { printable(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_cannot_break_them() {
        let rows = [
            vec!["ads".into(), "GET /0/**, POST /0/ä".into(), "x".into()],
            vec!["a\nb".into(), String::new(), "y".into()],
        ];

        let text = table(&["name", "allow", "rate"], &rows);

        assert_eq!(
            text,
            "NAME  ALLOW                 RATE\nads   GET /0/**, POST /0/ä  x\na\u{fffd}b   -                     y"
        );
    }
}
