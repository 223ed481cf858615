//! URI templates (`/videos/{id}/*`): to match a path, and to build one from what was captured.
//!
//! The grammar is that of Envoy 1.40 (`envoy.path.match.uri_template`): segments between slashes, each a literal, `*` (one segment),
//! `**` (any number of them) or `{name}` / `{name=pattern}`. A literal may stand directly before a variable, and after the last
//! operator or variable of the path.

use regex::bytes::RegexBuilder;

use crate::config::route::{PathTemplate, TemplatePart};

/// Envoy's limit for the length of a template.
const LONGEST_TEMPLATE: usize = 256;

/// Envoy's limit for the number of variables.
const MOST_VARIABLES: usize = 5;

/// Envoy's limit for the name of a variable.
const LONGEST_VARIABLE: usize = 16;

/// What `*` takes: the characters of a path segment (RFC 3986, pchar).
const ONE_SEGMENT: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=*]+";

/// What `**` takes.
const ANY_SEGMENTS: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=*/]*";

/// Parses a template that paths are matched with.
pub fn pattern(template: &str) -> Result<PathTemplate, String> {
    let mut builder = Builder::default();
    let mut rest = rooted(template)?;
    builder.regex.push('/');
    // What is left after a slash is a segment, which may be empty only at the end of the path.
    while !rest.is_empty() {
        rest = builder.segment(rest)?;
        let Some(next) = rest.strip_prefix('/') else {
            builder.suffix(rest)?;
            break;
        };
        builder.regex.push('/');
        rest = next;
    }
    let regex = RegexBuilder::new(&format!("^(?:{})$", builder.regex)).unicode(false).build();
    let regex = regex.map_err(|error| error.to_string())?;
    Ok(PathTemplate { regex, variables: builder.variables })
}

/// Parses a template that a path is built from, out of the variables of the one that it was matched with.
pub fn rewrite(template: &str, matched: &PathTemplate) -> Result<Vec<TemplatePart>, String> {
    rooted(template)?;
    if template.contains("//") {
        return Err(format!("{template:?} has an empty segment"));
    }
    let mut parts = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (part, after) = match rest.strip_prefix('{') {
            Some(variable) => {
                let (name, after) = variable.split_once('}').ok_or_else(|| format!("{rest:?} has no closing brace"))?;
                let index = matched.variables.iter().position(|variable| variable == name);
                let index = index.ok_or_else(|| format!("the path's template has no variable {name:?}"))?;
                (TemplatePart::Capture(index), after)
            }
            None => {
                let (text, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                if let Some(bad) = text.chars().find(|character| !is_literal(*character) && *character != '/') {
                    return Err(format!("{text:?}: {bad:?} cannot stand in a path template"));
                }
                (TemplatePart::Literal(text.to_owned()), after)
            }
        };
        parts.push(part);
        rest = after;
    }
    Ok(parts)
}

fn rooted(template: &str) -> Result<&str, String> {
    if template.len() > LONGEST_TEMPLATE {
        return Err(format!("{} bytes are more than {LONGEST_TEMPLATE}", template.len()));
    }
    template.strip_prefix('/').ok_or_else(|| format!("{template:?} must begin with '/'"))
}

/// Builds the expression of a template from left to right.
#[derive(Debug, Default)]
struct Builder {
    regex: String,
    variables: Vec<String>,
    /// `**` was there: only literals may follow.
    open_ended: bool,
}

impl Builder {
    /// Takes one segment, returns what follows it.
    fn segment<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        if let Some(rest) = text.strip_prefix("**") {
            self.operator("**")?;
            return Ok(rest);
        }
        if let Some(rest) = text.strip_prefix('*') {
            self.operator("*")?;
            return Ok(rest);
        }
        let end = text.find(['/', '{']).unwrap_or(text.len());
        let (literal, rest) = text.split_at(end);
        match rest.strip_prefix('{') {
            Some(variable) => {
                if !literal.is_empty() {
                    self.literal(literal)?;
                }
                let (variable, rest) = variable.split_once('}').ok_or_else(|| format!("{rest:?} has no closing brace"))?;
                self.variable(variable)?;
                Ok(rest)
            }
            None => {
                self.literal(literal)?;
                Ok(rest)
            }
        }
    }

    fn operator(&mut self, operator: &str) -> Result<(), String> {
        if self.open_ended {
            return Err(format!("{operator:?} cannot follow '**'"));
        }
        self.open_ended = operator == "**";
        self.regex.push_str(if self.open_ended { ANY_SEGMENTS } else { ONE_SEGMENT });
        Ok(())
    }

    fn variable(&mut self, text: &str) -> Result<(), String> {
        let (name, pattern) = match text.split_once('=') {
            Some((_, "")) => return Err(format!("{text:?} has nothing after '='")),
            Some((name, pattern)) => (name, pattern),
            None => (text, "*"),
        };
        self.name(name)?;
        self.regex.push('(');
        for (index, segment) in pattern.split('/').enumerate() {
            if index > 0 {
                self.regex.push('/');
            }
            match segment {
                "*" | "**" => self.operator(segment)?,
                literal => self.literal(literal)?,
            }
        }
        self.regex.push(')');
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let letters = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !starts || !letters || name.len() > LONGEST_VARIABLE {
            return Err(format!("{name:?} must be a letter and at most {} letters, digits, '_'", LONGEST_VARIABLE - 1));
        }
        if self.variables.iter().any(|known| known == name) {
            return Err(format!("the variable {name:?} is there twice"));
        }
        if self.variables.len() == MOST_VARIABLES {
            return Err(format!("more than {MOST_VARIABLES} variables"));
        }
        self.variables.push(name.to_owned());
        Ok(())
    }

    fn suffix(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() { Ok(()) } else { self.literal(text) }
    }

    fn literal(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err("has an empty segment".to_owned());
        }
        if text.contains('*') {
            return Err(format!("{text:?}: '*' must be a segment of its own, or begin one"));
        }
        if let Some(bad) = text.chars().find(|character| !is_literal(*character)) {
            return Err(format!("{text:?}: {bad:?} cannot stand in a path template"));
        }
        self.regex.push_str(&regex::escape(text));
        Ok(())
    }
}

