//! Did you mean …?

/// The candidate fewest edits away from `name`, if at most a third of its letters (at least one, at most three) differ.
///
/// An edit is an insertion, a deletion, a change or a swap of neighbours: the four ways a name is mistyped.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, case ignored.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors_and_nothing_far_fetched() {
        let names = ["rate", "host-rate", "retry", "proxy-file"];
        assert_eq!(nearest("raet", names), Some("rate"));
        assert_eq!(nearest("host_rate", names), Some("host-rate"));
        assert_eq!(nearest("proxyfile", names), Some("proxy-file"));
        assert_eq!(nearest("timeout", names), None);
        assert_eq!(nearest("", names), None);
    }

    proptest::proptest! {
        #[test]
        fn distance_is_symmetric_and_zero_only_for_the_same_word(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            proptest::prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            proptest::prop_assert_eq!(edits(&a, &b) == 0, a == b);
        }
    }
}
