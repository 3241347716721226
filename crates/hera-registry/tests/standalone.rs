//! The verbs over a real folder, also as several processes would use it: each open is one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hera_registry::{Error, KeyChange, KnownEndpoint, NewKey, NewToken, Standalone, TokenText};

const NOW: u64 = 1_800_000_000;

fn folder() -> (tempfile::TempDir, Standalone) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Standalone::open(&dir.path().join("data"), None).unwrap();
    (dir, registry)
}

fn data(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("data")
}

fn token(name: &str) -> NewToken {
    NewToken { name: name.into(), allow: vec!["GET /0/**".into()], ..NewToken::default() }
}

fn key(name: &str, serve: &[&str]) -> NewKey {
    NewKey { name: name.into(), serve: serve.iter().map(|&text| text.into()).collect(), ..NewKey::default() }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn first_open_makes_a_private_folder_and_the_second_changes_nothing() {
    let (dir, first) = folder();
    let (admin, cluster) = (first.admin_token().unwrap(), first.cluster_key().identity_public());

    let second = Standalone::open(&data(&dir), None).unwrap();

    assert!(second.admin_token().unwrap().matches(&admin.expose()));
    assert_eq!(second.cluster_key().identity_public(), cluster);
    assert_eq!(mode(&data(&dir)), 0o700);
    for entry in fs::read_dir(data(&dir)).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn folder_that_is_not_there_is_not_made_by_a_verb_that_reads() {
    let dir = tempfile::tempdir().unwrap();

    assert_eq!(code(Standalone::open_existing(&dir.path().join("typo"), None)), "io");

    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let (dir, registry) = folder();

    chmod(&data(&dir).join("admin.token"), 0o644);
    assert_eq!(code(registry.admin_token()), "wrong_mode");

    chmod(&data(&dir).join("cluster.key"), 0o640);
    assert_eq!(code(Standalone::open(&data(&dir), None)), "wrong_mode");
}

#[test]
fn given_cluster_key_is_used_and_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared.key");
    let shared = hera_registry::ClusterKey::generate();
    shared.write(&path).unwrap();

    let registry = Standalone::open(&data(&dir), Some(&path)).unwrap();

    assert_eq!(registry.cluster_key().identity_public(), shared.identity_public());
    assert!(!data(&dir).join("cluster.key").exists());
    assert_eq!(code(Standalone::open(&data(&dir), Some(&dir.path().join("none")))), "no_cluster_key");
}

#[test]
fn lost_cluster_key_is_not_replaced_where_records_need_it() {
    let (dir, registry) = folder();
    registry.create_token(token("ads"), NOW).unwrap();

    fs::remove_file(data(&dir).join("cluster.key")).unwrap();

    assert_eq!(code(Standalone::open(&data(&dir), None)), "corrupt");
    assert!(!data(&dir).join("cluster.key").exists());
}

#[test]
fn second_broker_of_a_folder_is_refused_until_the_first_is_gone() {
    let (dir, registry) = folder();
    let first = registry.lock_for_broker().unwrap();
    let other = Standalone::open(&data(&dir), None).unwrap();

    assert_eq!(code(other.lock_for_broker()), "in_use");
    other.create_token(token("ads"), NOW).unwrap();

    drop(first);
    other.lock_for_broker().unwrap();
}

#[test]
fn token_is_found_by_its_text_with_its_rights() {
    let (_dir, registry) = folder();
    let new = NewToken {
        rate: Some("100/s".into()),
        expires: Some("30d".into()),
        labels: [("team".to_owned(), "ads".to_owned())].into(),
        ..token("ads")
    };

    let text = registry.create_token(new, NOW).unwrap().text.unwrap();

    let snapshot = registry.load_snapshot().unwrap();
    let read = TokenText::parse(text.expose().as_bytes()).unwrap();
    let record = &snapshot.tokens[&read.digest()];
    assert_eq!((record.name.as_str(), record.id.as_str()), ("ads", text.id()));
    assert!(record.allows("GET", "/0/x") && !record.allows("POST", "/0/x") && !record.allows("GET", "/1"));
    assert_eq!(record.rate.unwrap().to_string(), "100/s");
    assert_eq!(record.expires, Some(NOW + 30 * 86_400));
    assert_eq!(record.labels["team"], "ads");
}

#[test]
fn token_text_is_nowhere_in_the_folder() {
    let (dir, registry) = folder();
    let text = registry.create_token(token("ads"), NOW).unwrap().text.unwrap();
    let key = registry.create_key(key("ads", &[]), NOW).unwrap().key;

    for entry in fs::read_dir(data(&dir)).unwrap() {
        let content = String::from_utf8(fs::read(entry.unwrap().path()).unwrap()).unwrap();
        assert!(!content.contains(&text.expose()[21..]));
        assert!(!content.contains(&key.to_text()[24..88]));
    }
}

#[test]
fn names_are_unique_among_tokens_and_among_keys() {
    let (_dir, registry) = folder();
    registry.create_token(token("ads"), NOW).unwrap();
    registry.create_key(key("ads", &["/0/ads/**"]), NOW).unwrap();

    assert_eq!(code(registry.create_token(token("ads"), NOW)), "name_taken");
    assert_eq!(code(registry.create_key(key("ads", &["/0/ads/**"]), NOW)), "name_taken");
}

#[test]
fn refused_wishes_write_nothing() {
    let (_dir, registry) = folder();
    registry.create_key(key("ads", &["/0/ads/**"]), NOW).unwrap();
    let stamp = registry.stamp();

    let bad = |change: fn(&mut NewToken)| {
        let mut new = token("x");
        change(&mut new);
        code(registry.create_token(new, NOW))
    };
    assert_eq!(bad(|new| new.name = "a b".into()), "bad_name");
    assert_eq!(bad(|new| new.allow = vec!["GET".into()]), "bad_scope");
    assert_eq!(bad(|new| new.rate = Some("fast".into())), "bad_rate");
    assert_eq!(bad(|new| new.expires = Some("later".into())), "bad_expiry");
    assert_eq!(code(registry.create_key(key("shop", &["0/x"]), NOW)), "bad_prefix");
    assert_eq!(code(registry.create_key(key("shop", &["/0/**"]), NOW)), "prefix_owned");
    assert_eq!(code(registry.revoke_token("nobody")), "not_found");
    assert_eq!(code(registry.rotate_key("nobody", NOW)), "not_found");

    assert!(!registry.changed_since(&stamp));
}

#[test]
fn revoked_token_is_gone_by_name_and_by_id() {
    let (_dir, registry) = folder();
    let id = registry.create_token(token("a"), NOW).unwrap().record.id;
    registry.create_token(token("b"), NOW).unwrap();

    assert_eq!(registry.revoke_token(&id).unwrap().name, "a");
    assert_eq!(registry.revoke_token("b").unwrap().name, "b");

    assert!(registry.load_snapshot().unwrap().tokens.is_empty());
}

#[test]
fn rotated_token_keeps_its_rights_and_the_old_text_ends() {
    let (_dir, registry) = folder();
    let old = registry.create_token(NewToken { expires: Some("1d".into()), ..token("ads") }, NOW).unwrap();

    let new = registry.rotate_token("ads", NOW + 1_000).unwrap();

    let snapshot = registry.load_snapshot().unwrap();
    assert!(!snapshot.tokens.contains_key(&old.text.unwrap().digest()));
    let record = &snapshot.tokens[&new.text.unwrap().digest()];
    assert!(record.allows("GET", "/0/x"));
    assert_eq!(record.expires, Some(NOW + 1_000 + 86_400));
    assert_ne!(record.id, old.record.id);
}

#[test]
fn anonymous_record_has_no_token_and_exists_once() {
    let (_dir, registry) = folder();
    let anonymous = || NewToken { anonymous: true, allow: vec!["GET /0/**".into()], ..NewToken::default() };

    assert!(registry.create_token(anonymous(), NOW).unwrap().text.is_none());

    assert_eq!(code(registry.create_token(anonymous(), NOW)), "name_taken");
    assert_eq!(code(registry.rotate_token("anonymous", NOW)), "bad_name");
    assert!(registry.load_snapshot().unwrap().anonymous.unwrap().allows("GET", "/0/x"));
    registry.revoke_token("anonymous").unwrap();
    assert!(registry.load_snapshot().unwrap().anonymous.is_none());
}

#[test]
fn key_lives_through_update_and_rotation() {
    let (_dir, registry) = folder();
    let first = registry.create_key(key("ads", &["/0/ads/**"]), NOW).unwrap();

    let change = KeyChange { call: Some(vec!["GET /1/**".into()]), ..KeyChange::default() };
    let updated = registry.update_key("ads", change).unwrap();
    let second = registry.rotate_key("ads", NOW).unwrap();

    assert_eq!(updated.id, first.record.id);
    let keys = registry.load_snapshot().unwrap().keys;
    assert_eq!(keys.len(), 1);
    let record = &keys[&second.key.id];
    assert!(record.may_call("GET", "/1/x"));
    assert_eq!(record.serve[0].to_string(), "/0/ads/**");
    assert_ne!(second.key.seed, first.key.seed);
    registry.revoke_key("ads").unwrap();
    registry.create_key(key("shop", &["/0/**"]), NOW).unwrap();
}

#[test]
fn change_of_another_process_is_seen_at_once_and_once() {
    let (dir, broker) = folder();
    let snapshot = broker.load_snapshot().unwrap();
    let other = Standalone::open(&data(&dir), None).unwrap();
    assert!(!broker.changed_since(&snapshot.stamp));

    let text = other.create_token(token("ads"), NOW).unwrap().text.unwrap();

    assert!(broker.changed_since(&snapshot.stamp));
    let snapshot = broker.load_snapshot().unwrap();
    assert!(snapshot.tokens.contains_key(&text.digest()));
    assert!(!broker.changed_since(&snapshot.stamp));
}

#[test]
fn no_change_is_lost_when_many_write_at_once() {
    let (dir, registry) = folder();
    let data = data(&dir);

    std::thread::scope(|scope| {
        for writer in 0..8 {
            let data = &data;
            scope.spawn(move || {
                for round in 0..10 {
                    let registry = Standalone::open(data, None).unwrap();
                    registry.create_token(token(&format!("t-{writer}-{round}")), NOW).unwrap();
                }
            });
        }
        // A reader in between never sees half a file.
        for _ in 0..200 {
            assert!(registry.load_snapshot().unwrap().skipped.is_empty());
        }
    });

    assert_eq!(registry.load_snapshot().unwrap().tokens.len(), 80);
}

#[test]
fn of_many_that_want_one_name_one_gets_it() {
    let (dir, _registry) = folder();
    let data = data(&dir);

    let winners: usize = std::thread::scope(|scope| {
        let create = || Standalone::open(&data, None).unwrap().create_token(token("one"), NOW).is_ok();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });

    assert_eq!(winners, 1);
}

#[test]
fn many_first_opens_agree_on_one_cluster_key() {
    let dir = tempfile::tempdir().unwrap();

    let identities: std::collections::HashSet<_> = std::thread::scope(|scope| {
        let open =
            || Standalone::open(&dir.path().join("data"), None).unwrap().cluster_key().identity_public();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(identities.len(), 1);
}

#[test]
fn file_left_by_a_writer_that_died_is_ignored_and_removed() {
    let (dir, registry) = folder();
    registry.create_token(token("ads"), NOW).unwrap();
    let leftover = data(&dir).join(".tokens.json.deadbeef.tmp");
    fs::write(&leftover, r#"{"format":1,"rec"#).unwrap();

    assert_eq!(registry.list_tokens().unwrap().len(), 1);
    let again = Standalone::open(&data(&dir), None).unwrap();

    assert_eq!(again.list_tokens().unwrap().len(), 1);
    assert!(!leftover.exists());
}

#[test]
fn tampered_record_is_skipped_with_a_reason_and_the_others_hold() {
    let (dir, registry) = folder();
    registry.create_token(token("ads"), NOW).unwrap();
    registry.create_token(token("shop"), NOW).unwrap();
    let path = data(&dir).join("tokens.json");
    let content = fs::read_to_string(&path).unwrap();

    fs::write(&path, content.replacen("GET /0/**", "* /**", 1)).unwrap();

    let snapshot = registry.load_snapshot().unwrap();
    let names: Vec<_> = snapshot.tokens.values().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["shop"]);
    assert_eq!(snapshot.skipped.len(), 1);
    assert!(snapshot.skipped[0].contains("record 1"));
}

#[test]
fn record_of_another_cluster_or_list_is_skipped() {
    let (dir, registry) = folder();
    let (foreign_dir, foreign) = folder();
    registry.create_key(key("ads", &[]), NOW).unwrap();
    foreign.create_token(token("intruder"), NOW).unwrap();

    fs::copy(data(&foreign_dir).join("tokens.json"), data(&dir).join("tokens.json")).unwrap();
    let snapshot = registry.load_snapshot().unwrap();
    assert!(snapshot.tokens.is_empty());
    assert_eq!(snapshot.skipped.len(), 1);

    fs::copy(data(&dir).join("keys.json"), data(&dir).join("tokens.json")).unwrap();
    assert_eq!(registry.load_snapshot().unwrap().skipped.len(), 1);
}

#[test]
fn damaged_file_is_an_error_and_is_not_overwritten() {
    let (dir, registry) = folder();
    let path = data(&dir).join("tokens.json");
    fs::write(&path, "{\"format\":1,").unwrap();

    assert_eq!(code(registry.load_snapshot()), "corrupt");
    assert_eq!(code(registry.create_token(token("ads"), NOW)), "corrupt");

    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"format\":1,");
}

#[test]
fn catalogue_outlives_a_restart_and_is_written_only_for_news() {
    let (dir, registry) = folder();
    let declared = [KnownEndpoint {
        endpoint: "GET /0/x".into(),
        timeout_ms: 1_000,
        body_bytes_max: 10,
        idempotent: true,
    }];
    assert!(registry.merge_endpoints("ads", &declared, NOW).unwrap());
    let stamp = registry.stamp();

    assert!(!registry.merge_endpoints("ads", &declared, NOW + 3_600).unwrap());
    assert!(!registry.changed_since(&stamp));

    let again = Standalone::open(&data(&dir), None).unwrap();
    let (catalogue, skipped) = again.load_catalogue().unwrap();
    let entry = catalogue.iter().next().unwrap();
    assert_eq!((entry.service.as_str(), &entry.known, entry.last_seen), ("ads", &declared[0], NOW));
    assert!(skipped.is_empty());
    assert_eq!(again.forget_unseen_endpoints(NOW + 7 * 86_400).unwrap(), 1);
    assert_eq!(code(again.forget_endpoint("GET /0/x")), "not_found");
}

#[test]
fn endpoint_is_forgotten_by_command() {
    let (_dir, registry) = folder();
    let declared =
        [KnownEndpoint { endpoint: "GET /0/x".into(), timeout_ms: 1, body_bytes_max: 0, idempotent: false }];
    registry.merge_endpoints("ads", &declared, NOW).unwrap();

    registry.forget_endpoint("GET /0/x").unwrap();

    assert!(registry.load_catalogue().unwrap().0.is_empty());
}
