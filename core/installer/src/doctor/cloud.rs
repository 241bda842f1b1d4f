//! The provisioning API and DPS, and what lies between them and this machine.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use url::Url;

use super::certificate::{Seen, is_inspector};
use super::finding::{Finding, Found, shown};
use super::probe::{Answer, Probe, plain};
use super::{DEADLINE, Examination};
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
            let tls = tls_well(probe.certificate());
            let portal = answer.leads_elsewhere(&base).or_else(|| answer.is_portal().then(|| "a page".to_owned()));
            if let Some(portal) = portal {
                let network = Finding::CaptivePortal.seen(format!("{portal} answered where the API's health was due"));
                return ApiSeen { network, tls, api: Finding::ApiUnseen.into(), clock: None };
            }
            let host = base.host_str().unwrap_or_default();
            let network = Finding::NetworkOk.seen(format!("{host}{}", by_proxy(&examination.net)));
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
                    let host = base.host_str().unwrap_or_default();
                    let network = Finding::NetworkOk.seen(format!("{host}{}", by_proxy(&examination.net)));
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
    let detail = error.detail.as_deref().unwrap_or_default();
    let seen = format!("{}: {detail}", base.host_str().unwrap_or_default());
    if error.has_not_left() && offline {
        return Finding::NetworkNone.seen(seen);
    }
    let by_proxy = by_proxy(net);
    if !by_proxy.is_empty() {
        return Finding::NetworkProxy.seen(format!("{seen}{by_proxy}"));
    }
    match error.code {
        ErrorCode::ApiTimeout => Finding::NetworkTimeout.seen(seen),
        _ if error.has_not_left() => Finding::NetworkName.seen(seen),
        _ => Finding::NetworkUnreachable.seen(seen),
    }
}

/// Names the proxy that calls go through, without its user and password.
fn by_proxy(net: &NetSettings) -> String {
    let named = |url: &Url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!(" through the proxy {}{port}", url.host_str().unwrap_or_default())
    };
    match &net.proxy {
        Proxy::Through { url, .. } => named(url),
        Proxy::System => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .and_then(|value| Url::parse(&value).ok())
            .map(|url| named(&url))
            .unwrap_or_default(),
        _ => String::new(),
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
        Some(to) => format!("plain calls are sent to {to}"),
        None if answer.status == reqwest::StatusCode::NETWORK_AUTHENTICATION_REQUIRED => {
            "the network says so (511)".into()
        }
        // The API's own host may have a page there; but not one that nothing else answers beside.
        None if answer.is_portal() && error.code != ErrorCode::ApiTlsForeign => {
            "a page answers in the API's place".into()
        }
        None => return None,
    };
    Some(Finding::CaptivePortal.seen(shown(&said)))
}

fn day(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "an unknown day".into(), |at| at.strftime("%Y-%m-%d").to_string())
}

fn tls_well(seen: Option<Seen>) -> Found {
    // Through a proxy of this process's own a connection may be reused; nothing was seen then.
    let Some(seen) = seen else { return Finding::TlsOk.into() };
    let said = format!("issued by {}, until {}", seen.issuer, day(seen.not_after));
    let left = seen.not_after.map(|end| end.duration_since(Timestamp::now()));
    match left {
        Some(left) if left < ENDS_SOON => Finding::TlsEndsSoon.seen(said),
        _ => Finding::TlsOk.seen(said),
    }
}

