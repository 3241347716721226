//! The four places of configuration, put on top of each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Flag;
use super::error::{ConfigError, Origin};
use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::value::Value;

/// What was set so far, by index into [`KEYS`]; a later layer replaces an earlier one.
#[derive(Default)]
pub(super) struct Layers {
    settings: BTreeMap<usize, (Value, Origin)>,
}

impl Layers {
    /// Takes a TOML file whole, or names its first fault.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let whole = Origin::File(path.to_owned(), None);
        let text = fs::read_to_string(path).map_err(|error| ConfigError {
            origin: whole.clone(),
            message: format!("cannot be read: {error}"),
        })?;
        let line = |offset: usize| {
            let before = text.as_bytes().iter().take(offset);
            Origin::File(path.to_owned(), Some(1 + before.filter(|byte| **byte == b'\n').count()))
        };
        let table = DeTable::parse(&text).map_err(|error| ConfigError {
            origin: error.span().map_or(whole, |span| line(span.start)),
            message: format!("not TOML: {}", error.message()),
        })?;
        // The table is sorted by name, and a person reads from the top: so the first fault by place is told.
        let mut first_fault: Option<(usize, String)> = None;
        let mut fault = |offset: usize, message: String| {
            if first_fault.as_ref().is_none_or(|(first, _)| offset < *first) {
                first_fault = Some((offset, message));
            }
        };
        for (section, content) in table.get_ref() {
            let (at, section) = (section.span().start, section.get_ref());
            if !KEYS.iter().any(|key| key.section() == section) {
                fault(at, unknown_section(section, matches!(content.get_ref(), DeValue::Table(_))));
                continue;
            }
            let DeValue::Table(content) = content.get_ref() else {
                fault(at, format!("{section} is a section: write [{section}], and its keys below"));
                continue;
            };
            for (name, value) in content {
                let at = name.span().start;
                let name = format!("{section}.{}", name.get_ref());
                match index(&name) {
                    Some(index) => drop(self.settings.insert(index, (read(value.get_ref()), line(at)))),
                    None => fault(at, unknown(&name, str::to_owned)),
                }
            }
        }
        match first_fault {
            None => Ok(()),
            Some((offset, message)) => Err(ConfigError { origin: line(offset), message }),
        }
    }

    /// Takes `HERA_SECTION__KEY`; other names are somebody else's.
    pub(super) fn add_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let ours = |name: &str| name.strip_prefix("HERA_").is_some_and(|rest| rest.contains("__"));
        // Sorted, so that of two faults the same one is told every time.
        let sorted: BTreeMap<String, String> =
            environment.into_iter().filter(|(name, _)| ours(name)).collect();
        for (name, value) in sorted {
            let origin = Origin::Environment(name.clone());
            match KEYS.iter().position(|key| variable(key.name) == name) {
                Some(index) => drop(self.settings.insert(index, (Value::Plain(value), origin))),
                None => {
                    let key = name["HERA_".len()..].to_lowercase().replacen("__", ".", 1);
                    return Err(ConfigError { origin, message: unknown(&key, variable) });
                }
            }
        }
        Ok(())
    }

    /// Takes flags; the last of two for one key holds.
    pub(super) fn add_flags(&mut self, flags: Vec<Flag>) -> Result<(), ConfigError> {
        for flag in flags {
            let origin = Origin::Flag(flag.name);
            match index(flag.key) {
                Some(index) => drop(self.settings.insert(index, (Value::Plain(flag.value), origin))),
                None => return Err(ConfigError { origin, message: unknown(flag.key, str::to_owned) }),
            }
        }
        Ok(())
    }

    /// What holds, in the order of [`KEYS`].
    pub(super) fn into_settings(self) -> impl Iterator<Item = (&'static Key, (Value, Origin))> {
        self.settings.into_iter().map(|(index, setting)| (&KEYS[index], setting))
    }
}

fn index(name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.name == name)
}

/// `http.listen` as `HERA_HTTP__LISTEN`.
fn variable(key: &str) -> String {
    format!("HERA_{}", key.replacen('.', "__", 1).to_uppercase())
}

fn unknown(name: &str, written: impl Fn(&str) -> String) -> String {
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(meant) => format!("unknown key {name}; did you mean {}?", written(meant)),
        None => format!("unknown key {name}; `hera config show` lists all keys"),
    }
}

fn unknown_section(name: &str, is_table: bool) -> String {
    if !is_table {
        // A key outside any section: its name alone may tell which one was meant.
        let meant = KEYS.iter().find(|key| key.name.ends_with(&format!(".{name}")) || key.name == name);
        return match meant {
            Some(key) => format!("unknown key {name}; did you mean {}?", key.name),
            None => unknown(name, str::to_owned),
        };
    }
    match nearest(name, KEYS.iter().map(Key::section)) {
        Some(meant) => format!("unknown section [{name}]; did you mean [{meant}]?"),
        None => format!("unknown section [{name}]; `hera config show` lists all keys"),
    }
}

fn read(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that does not fit 64 bits"), Value::Integer),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts
                .collect::<Option<_>>()
                .map_or(Value::Other("a list of other things than texts"), Value::List)
        }
    }
}
