//! Columns of text.

/// Rows below a head, each column as wide as its widest cell, three spaces between. What a cell holds moves no cursor and ends no line,
/// whoever wrote it.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| harmless(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// A text that moves no cursor and ends no line.
pub(super) fn harmless(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// A time span as kubectl says it: `5s`, `3m`, `2h`, `4d`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago a time of RFC 3339 was.
pub(super) fn since(time: &str) -> String {
    let then = humantime::parse_rfc3339(time).ok();
    let span = then.and_then(|then| std::time::SystemTime::now().duration_since(then).ok());
    span.map_or_else(|| "-".to_owned(), |span| age(span.as_secs()))
}

/// How long it is until a time of RFC 3339.
pub(super) fn until(time: &str) -> String {
    let then = humantime::parse_rfc3339(time).ok();
    let span = then.and_then(|then| then.duration_since(std::time::SystemTime::now()).ok());
    span.map_or_else(|| "-".to_owned(), |span| age(span.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["web".to_owned(), "80".to_owned()], vec!["a-long-name".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "PORT"], &rows), "NAME          PORT\nweb           80\na-long-name\n");
    }

    #[test]
    fn a_cell_forges_no_row() {
        let rows = [vec!["a\u{1b}[2K\nb\r".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["NAME", "X"], &rows), "NAME       X\na?[2K?b?   c\n");
    }

    #[test]
    fn an_age_is_one_number() {
        assert_eq!([0, 119, 120, 7_199, 7_200, 172_800].map(age), ["0s", "119s", "2m", "119m", "2h", "2d"]);
    }
}
