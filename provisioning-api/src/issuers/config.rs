//! `[[issuer]]` in TOML: whose tokens are accepted, and what is read from them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use crate::config::ConfigError;
use crate::role::Role;

/// Whose tokens are accepted, and what is read from them.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The `iss` of its tokens, letter by letter; its metadata is at `/.well-known/openid-configuration` below it.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audience: Vec<String>,
    /// The client ID that our app has there.
    pub client_id: String,
    /// What our app asks for at the authorization endpoint.
    pub scopes: Vec<String>,
    /// The claim with roles, by name or path.
    pub role_claim: String,
    /// What of it is which role here, the mightiest first.
    pub roles: Vec<(String, Role)>,
    /// Whose devices its accounts see.
    pub tenant: IssuerTenant,
    /// The claim with a person's name.
    pub name_claim: String,
    /// Roots (PEM) beside the system's, for this issuer only.
    pub ca_pem: Option<String>,
}

/// Whose devices an issuer's accounts see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerTenant {
    /// Every tenant's: the issuer is the operator's own.
    All,
    /// This one's.
    Named(String),
    /// The one that this claim names.
    Claim(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    issuer: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    audience: OneOrMore,
    client_id: String,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default = "default_role_claim")]
    role_claim: String,
    /// By what stands in the claim.
    roles: BTreeMap<String, String>,
    tenant: Option<String>,
    tenant_claim: Option<String>,
    #[serde(default)]
    all_tenants: bool,
    #[serde(default = "default_name_claim")]
    name_claim: String,
    ca_file: Option<std::path::PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// `offline_access` is what gives a refresh token (OpenID Connect Core, 11).
fn default_scopes() -> Vec<String> {
    ["openid", "offline_access"].map(str::to_owned).to_vec()
}

fn default_role_claim() -> String {
    "roles".into()
}

fn default_name_claim() -> String {
    "name".into()
}

/// Reads issuers from TOML, one `[[issuer]]` each: `issuer`, `audience` (one or a list), `client_id` and `roles` are required,
/// and one of `tenant`, `tenant_claim` and `all_tenants = true`; `scopes`, `role_claim`, `name_claim` have defaults; `ca_file`,
/// relative to the TOML file, is for an issuer whose certificate a company's own CA signed.
///
/// # Errors
/// [`ConfigError`]: a file that cannot be read, is malformed, or names an impossible issuer.
pub fn read_issuers(path: &Path) -> Result<Vec<IssuerConfig>, ConfigError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })
    };
    let file: File = toml::from_str(&read(path)?)
        .map_err(|source| ConfigError::Malformed { path: path.into(), source: Box::new(source) })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let resolve = |entry: Entry| {
        let name = entry.issuer.clone();
        let wrong = |reason| ConfigError::Issuer { name: name.clone(), reason };
        let tenant = match (entry.tenant, entry.tenant_claim, entry.all_tenants) {
            (Some(name), None, false) => IssuerTenant::Named(name),
            (None, Some(claim), false) => IssuerTenant::Claim(claim),
            (None, None, true) => IssuerTenant::All,
            _ => return Err(wrong("give one of tenant, tenant_claim and all_tenants = true")),
        };
        let mut roles = Vec::new();
        for (value, role) in entry.roles {
            let role = Role::parse(&role).ok_or_else(|| wrong("a role is installer, administrator or auditor"))?;
            roles.push((value, role));
        }
        // Who has several gets the mightiest.
        roles.sort_by_key(|(_, role)| match role {
            Role::Administrator => 0,
            Role::Installer => 1,
            _ => 2,
        });
        let config = IssuerConfig {
            audience: match entry.audience {
                OneOrMore::One(audience) => vec![audience],
                OneOrMore::More(audience) => audience,
            },
            issuer: entry.issuer,
            client_id: entry.client_id,
            scopes: entry.scopes,
            role_claim: entry.role_claim,
            roles,
            tenant,
            name_claim: entry.name_claim,
            ca_pem: entry.ca_file.map(|file| read(&folder.join(file))).transpose()?,
        };
        config.check()?;
        Ok(config)
    };
    file.issuer.into_iter().map(resolve).collect()
}

impl IssuerConfig {
    /// Whether it can work at all.
    ///
    /// # Errors
    /// [`ConfigError::Issuer`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |reason| Err(ConfigError::Issuer { name: self.issuer.clone(), reason });
        let url = Url::parse(&self.issuer).ok();
        let https = |url: &Url| url.scheme() == "https" && url.host_str().is_some();
        if !url.is_some_and(|url| https(&url) && url.query().is_none() && url.fragment().is_none()) {
            return wrong("issuer must be an https URL without query and fragment");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            return wrong("audience must not be empty");
        }
        // An ID token's audience is the client: it says who signed in to the app, and is no key to this API.
        if self.audience.contains(&self.client_id) {
            return wrong("audience must not be the client_id, or ID tokens would be taken for access tokens");
        }
        if self.roles.is_empty() || self.roles.iter().any(|(_, role)| *role == Role::Device) {
            return wrong("roles must name at least one role");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[issuer]]
        issuer = "https://sso.example/realms/field"
        audience = "lowtouch-api"
        client_id = "lowtouch"
        role_claim = "realm_access.roles"
        roles = { "field-engineer" = "installer", "fleet-admin" = "administrator" }
        tenant = "default"
    "#;

    fn read(text: &str) -> Result<Vec<IssuerConfig>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("issuers.toml");
        std::fs::write(&file, text).unwrap();
        read_issuers(&file).map_err(|error| match error {
            ConfigError::Issuer { reason, .. } => reason.to_owned(),
            other => format!("{other}"),
        })
    }

    #[test]
    fn an_issuer_is_read_and_the_mightiest_role_comes_first() {
        let issuers = read(GOOD).unwrap();
        assert_eq!(issuers[0].roles[0], ("fleet-admin".into(), Role::Administrator));
        assert_eq!(issuers[0].tenant, IssuerTenant::Named("default".into()));
        assert_eq!(issuers[0].scopes, ["openid", "offline_access"]);
    }

    #[test]
    fn an_issuer_that_cannot_be_right_is_refused() {
        for (good, bad, reason) in [
            ("https://sso", "http://sso", "https"),
            ("\"lowtouch-api\"", "[]", "audience"),
            ("\"lowtouch-api\"", "\"lowtouch\"", "client_id"),
            ("tenant = \"default\"", "", "one of tenant"),
            ("tenant = \"default\"", "tenant = \"a\"\nall_tenants = true", "one of tenant"),
            ("\"installer\"", "\"king\"", "a role is"),
            ("tenant = ", "tenent = ", "issuers.toml"),
        ] {
            let error = read(&GOOD.replace(good, bad)).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}