fn is_literal(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@=*".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(template: &str, path: &str) -> bool {
        pattern(template).unwrap().regex.is_match(path.as_bytes())
    }

    fn refused(template: &str) -> String {
        pattern(template).unwrap_err()
    }

    #[test]
    fn a_star_is_one_segment() {
        assert!(fits("/a/*", "/a/b"));
        assert!(!fits("/a/*", "/a/b/c"));
        assert!(!fits("/a/*", "/a/"));
        assert!(fits("/a/*.m4s", "/a/x.m4s"));
        assert!(!fits("/a/*.m4s", "/a/x/y.m4s"));
    }

    #[test]
    fn two_stars_are_any_number_of_segments() {
        for path in ["/a/x/b", "/a//b", "/a/q/b/b"] {
            assert!(fits("/a/**/b", path), "{path}");
        }
        assert!(!fits("/a/**/b", "/a/b"));
        assert!(fits("/**", "/"));
        assert!(!fits("/a/**", "/a"));
    }

    #[test]
    fn variables_capture() {
        let template = pattern("/{kind}/pre{id=v/*}/**").unwrap();
        assert_eq!(template.variables, ["kind", "id"]);
        let captures = template.regex.captures(b"/a/prev/7/x/y").unwrap();
        assert_eq!(&captures[1], b"a");
        assert_eq!(&captures[2], b"v/7");
        assert!(fits("/a/{x}.json", "/a/x.json"));
        assert!(fits("/{a=b/*/c/**}/x", "/b/1/c/2/x"));
    }

    #[test]
    fn a_trailing_slash_counts() {
        assert!(fits("/a/", "/a/"));
        assert!(!fits("/a/", "/a"));
        assert!(fits("/", "/"));
    }

    #[test]
    fn wrong_templates_are_refused() {
        assert_eq!(refused("a"), r#""a" must begin with '/'"#);
        assert_eq!(refused("/a//b"), "has an empty segment");
        assert_eq!(refused("/a/**/*"), r#""*" cannot follow '**'"#);
        assert_eq!(refused("/a/**/{x}"), r#""*" cannot follow '**'"#);
        assert_eq!(refused("/{a=}"), r#""a=" has nothing after '='"#);
        assert_eq!(refused("/{a"), r#""{a" has no closing brace"#);
        assert_eq!(refused("/{a}/{a}"), r#"the variable "a" is there twice"#);
        assert_eq!(refused("/{a}/{b}/{c}/{d}/{e}/{f}"), "more than 5 variables");
        assert_eq!(refused("/{1a}"), r#""1a" must be a letter and at most 15 letters, digits, '_'"#);
        assert_eq!(refused("/a?b"), r#""a?b": '?' cannot stand in a path template"#);
        assert_eq!(refused("/{x}{y}"), r#""{y}": '{' cannot stand in a path template"#);
        assert_eq!(refused("/b*"), r#""b*": '*' must be a segment of its own, or begin one"#);
        assert_eq!(refused(&format!("/{}", "a".repeat(256))), "257 bytes are more than 256");
    }

    #[test]
    fn a_path_is_built_from_captures() {
        let matched = pattern("/{a}/{b}").unwrap();
        let literal = |text: &str| TemplatePart::Literal(text.to_owned());
        assert_eq!(
            rewrite("/x/{b}-{a}", &matched).unwrap(),
            [literal("/x/"), TemplatePart::Capture(1), literal("-"), TemplatePart::Capture(0)]
        );
        assert_eq!(rewrite("/{c}", &matched).unwrap_err(), r#"the path's template has no variable "c""#);
        assert_eq!(rewrite("b{a}", &matched).unwrap_err(), r#""b{a}" must begin with '/'"#);
        assert_eq!(rewrite("/x/{a", &matched).unwrap_err(), r#""{a" has no closing brace"#);
        assert_eq!(rewrite("/x//y", &matched).unwrap_err(), r#""/x//y" has an empty segment"#);
        assert_eq!(rewrite("/x?y", &matched).unwrap_err(), r#""/x?y": '?' cannot stand in a path template"#);
    }
}
