//! The provisioning API and DPS, and what lies between them and this machine.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;
use url::Url;

use super::certificate::{Certificate, is_inspector};
use super::finding::{Finding, Found, shown};
use super::probe::{Answer, Probe, plain};
use super::{DEADLINE, Examination, Seen};
use crate::api::address;
use crate::error::{ErrorCode, PairingError};
use crate::net::{NetSettings, Proxy};
use crate::retry::Standing;

/// As far as a clock may be off before anybody should care.
const CLOCK_OFF: SignedDuration = SignedDuration::from_mins(2);

/// From here on certificates and tokens are refused; a pairing too takes no more than this for the same time.
const CLOCK_WRONG: SignedDuration = SignedDuration::from_mins(10);

/// A certificate that ends sooner should have been renewed by now.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A first call that takes longer is felt in every pairing.
const SLOW: Duration = Duration::from_secs(2);

/// For the look at plain HTTP, where the call itself has failed.
const PLAIN: Duration = Duration::from_millis(1200);

/// What one call of the API says about four things.
pub(super) struct ApiSeen {
    pub(super) network: Found,
    pub(super) tls: Found,
    pub(super) api: Found,
    /// By how much this machine's clock is ahead.
    pub(super) clock: Option<SignedDuration>,
}

pub(super) async fn api(examination: &Examination, net: &NetSettings) -> ApiSeen {
    let offline = examination.connectivity.standing() == Standing::Offline;
    let unseen = |network: Found, api: Found| ApiSeen { network, tls: Finding::TlsUnseen.into(), api, clock: None };
    let route = || if offline { Found::from(Finding::NetworkNone) } else { Finding::NetworkRoute.into() };
    let Some(text) = &examination.api else { return unseen(route(), Finding::ApiNotSet.into()) };
    let (base, probe) = match (address(text), Probe::new(net)) {
        (Ok(base), Ok(probe)) => (base, probe),
        (Err(error), _) => return unseen(route(), Finding::ApiAddress.because(&error)),
        (_, Err(error)) => return unseen(route(), Finding::ApiUnseen.because(&error)),
    };
    let started = Instant::now();
    let left = || DEADLINE.saturating_sub(started.elapsed());
    // A look at plain HTTP must fit in behind it.
    match probe.get(path(&base, &["healthz"]), DEADLINE - PLAIN).await {
        Ok(answer) => {
            let tls = tls_well(probe.certificate(), net);
            let portal = answer.leads_elsewhere(&base).map(|host| Seen::AnsweredBy { host: shown(&host) });
            if let Some(portal) = portal.or_else(|| answer.is_portal().then_some(Seen::Page)) {
                let network = Finding::CaptivePortal.seen([portal]);
                return ApiSeen { network, tls, api: Finding::ApiUnseen.into(), clock: None };
            }
            let network = Finding::NetworkOk.seen(way(&base, &examination.net));
            let clock = answer.ahead;
            let api = health(&probe, &base, &answer, left()).await;
            ApiSeen { network, tls, api, clock }
        }
        Err(error) => {
            let seen = probe.certificate();
            if let Some(portal) = portal(examination, &base, &error, offline, left().min(PLAIN)).await {
                let tls = tls_ill(seen, &error, &examination.net).unwrap_or(Finding::TlsUnseen.into());
                return ApiSeen { network: portal, tls, api: Finding::ApiUnseen.into(), clock: None };
            }
            match tls_ill(seen, &error, &examination.net) {
                Some(tls) => {
                    let network = Finding::NetworkOk.seen(way(&base, &examination.net));
                    ApiSeen { network, tls, api: Finding::ApiUnseen.into(), clock: None }
                }
                None => unseen(no_way(&error, offline, &examination.net, &base), Finding::ApiUnseen.into()),
            }
        }
    }
}

fn path(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Why nothing came back, where TLS is not the reason.
fn no_way(error: &PairingError, offline: bool, net: &NetSettings, base: &Url) -> Found {
    let seen = way(base, net).into_iter().chain(said(error));
    if error.has_not_left() && offline {
        return Finding::NetworkNone.seen(seen);
    }
    if by_proxy(net).is_some() {
        return Finding::NetworkProxy.seen(seen);
    }
    match error.code {
        ErrorCode::ApiTimeout => Finding::NetworkTimeout.seen(seen),
        _ if error.has_not_left() => Finding::NetworkName.seen(seen),
        _ => Finding::NetworkUnreachable.seen(seen),
    }
}

fn said(error: &PairingError) -> Option<Seen> {
    error.detail.as_deref().map(Seen::said)
}

/// The API's host, and what calls to it go through.
fn way(base: &Url, net: &NetSettings) -> Vec<Seen> {
    let host = Seen::Host { host: base.host_str().unwrap_or_default().into() };
    [host].into_iter().chain(by_proxy(net)).collect()
}

/// Names the proxy that calls go through, without its user and password.
fn by_proxy(net: &NetSettings) -> Option<Seen> {
    let named = |url: &Url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Seen::Proxy { proxy: format!("{}{port}", url.host_str().unwrap_or_default()) }
    };
    match &net.proxy {
        Proxy::Through { url, .. } => Some(named(url)),
        Proxy::System => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .and_then(|value| Url::parse(&value).ok())
            .map(|url| named(&url)),
        _ => None,
    }
}

