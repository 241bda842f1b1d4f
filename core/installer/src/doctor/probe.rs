//! One call of a server, with everything that it shows on the way.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION};
use tokio::time::{Instant, timeout};
use url::Url;

use super::certificate::{Certificate, Watch};
use crate::error::{ErrorCode, PairingError};
use crate::net::{Net, NetSettings, captive_portal, of_reqwest, tls};

/// Longest body that is read, in bytes. The API's description is the longest that is asked for.
const MAX_BODY: usize = 512 * 1024;

/// A client that shows the certificates.
pub(super) struct Probe {
    net: Net,
    watch: Watch,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) took: Duration,
    /// By how much this machine's clock is ahead of the server's; behind: negative.
    pub(super) ahead: Option<SignedDuration>,
}

impl Probe {
    pub(super) fn new(settings: &NetSettings) -> Result<Probe, PairingError> {
        let watch = Watch::default();
        let net = Net::watched(settings, |verifier| watch.over(verifier))?;
        Ok(Probe { net, watch })
    }

    pub(super) fn certificate(&self) -> Option<Certificate> {
        self.watch.seen()
    }

    pub(super) async fn get(&self, url: Url, within: Duration) -> Result<Answer, PairingError> {
        get(self.net.client(), url, within).await
    }
}

/// One GET. The deadline is ours: a resolver that hangs does not listen to anybody else's.
async fn get(client: &reqwest::Client, url: Url, within: Duration) -> Result<Answer, PairingError> {
    let (started, sent) = (Instant::now(), Timestamp::now());
    let call = async {
        let mut response = client.get(url).header("accept", "application/json").send().await.map_err(of_reqwest)?;
        let received = Timestamp::now();
        let took = started.elapsed();
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Ok(Some(part)) = response.chunk().await {
            if body.len() + part.len() > MAX_BODY {
                break;
            }
            body.extend_from_slice(&part);
        }
        let ahead = headers.get(DATE).and_then(|date| ahead(date.to_str().ok()?, sent, received));
        Ok(Answer { status, headers, body, took, ahead })
    };
    match timeout(within, call).await {
        Ok(answer) => answer,
        Err(_) => Err(PairingError::with_detail(
            ErrorCode::ApiTimeout,
            format!("no answer after {:.1} s", within.as_secs_f64()),
        )),
    }
}

/// The server wrote its date somewhere between the two, and cut it to whole seconds.
fn ahead(date: &str, sent: Timestamp, received: Timestamp) -> Option<SignedDuration> {
    let server = jiff::fmt::rfc2822::parse(date).ok()?.timestamp() + SignedDuration::from_millis(500);
    let here = sent + (received.duration_since(sent) / 2);
    Some(here.duration_since(server))
}

impl Answer {
    fn header(&self, name: reqwest::header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where it is redirected to, if it is to another host.
    pub(super) fn leads_elsewhere(&self, from: &Url) -> Option<String> {
        if !self.status.is_redirection() {
            return None;
        }
        let to = from.join(self.header(LOCATION)?).ok()?;
        (to.host_str() != from.host_str()).then(|| to.host_str().unwrap_or_default().to_owned())
    }

    /// The network's own page, as everybody else here sees it.
    pub(super) fn is_portal(&self) -> bool {
        captive_portal(self.status, self.header(CONTENT_TYPE), &self.body)
    }

    pub(super) fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"))
    }
}

/// Asks over plain HTTP what answers in a host's place: a captive portal shows itself there and nowhere else. Nothing but
/// the host's name goes out.
pub(super) async fn plain(host: &str, port: u16, within: Duration) -> Option<(Url, Answer)> {
    let url = Url::parse(&format!("http://{host}:{port}/healthz")).ok()?;
    let client = reqwest::Client::builder()
        // Never used here, but no client is made without one.
        .tls_backend_preconfigured(tls(None, |verifier| verifier).ok()?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(within)
        .build()
        .ok()?;
    let answer = get(&client, url.clone(), within).await.ok()?;
    Some((url, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_compared_with_the_middle_of_the_call() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (sent, received) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:04Z"));
        let ahead = |date| ahead(date, sent, received).map(|ahead| ahead.as_millis());
        assert_eq!(ahead("Sat, 21 Nov 2026 10:00:02 GMT"), Some(-500));
        assert_eq!(ahead("Sat, 21 Nov 2026 09:00:02 GMT"), Some(3_599_500));
        assert_eq!(ahead("yesterday"), None);
    }
}
