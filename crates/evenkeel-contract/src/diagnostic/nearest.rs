//! Which known name a wrong one was probably meant to be.

/// The known name that `found` was probably meant to be.
pub(crate) fn nearest<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let within = (found.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (distance(found, name), name))
        .filter(|&(distance, name)| distance <= within && distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The advice that follows from [`nearest`].
pub(crate) fn did_you_mean<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(found, known).map(|name| format!("did you mean `{name}`?"))
}

/// How many characters must be changed, added, removed or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("costumer_id", ["customer_id", "order_id"]), Some("customer_id"));
        assert_eq!(nearest("lsiten", ["listen", "id"]), Some("listen"));
        assert_eq!(nearest("ip", ["listen", "x"]), None);
        assert_eq!((distance("", "abc"), distance("ab", "ba"), distance("kitten", "sitting")), (3, 1, 3));
    }
}