/// A portal cannot answer for the API over TLS, so it shows itself over plain HTTP.
async fn portal(
    examination: &Examination,
    base: &Url,
    error: &PairingError,
    offline: bool,
    within: Duration,
) -> Option<Found> {
    let through_proxy = matches!(examination.net.proxy, Proxy::Through { .. });
    if offline || through_proxy || error.has_not_left() {
        return None;
    }
    let (from, answer) = plain(base.host_str()?, examination.plain_port, within).await?;
    let said = match answer.leads_elsewhere(&from) {
        Some(to) => Seen::SentTo { host: shown(&to) },
        None if answer.status == reqwest::StatusCode::NETWORK_AUTHENTICATION_REQUIRED => Seen::SignInWanted,
        // The API's own host may have a page there; but not one that nothing else answers beside.
        None if answer.is_portal() && error.code != ErrorCode::ApiTlsForeign => Seen::Page,
        None => return None,
    };
    Some(Finding::CaptivePortal.seen([said]))
}

fn tls_well(certificate: Option<Certificate>, net: &NetSettings) -> Found {
    // Through a proxy of this process's own a connection may be reused; nothing was seen then.
    let Some(Certificate { issuer, not_after, .. }) = certificate else { return Finding::TlsOk.into() };
    let said = [Seen::Certificate { issuer, not_before: None, not_after }];
    let left = not_after.map(|end| end.duration_since(net.clock.now()));
    match left {
        Some(left) if left < ENDS_SOON => Finding::TlsEndsSoon.seen(said),
        _ => Finding::TlsOk.seen(said),
    }
}

/// What is wrong with the encrypted connection, if that is what is wrong.
fn tls_ill(certificate: Option<Certificate>, error: &PairingError, net: &NetSettings) -> Option<Found> {
    use rustls::CertificateError as C;
    if let Some(Certificate { issuer, not_before, not_after, refused: Some(refused) }) = certificate {
        let inspected = issuer.as_deref().is_some_and(is_inspector) || by_proxy(net).is_some();
        let by = Seen::Certificate { issuer: issuer.clone(), not_before: None, not_after: None };
        let valid = || [Seen::Certificate { issuer, not_before, not_after }, Seen::Today { at: net.clock.now() }];
        return Some(match refused {
            rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                Finding::TlsExpired.seen(valid())
            }
            rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
                Finding::TlsNotYet.seen(valid())
            }
            rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                Finding::TlsName.seen([by, Seen::said(refused.to_string())])
            }
            _ if inspected => Finding::TlsIntercepted.seen([by].into_iter().chain(by_proxy(net))),
            rustls::Error::InvalidCertificate(C::UnknownIssuer) => Finding::TlsUntrusted.seen([by]),
            other => Finding::TlsUntrusted.seen([by, Seen::said(other.to_string())]),
        });
    }
    let broken = error.detail.as_deref().unwrap_or_default();
    // rustls's words for bytes that are no TLS, and for alerts.
    let tls = [
        "corrupt message",
        "fatal alert",
        "invalid message",
        "peer is incompatible",
        "peer misbehaved",
        "tls handshake",
    ];
    let lower = broken.to_lowercase();
    let is_tls = matches!(error.code, ErrorCode::ApiTlsExpired | ErrorCode::ApiTlsForeign)
        || tls.iter().any(|word| lower.contains(word));
    is_tls.then(|| Finding::TlsFailed.seen(said(error).into_iter().chain(by_proxy(net))))
}

