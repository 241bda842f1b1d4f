//! A person with a browser, in plain HTTP requests: cookies, redirects, and forms that are sent as they are shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

/// More in a row is a loop.
const MOST_REDIRECTS: usize = 20;

/// A page that is on show, or a redirect out of the provider that was not followed.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Where the page came from.
    pub url: Url,
    /// HTML.
    pub body: String,
    /// Where the browser was sent that is another host or port than the one it began with.
    pub redirect: Option<Url>,
}

/// Trusts one CA and nobody else.
pub struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser without cookies.
    pub fn new(ca_pem: &str) -> Browser {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a root");
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_DEADLINE)
            .no_proxy()
            .build()
            .expect("a client");
        Browser { http, cookies: BTreeMap::new() }
    }

    /// Opens an address and follows redirects on the same host and port.
    pub async fn open(&mut self, url: Url) -> Page {
        self.go(url, None).await
    }

    /// Sends a form and follows redirects on the same host and port.
    pub async fn post(&mut self, url: Url, form: &[(&str, &str)]) -> Page {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.go(url, Some(form)).await
    }

    /// Sends the page's only form, hidden fields as they are, with `filled` in.
    pub async fn submit(&mut self, page: &Page, filled: &[(&str, &str)]) -> Page {
        let action = attribute(tag(&page.body, "form", 0).expect("a form").1, "action").unwrap_or_default();
        let url = page.url.join(&action).expect("the form's address");
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut from = 0;
        while let Some((end, input)) = tag(&page.body, "input", from) {
            from = end;
            if let Some(name) = attribute(input, "name") {
                fields.insert(name, attribute(input, "value").unwrap_or_default());
            }
        }
        fields.extend(filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(url, &form).await
    }

    /// Opens an address of oidc-provider and does what its pages ask for (a name, consent, a device's code that is in
    /// the address) until it is through or sends the browser to the client.
    pub async fn sign_in(&mut self, url: Url, login: &str) -> Page {
        let mut page = self.open(url).await;
        // A name, consent, and the two pages of the device flow.
        for _ in 0..6 {
            if page.redirect.is_some() || tag(&page.body, "form", 0).is_none() {
                break;
            }
            let filled: &[(&str, &str)] =
                if page.body.contains(r#"name="login""#) { &[("login", login), ("password", "any")] } else { &[] };
            page = self.submit(&page, filled).await;
        }
        page
    }

    async fn go(&mut self, mut url: Url, mut form: Option<String>) -> Page {
        let origin = url.origin();
        for _ in 0..MOST_REDIRECTS {
            let mut request = match form.take() {
                Some(form) => {
                    self.http.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(form)
                }
                None => self.http.get(url.clone()),
            };
            if !self.cookies.is_empty() {
                let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                request = request.header(COOKIE, cookies.join("; "));
            }
            let response = request.send().await.expect("an answer");
            for cookie in response.headers().get_all(SET_COOKIE) {
                let cookie = cookie.to_str().expect("a readable cookie");
                let (name, rest) = cookie.split_once('=').expect("a cookie");
                let value = rest.split(';').next().unwrap_or_default();
                if value.is_empty() || rest.to_ascii_lowercase().contains("expires=thu, 01 jan 1970") {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
            let status = response.status();
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location.map(|location| url.join(location).expect("an address")) {
                Some(next) if status.is_redirection() && next.origin() == origin => url = next,
                redirect => {
                    let body = response.text().await.expect("a body");
                    return Page { status: status.as_u16(), url, body, redirect };
                }
            }
        }
        panic!("redirected in a circle at {url}");
    }
}

/// The next tag of this name after `from`: where it ends, and what is in it.
fn tag<'a>(html: &'a str, name: &str, from: usize) -> Option<(usize, &'a str)> {
    let start = from + html.get(from..)?.find(&format!("<{name}"))?;
    // `>` may stand in a quoted value, but not in those of these pages.
    let end = start + html.get(start..)?.find('>')?;
    Some((end, html.get(start..end)?))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = tag.get(start..)?.split('"').next()?;
    Some(value.replace("&quot;", "\"").replace("&#x27;", "'").replace("&#39;", "'").replace("&amp;", "&"))
}
