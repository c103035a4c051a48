//! `${NAME}` in values that are secret or differ from machine to machine.

use super::Env;
use crate::error::Problem;

/// `text` with the variables it names; `$${` is a literal `${`, as in proxy lists.
pub(super) fn fill(text: &str, env: Env<'_>) -> Result<String, Problem> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &found[2..];
            continue;
        }
        filled.push_str(before);
        let bad =
            || Problem::new("not a variable").hint("write ${NAME}; a literal ${ is written $${");
        let (name, after) = found[2..].split_once('}').ok_or_else(bad)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(is_name)
        {
            return Err(bad());
        }
        let value = env(name).ok_or_else(|| {
            Problem::new(format!("the environment variable {name} is not set"))
                .hint("export it, in a crontab by a line NAME=value above the job's")
        })?;
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn variables_go_in_as_they_are_and_what_is_missing_is_named() {
        let env = |name: &str| (name == "A").then(|| "${B}".to_owned());
        assert_eq!(fill("x${A}y$${A}$", &env).unwrap(), "x${B}y${A}$");
        assert!(fill("${B}", &env).unwrap_err().what.contains('B'));
        for bad in ["${", "${}", "${A", "${1}", "${a b}"] {
            assert_eq!(fill(bad, &env).unwrap_err().what, "not a variable", "{bad}");
        }
    }
}