/// Something answered; is it a provisioning API, and is it well?
async fn health(probe: &Probe, base: &Url, answer: &Answer, left: Duration) -> Found {
    let status = answer.status.as_u16();
    if answer.status.is_server_error() {
        return Finding::ApiUnwell.seen([Seen::Http { of: "health".into(), status }]);
    }
    if !answer.status.is_success() || answer.is_html() {
        return Finding::ApiForeign.seen([Seen::Http { of: "health".into(), status }]);
    }
    let metadata = probe.get(path(base, &[".well-known", "oauth-protected-resource"]), left);
    let description = probe.get(path(base, &["v1", "openapi.json"]), left);
    let (metadata, description) = tokio::join!(metadata, description);
    let json = |answer: &Result<Answer, PairingError>| -> Option<serde_json::Value> {
        let answer = answer.as_ref().ok().filter(|answer| answer.status.is_success())?;
        serde_json::from_slice(&answer.body).ok()
    };
    let version = json(&description).and_then(|all| Some(shown(all.get("info")?.get("version")?.as_str()?)));
    let again = metadata.as_ref().map(|answer| answer.took).unwrap_or_default();
    let said = [Seen::Version { version }, Seen::Took { ms: ms(answer.took) }, Seen::TookAgain { ms: ms(again) }];
    let issuer = json(&metadata).is_some_and(|metadata| {
        metadata.get("authorization_servers").and_then(|all| all.as_array()).is_some_and(|all| !all.is_empty())
    });
    match metadata {
        Ok(answer) if !issuer && !answer.status.is_server_error() => {
            let metadata = Seen::Http { of: "metadata".into(), status: answer.status.as_u16() };
            Finding::ApiWithoutSignIn.seen(said.into_iter().chain([metadata]))
        }
        _ if answer.took > SLOW => Finding::ApiSlow.seen(said),
        _ => Finding::ApiOk.seen(said),
    }
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// `ahead`: by how much this machine's clock is ahead of a server's.
pub(super) fn time(ahead: Option<SignedDuration>) -> Found {
    let Some(ahead) = ahead else { return Finding::TimeUnknown.into() };
    let off = ahead.abs();
    let said = [Seen::Clock { seconds: ahead.as_secs() }];
    if off > CLOCK_WRONG {
        Finding::TimeWrong.seen(said)
    } else if off > CLOCK_OFF {
        Finding::TimeOff.seen(said)
    } else {
        Finding::TimeOk.seen(said)
    }
}

/// What a look at DPS says.
pub(super) struct DpsSeen {
    pub(super) dps: Found,
    pub(super) clock: Option<SignedDuration>,
}

/// DPS answers anything over TLS, and that is all that is asked of it: devices talk to it, not this machine.
pub(super) async fn dps(examination: &Examination, net: &NetSettings) -> DpsSeen {
    let endpoint = &examination.device_endpoint;
    let blind = |dps: Found| DpsSeen { dps, clock: None };
    let host = || Seen::Host { host: shown(endpoint) };
    if examination.connectivity.standing() == Standing::Offline && !is_here(endpoint) {
        return blind(Finding::DpsUnseen.into());
    }
    let Ok(url) = Url::parse(&format!("https://{endpoint}/")) else {
        return blind(Finding::DpsUnreachable.seen([host()]));
    };
    let probe = match Probe::new(net) {
        Ok(probe) => probe,
        Err(error) => return blind(Finding::DpsUnreachable.because(&error)),
    };
    match probe.get(url, DEADLINE).await {
        Ok(answer) => {
            let dps = Finding::DpsOk.seen([host(), Seen::Took { ms: ms(answer.took) }]);
            DpsSeen { dps, clock: answer.ahead }
        }
        Err(error) => blind(match probe.certificate() {
            Some(Certificate { issuer, refused: Some(refused), .. }) => {
                let by = Seen::Certificate { issuer, not_before: None, not_after: None };
                Finding::DpsTls.seen([host(), by, Seen::said(refused.to_string())])
            }
            _ => {
                let seen = [host()].into_iter().chain(said(&error)).chain(by_proxy(&examination.net));
                Finding::DpsUnreachable.seen(seen)
            }
        }),
    }
}

/// This machine itself: no network is needed for that.
fn is_here(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_by_an_hour_has_failed_in_either_direction() {
        for (minutes, status) in [(0, Status::Ok), (1, Status::Ok), (5, Status::Warning), (60, Status::Failed)] {
            for ahead in [SignedDuration::from_mins(minutes), -SignedDuration::from_mins(minutes)] {
                let check = time(Some(ahead)).check(0.0);
                assert_eq!(check.status, status, "{ahead}");
                assert_eq!(check.mend.is_some(), status != Status::Ok);
            }
        }
        let check = time(Some(SignedDuration::from_mins(-61))).check(0.0);
        assert_eq!(check.seen.as_deref(), Some("61 min behind the server's"));
    }

    #[test]
    fn programs_that_open_tls_are_known_by_their_issuers() {
        assert!(is_inspector("CN=Zscaler Intermediate Root CA, O=Zscaler Inc."));
        assert!(is_inspector("O=mitmproxy, CN=mitmproxy"));
        assert!(!is_inspector("C=US, O=Let's Encrypt, CN=R11"));
    }

    #[test]
    fn only_this_machine_itself_needs_no_network() {
        for here in ["localhost:8443", "127.0.0.1:1", "localhost"] {
            assert!(is_here(here), "{here}");
        }
        assert!(!is_here(super::super::GLOBAL_DEVICE_ENDPOINT));
    }
}
