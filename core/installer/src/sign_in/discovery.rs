//! From a provisioning API's address to the endpoints of whoever issues its tokens (RFC 9728, RFC 8414, OpenID Connect
//! Discovery).

use serde::Deserialize;
use url::Url;

use super::http::Http;
use crate::error::{ErrorCode, PairingError};

/// Everything that signing in at one provisioning API needs.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// The provisioning API.
    pub(super) api: Url,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) token_endpoint: Url,
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) device_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// Only where the API is its own authorization server.
    pub(super) invite_endpoint: Option<Url>,
    /// Whether the redirect names the issuer (RFC 9207).
    pub(super) says_iss: bool,
}

/// RFC 9728, section 2, and our own field.
#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    /// What apps are called at the first issuer.
    lowtouch_client_id: Option<String>,
    /// The same, for each issuer.
    #[serde(default)]
    lowtouch_clients: Vec<Client>,
}

#[derive(Deserialize)]
struct Client {
    issuer: String,
    client_id: String,
    #[serde(default)]
    scopes: Vec<String>,
}

/// At which of several issuers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// The one that the API names first: the company's own, where there is one.
    First,
    /// The API itself, which made the invite.
    Api,
}

/// RFC 8414, section 2.
#[derive(Deserialize)]
struct Issuer {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    /// Our own: where an invite is redeemed.
    lowtouch_invite_endpoint: Option<String>,
}

/// Asks the API who issues its tokens, and that issuer for its endpoints.
pub(super) async fn discover(http: &Http, api: &Url, at: At) -> Result<Server, PairingError> {
    let resource: Resource =
        http.document(&well_known(api, "oauth-protected-resource")).await?.ok_or(ErrorCode::SignInUnsupported)?;
    if !same(&resource.resource, api) {
        // An answer about another server would send its tokens here (RFC 9728, 3.3).
        return Err(wrong(format!("the server calls itself {}", clean(&resource.resource))));
    }
    let is_own = |issuer: &str| Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == api.origin());
    let servers = &resource.authorization_servers;
    let name = match at {
        At::First => servers.first().ok_or_else(|| wrong("no authorization server is named"))?,
        At::Api => servers.iter().find(|server| is_own(server)).ok_or(ErrorCode::SignInNotOffered)?,
    };
    let issuer = https("issuer", name)?;
    let own = is_own(name);
    let client = resource.lowtouch_clients.into_iter().find(|client| client.issuer == *name);
    let (client_id, more) = match client {
        Some(client) => (Some(client.client_id), client.scopes),
        None if Some(name) == servers.first() => (resource.lowtouch_client_id, resource.scopes_supported),
        None => (None, Vec::new()),
    };
    let oauth = well_known(&issuer, "oauth-authorization-server");
    let openid = Url::parse(&format!("{}/.well-known/openid-configuration", name.trim_end_matches('/')))
        .map_err(|_| wrong("the issuer is no address"))?;
    let [first, second] = if own { [oauth, openid] } else { [openid, oauth] };
    let metadata: Issuer = match http.document(&first).await? {
        Some(metadata) => metadata,
        None => http.document(&second).await?.ok_or_else(|| wrong(format!("{} says nothing", clean(name))))?,
    };
    if metadata.issuer != *name {
        return Err(wrong(format!("{} calls itself {}", clean(name), clean(&metadata.issuer))));
    }
    if metadata.code_challenge_methods_supported.is_some_and(|methods| methods.iter().all(|method| method != "S256")) {
        return Err(wrong("PKCE with S256 is not supported"));
    }
    let optional = |what: &str, text: Option<String>| text.map(|text| https(what, &text)).transpose();
    let scopes = if own { Vec::new() } else { vec!["openid".to_owned(), "offline_access".to_owned()] };
    let more = more.into_iter().filter(|scope| !scopes.contains(scope)).collect::<Vec<_>>();
    Ok(Server {
        api: api.clone(),
        issuer: metadata.issuer,
        client_id: client_id.ok_or_else(|| wrong("no client ID is named for its authorization server"))?,
        scopes: scopes.into_iter().chain(more).collect(),
        token_endpoint: https("token endpoint", &metadata.token_endpoint)?,
        authorization_endpoint: optional("authorization endpoint", metadata.authorization_endpoint)?,
        device_endpoint: optional("device endpoint", metadata.device_authorization_endpoint)?,
        revocation_endpoint: optional("revocation endpoint", metadata.revocation_endpoint)?,
        invite_endpoint: optional("invite endpoint", metadata.lowtouch_invite_endpoint)?,
        says_iss: metadata.authorization_response_iss_parameter_supported,
    })
}

/// The well-known address of RFC 8615 goes between host and path (RFC 8414, 3.1; RFC 9728, 3.1).
fn well_known(of: &Url, name: &str) -> Url {
    let mut url = of.clone();
    let path = of.path().trim_end_matches('/');
    url.set_path(&format!("/.well-known/{name}{path}"));
    url.set_query(None);
    url
}

fn https(what: &str, text: &str) -> Result<Url, PairingError> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() && url.username().is_empty() => Ok(url),
        Ok(_) => Err(wrong(format!("the {what} is not an https address"))),
        Err(_) => Err(wrong(format!("the {what} is no address"))),
    }
}

fn same(text: &str, api: &Url) -> bool {
    Url::parse(text).is_ok_and(|url| url.as_str().trim_end_matches('/') == api.as_str().trim_end_matches('/'))
}

fn wrong(why: impl Into<String>) -> PairingError {
    PairingError::with_detail(ErrorCode::SignInMetadataInvalid, why)
}

/// A server's words, fit for a line of an error.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path() {
        for (of, expected) in [
            ("https://a.example", "https://a.example/.well-known/x"),
            ("https://a.example:8443/", "https://a.example:8443/.well-known/x"),
            ("https://a.example/t/v2.0", "https://a.example/.well-known/x/t/v2.0"),
        ] {
            assert_eq!(well_known(&of.parse().unwrap(), "x").as_str(), expected);
        }
    }
}
