//! The verbs on tokens, worker keys and the catalogue. `hera --data-dir` runs the same functions without a broker.

use hera_registry::standalone::{CreatedKey, CreatedToken};
use hera_registry::{Catalogue, Error, KeyChange, NewKey, NewToken, Registry};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{AdminReply, AdminRequest};

/// Answers a request under `/v1/` that concerns the registry alone; who asks was checked before.
pub async fn registry_verb(request: &AdminRequest, registry: &Registry, now_unix: u64) -> AdminReply {
    let path: Vec<&str> = request.path.split('/').skip(2).collect();
    let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
    let reply = match (method, path.as_slice()) {
        ("GET", ["tokens"]) => list_tokens(registry).await,
        ("POST", ["tokens"]) => create_token(request, registry, now_unix).await,
        ("DELETE", ["tokens", name]) => {
            registry.revoke_token(name).await.map(|was| AdminReply::json(200, &was.listing()))
        }
        ("POST", ["tokens", name, "rotate"]) => registry.rotate_token(name, now_unix).await.map(made_token),

        ("GET", ["keys"]) => list_keys(registry).await,
        ("POST", ["keys"]) => create_key(request, registry, now_unix).await,
        ("PATCH", ["keys", name]) => update_key(request, registry, name).await,
        ("DELETE", ["keys", name]) => {
            registry.revoke_key(name).await.map(|was| AdminReply::json(200, &was.listing()))
        }
        ("POST", ["keys", name, "rotate"]) => registry.rotate_key(name, now_unix).await.map(made_key),

        ("GET", ["endpoints"]) => registry.load_catalogue().await.map(|(catalogue, _)| endpoints(&catalogue)),
        ("DELETE", ["endpoints"]) => forget(request, registry).await,

        (_, ["tokens" | "keys"]) => return AdminReply::not_allowed("GET, HEAD, POST"),
        (_, ["tokens", _]) => return AdminReply::not_allowed("DELETE"),
        (_, ["keys", _]) => return AdminReply::not_allowed("PATCH, DELETE"),
        (_, ["tokens" | "keys", _, "rotate"]) => return AdminReply::not_allowed("POST"),
        (_, ["endpoints"]) => return AdminReply::not_allowed("GET, HEAD, DELETE"),
        _ => return AdminReply::error(404, "not_found", "no such path here"),
    };
    reply.unwrap_or_else(|error| refused(&error))
}

async fn list_tokens(registry: &Registry) -> Result<AdminReply, Error> {
    let listings: Vec<_> = registry.list_tokens().await?.iter().map(|record| record.listing()).collect();
    Ok(AdminReply::json(200, &listings))
}

async fn create_token(
    request: &AdminRequest,
    registry: &Registry,
    now_unix: u64,
) -> Result<AdminReply, Error> {
    match body::<NewToken>(request) {
        Ok(new) => registry.create_token(new, now_unix).await.map(made_token),
        Err(refusal) => Ok(refusal),
    }
}

/// `token` is null for the anonymous record, which has none.
fn made_token(made: CreatedToken) -> AdminReply {
    let token = made.text.as_ref().map(|text| text.expose());
    let record = json!({"id": made.record.id, "name": made.record.name, "token": token});
    AdminReply::created(format!("/v1/tokens/{}", made.record.id), &record)
}

async fn list_keys(registry: &Registry) -> Result<AdminReply, Error> {
    let listings: Vec<_> = registry.list_keys().await?.iter().map(|record| record.listing()).collect();
    Ok(AdminReply::json(200, &listings))
}

async fn create_key(request: &AdminRequest, registry: &Registry, now_unix: u64) -> Result<AdminReply, Error> {
    match body::<NewKey>(request) {
        Ok(new) => registry.create_key(new, now_unix).await.map(made_key),
        Err(refusal) => Ok(refusal),
    }
}

async fn update_key(request: &AdminRequest, registry: &Registry, name: &str) -> Result<AdminReply, Error> {
    match body::<KeyChange>(request) {
        Ok(change) => {
            registry.update_key(name, change).await.map(|now| AdminReply::json(200, &now.listing()))
        }
        Err(refusal) => Ok(refusal),
    }
}

fn made_key(made: CreatedKey) -> AdminReply {
    let record = json!({"id": made.record.id, "name": made.record.name, "key": made.key.to_text()});
    AdminReply::created(format!("/v1/keys/{}", made.record.id), &record)
}

fn endpoints(catalogue: &Catalogue) -> AdminReply {
    AdminReply::json(200, &catalogue.iter().collect::<Vec<_>>())
}

async fn forget(request: &AdminRequest, registry: &Registry) -> Result<AdminReply, Error> {
    let pairs = request.query.as_deref().unwrap_or_default().split('&');
    let endpoint = pairs.filter_map(|pair| pair.strip_prefix("endpoint=")).next().and_then(percent_decoded);
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else {
        let detail = "which endpoint? as /v1/endpoints?endpoint=GET%20/0/x";
        return Ok(AdminReply::error(400, "bad_request", detail));
    };
    registry.forget_endpoint(&endpoint).await?;
    Ok(AdminReply::json(200, &json!({"endpoint": endpoint})))
}

fn body<T: DeserializeOwned>(request: &AdminRequest) -> Result<T, AdminReply> {
    serde_json::from_slice(&request.body).map_err(|error| {
        AdminReply::error(400, "bad_request", &format!("the body is not the JSON expected: {error}"))
    })
}

fn refused(error: &Error) -> AdminReply {
    let status = match error.code() {
        "not_found" => 404,
        "name_taken" | "prefix_owned" | "contended" => 409,
        "registry_unavailable" => 503,
        code if code.starts_with("bad_") => 400,
        _ => 500,
    };
    AdminReply::error(status, error.code(), &error.to_string())
}

/// Decodes escapes once; a plus sign is a plus sign, since paths may hold one.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? << 4 | digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}
