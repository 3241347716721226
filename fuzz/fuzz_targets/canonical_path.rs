//! Canonical paths: what is accepted has one spelling and one meaning, and what is in a scope leads nowhere else.

#![no_main]

#[path = "../../crates/hera-route/tests/escape/careless.rs"]
mod careless;
#[path = "../../crates/hera-route/tests/canonical/form.rs"]
mod form;

use careless::{Habit, lands};
use hera_route::{Endpoint, Lookup, Scope, Table, TableBuilder, canonical};
use libfuzzer_sys::fuzz_target;
use std::borrow::Cow;
use std::sync::LazyLock;

static SCOPE: LazyLock<Scope> = LazyLock::new(|| Scope::parse("GET /0/public/**").unwrap());

static TABLE: LazyLock<Table<bool>> = LazyLock::new(|| {
    let mut builder = TableBuilder::new();
    for pattern in ["/0/public", "/0/public/{*rest}", "/0/public/{id}/keys"] {
        builder.insert(&Endpoint::parse(&format!("GET {pattern}")).unwrap(), true);
    }
    for pattern in ["/0/secret", "/0/secret/{*rest}", "/0/{area}/secret", "/{*rest}", "/0/..;/{*rest}"] {
        builder.insert(&Endpoint::parse(&format!("GET {pattern}")).unwrap(), false);
    }
    builder.build()
});

fuzz_target!(|raw: &[u8]| {
    let Ok(path) = canonical(raw) else { return };
    assert!(matches!(canonical(path.as_bytes()), Ok(Cow::Borrowed(same)) if same == path), "{path}");
    form::check(raw, &path);

    if SCOPE.allows("GET", &path) {
        assert!(matches!(TABLE.lookup("GET", &path), Lookup::Found { value: true, .. }), "{path}");
        let is_public = |served: &[u8]| served == b"/0/public" || served.starts_with(b"/0/public/");
        assert!(is_public(&lands(path.as_bytes(), &[])), "{path}");
        for habit in Habit::ALL {
            let served = lands(path.as_bytes(), &[habit]);
            assert!(is_public(&served) || habit.finds_something_in(&path), "{path} {habit:?}");
        }
    }
    same_everywhere(raw, &path);
});

/// A scope and an endpoint that are written like a path are for that path.
fn same_everywhere(raw: &[u8], path: &str) {
    let Ok(text) = std::str::from_utf8(raw) else { return };
    if let Ok(scope) = Scope::parse(&format!("GET {text}"))
        && !text.contains('*')
    {
        assert!(scope.allows("GET", path), "{text}");
    }
    if let Ok(endpoint) = Endpoint::parse(&format!("GET {text}"))
        && endpoint.pattern().names().next().is_none()
    {
        let mut builder = TableBuilder::new();
        builder.insert(&endpoint, ());
        assert!(matches!(builder.build().lookup("GET", path), Lookup::Found { .. }), "{text}");
    }
}
