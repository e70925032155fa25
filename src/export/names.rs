//! Names as other tools take them.

/// A text as an identifier of Python in small letters or not, as the other tool wants it.
pub(super) fn identifier(text: &str, lower: bool) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(if lower { c.to_ascii_lowercase() } else { c }),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "x".to_owned(),
        Some(c) if c.is_ascii_digit() => format!("x{name}"),
        Some(_) => name.to_owned(),
    }
}

/// The name, or the first of `name_2`, `name_3`, … that is free; it is taken from then on.
pub(super) fn free(name: &str, taken: &mut std::collections::BTreeSet<String>) -> String {
    let numbered = (2_u32..).map(|n| format!("{name}_{n}"));
    let found = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(found.clone());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("train[alpha=0.1]", true), "train_alpha_0_1");
        assert_eq!(identifier("Über-Modell 2", true), "ber_modell_2");
        assert_eq!(identifier("3d", false), "x3d");
        assert_eq!(identifier("_é_", false), "x");
        let mut taken = std::collections::BTreeSet::new();
        assert_eq!((free("a", &mut taken).as_str(), free("a", &mut taken).as_str()), ("a", "a_2"));
    }
}
