//! What somebody who mistyped a name may have meant.

/// The candidate with the fewest changed, missing or extra characters, if there are at most three and fewer than half.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 2).min(3);
    let measured = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    measured
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Source: Levenshtein 1966; one row of the table at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(from != *to)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slips_find_their_name_and_others_find_none() {
        let names = ["http.listen", "workers.listen", "drain.timeout"];

        assert_eq!(nearest("http.lisen", names), Some("http.listen"));
        assert_eq!(nearest("worker.listen", names), Some("workers.listen"));
        assert_eq!(nearest("drain.timeuot", names), Some("drain.timeout"));
        assert_eq!(nearest("cluster.colour", names), None);
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest("", names), None);
    }
}
