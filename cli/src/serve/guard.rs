//! Which requests are let in: to the gateway's own names, and from its own page.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};

/// The names and addresses that the gateway answers to. Any other name in a request is somebody's own name for this
/// address (DNS rebinding), or a slip.
pub(crate) struct Names {
    all: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// This machine's name and addresses, as far as it listens there, and those that were named.
    pub(crate) fn of_machine(listen: IpAddr, named: &[String]) -> Self {
        let mut addresses = vec![listen];
        let mut all = vec!["localhost".to_owned()];
        if listen.is_unspecified() {
            // Without a list of interfaces, --host names what is missing.
            let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
            addresses = interfaces.into_iter().map(|interface| interface.ip()).filter(usual).collect();
            let host = gethostname::gethostname().to_string_lossy().to_lowercase();
            if !host.is_empty() {
                all.push(host.clone());
                if !host.contains('.') {
                    all.push(format!("{host}.local"));
                }
            }
        }
        all.extend(named.iter().map(|name| name.trim_matches(['[', ']']).to_lowercase()));
        all.extend(addresses.iter().map(IpAddr::to_string));
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|name| seen.insert(name.clone()));
        Names { all, addresses }
    }

    /// All of them, without ports.
    pub(crate) fn all(&self) -> &[String] {
        &self.all
    }

    /// The addresses among them.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether `authority` (with or without port) is one of them. The port says nothing: it may be forwarded.
    pub(crate) fn know(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_lowercase();
        self.all.contains(&host)
    }
}

/// Link-local IPv6 addresses need a zone, which no browser takes.
fn usual(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0) != 0xfe80,
    }
}

/// Whom the request is for: HTTP/2's `:authority`, else `Host`.
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Whether a request comes from the gateway's own page. Every browser says where a POST comes from; what does not is no
/// browser with a page of ours.
pub(crate) fn from_own_page(headers: &HeaderMap, authority: &Authority) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let own = format!("https://{authority}");
    let own = own.strip_suffix(":443").unwrap_or(&own);
    let same = origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(own));
    let site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    same && site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gateways_own_names_are_known() {
        let names = Names::of_machine([127, 0, 0, 1].into(), &["Gateway.Example".into(), "[2001:db8::7]".into()]);
        for known in ["localhost", "LOCALHOST:8470", "127.0.0.1:1", "gateway.example.", "[2001:db8::7]:443"] {
            assert!(names.know(&known.parse().unwrap()), "{known}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.2", "[::1]", "gateway.example.evil"] {
            assert!(!names.know(&foreign.parse().unwrap()), "{foreign}");
        }
    }

    #[test]
    fn only_the_gateways_own_page_may_post() {
        let from = |origin: Option<&str>, site: Option<&str>| {
            let mut headers = HeaderMap::new();
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            site.map(|site| headers.insert("sec-fetch-site", site.parse().unwrap()));
            from_own_page(&headers, &"gateway.example:8470".parse().unwrap())
        };
        assert!(from(Some("https://gateway.example:8470"), None));
        assert!(from(Some("https://gateway.example:8470"), Some("same-origin")));
        assert!(!from(None, None));
        assert!(!from(Some("null"), None));
        assert!(!from(Some("http://gateway.example:8470"), None));
        assert!(!from(Some("https://gateway.example"), None));
        assert!(!from(Some("https://evil.example"), None));
        assert!(!from(Some("https://gateway.example:8470"), Some("cross-site")));
        let own = "gateway.example:443".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "https://gateway.example".parse().unwrap());
        assert!(from_own_page(&headers, &own));
    }
}
