//! Cuts credentials out of addresses.

/// An address without credentials: no user or password (but for the user `git` of ssh, which is no secret), no query or
/// fragment. With `query` the parameters whose names do not look like a secret's are kept. None for an address that is a
/// command (`ext::…`), or in which credentials cannot be told from the rest.
pub(super) fn without_credentials(address: &str, query: bool) -> Option<String> {
    if address.starts_with("ext::") {
        return None;
    }
    let Some((scheme, rest)) = address.split_once("://") else { return Some(scp(address)) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let (user, rest) = if let Some(at) = authority.rfind('@') {
        cut(rest, at)
    } else if port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) || port.ends_with(']')) {
        ("", rest)
    } else {
        // What looks like the port is none: it is a password with a `/`, `?` or `#` that is not escaped.
        let at = rest.rfind('@')?;
        cut(rest, at)
    };
    let (host, asked) = rest.find(['?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let user = if user == "git" && scheme.ends_with("ssh") { "git@" } else { "" };
    let asked = if query { harmless(asked) } else { String::new() };
    Some(format!("{scheme}://{user}{host}{asked}"))
}

/// What stands before and after the `@` at `at`.
fn cut(text: &str, at: usize) -> (&str, &str) {
    let (before, after) = text.split_at(at);
    (before, after.trim_start_matches('@'))
}

/// The same for `user@host:path`. What has no `:` before its first `/` is a path on this machine.
fn scp(address: &str) -> String {
    let head = address.split('/').next().unwrap_or_default();
    match head.rfind('@') {
        Some(at) if head.contains(':') => {
            let (user, rest) = cut(address, at);
            if user == "git" { address.to_owned() } else { rest.to_owned() }
        }
        _ => address.to_owned(),
    }
}

/// The parameters of a query (with its `?`) whose names do not look like a secret's; no fragment.
fn harmless(asked: &str) -> String {
    const SECRET: [&str; 9] = ["token", "key", "secret", "pass", "pwd", "sig", "auth", "cred", "code"];
    let asked = asked.split('#').next().unwrap_or_default();
    let secret = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SECRET.iter().any(|word| name.contains(word))
    };
    let kept: Vec<&str> = asked.trim_start_matches('?').split('&').filter(|p| !p.is_empty() && !secret(p)).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}