/// What is wrong with the encrypted connection, if that is what is wrong.
fn tls_ill(seen: Option<Seen>, error: &PairingError, net: &NetSettings) -> Option<Found> {
    use rustls::CertificateError as C;
    let today = day(Some(Timestamp::now()));
    if let Some(Seen { issuer, not_before, not_after, refused: Some(refused) }) = seen {
        let said = format!("issued by {issuer}");
        let valid = format!("{said}, valid from {} to {}; here it is {today}", day(not_before), day(not_after));
        return Some(match refused {
            rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => Finding::TlsExpired.seen(valid),
            rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
                Finding::TlsNotYet.seen(valid)
            }
            rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                Finding::TlsName.seen(format!("{said}: {refused}"))
            }
            _ if is_inspector(&issuer) || !by_proxy(net).is_empty() => {
                Finding::TlsIntercepted.seen(format!("{said}{}", by_proxy(net)))
            }
            rustls::Error::InvalidCertificate(C::UnknownIssuer) => Finding::TlsUntrusted.seen(said),
            other => Finding::TlsUntrusted.seen(format!("{said}: {other}")),
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
    is_tls.then(|| Finding::TlsFailed.seen(format!("{broken}{}", by_proxy(net))))
}

/// Something answered; is it a provisioning API, and is it well?
async fn health(probe: &Probe, base: &Url, answer: &Answer, left: Duration) -> Found {
    let status = answer.status.as_u16();
    if answer.status.is_server_error() {
        return Finding::ApiUnwell.seen(format!("health: HTTP {status}"));
    }
    if !answer.status.is_success() || answer.is_html() {
        return Finding::ApiForeign.seen(format!("health: HTTP {status}"));
    }
    let metadata = probe.get(path(base, &[".well-known", "oauth-protected-resource"]), left);
    let description = probe.get(path(base, &["v1", "openapi.json"]), left);
    let (metadata, description) = tokio::join!(metadata, description);
    let json = |answer: &Result<Answer, PairingError>| -> Option<serde_json::Value> {
        let answer = answer.as_ref().ok().filter(|answer| answer.status.is_success())?;
        serde_json::from_slice(&answer.body).ok()
    };
    let version = json(&description).and_then(|all| Some(shown(all.get("info")?.get("version")?.as_str()?)));
    let again = metadata.as_ref().map(|answer| answer.took).unwrap_or_default().as_millis();
    let said = format!(
        "version {}; {} ms at first, {again} ms again",
        version.as_deref().unwrap_or("unknown"),
        answer.took.as_millis(),
    );
    let issuer = json(&metadata).is_some_and(|metadata| {
        metadata.get("authorization_servers").and_then(|all| all.as_array()).is_some_and(|all| !all.is_empty())
    });
    match metadata {
        Ok(answer) if !issuer && !answer.status.is_server_error() => {
            Finding::ApiWithoutSignIn.seen(format!("{said}; metadata: HTTP {}", answer.status.as_u16()))
        }
        _ if answer.took > SLOW => Finding::ApiSlow.seen(said),
        _ => Finding::ApiOk.seen(said),
    }
}

/// `ahead`: by how much this machine's clock is ahead of a server's.
pub(super) fn time(ahead: Option<SignedDuration>) -> Found {
    let Some(ahead) = ahead else { return Finding::TimeUnknown.into() };
    let off = ahead.abs();
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    let said = match off.as_secs() {
        0..120 => format!("{} s {side} the server's", off.as_secs()),
        seconds => format!("{} min {side} the server's", seconds / 60),
    };
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
    if examination.connectivity.standing() == Standing::Offline && !is_here(endpoint) {
        return blind(Finding::DpsUnseen.into());
    }
    let Ok(url) = Url::parse(&format!("https://{endpoint}/")) else {
        return blind(Finding::DpsUnreachable.seen(format!("{} is no host", shown(endpoint))));
    };
    let probe = match Probe::new(net) {
        Ok(probe) => probe,
        Err(error) => return blind(Finding::DpsUnreachable.because(&error)),
    };
    match probe.get(url, DEADLINE).await {
        Ok(answer) => {
            let dps = Finding::DpsOk.seen(format!("{endpoint}, {} ms", answer.took.as_millis()));
            DpsSeen { dps, clock: answer.ahead }
        }
        Err(error) => blind(match probe.certificate() {
            Some(Seen { issuer, refused: Some(refused), .. }) => {
                Finding::DpsTls.seen(format!("{endpoint}: issued by {issuer}: {refused}"))
            }
            _ => {
                let detail = error.detail.as_deref().unwrap_or_default();
                Finding::DpsUnreachable.seen(format!("{endpoint}: {detail}{}", by_proxy(&examination.net)))
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
