//! Where a browser comes back to: this machine's own address, for the time of one sign-in (RFC 8252, 7.3).

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::error::{ErrorCode, PairingError};

/// Registered at external issuers; the port is whatever is free.
const PATH: &str = "/finished";

/// For a person to find their password and a second factor.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// For one request of a browser on the same machine.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Browsers send a few kilobytes of cookies and headers.
const MAX_HEAD: usize = 64 * 1024;

/// Connections at a time; browsers open some that they never use.
const MOST_CONNECTIONS: usize = 32;

/// A listener for one redirect.
pub(super) struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
}

/// What the browser brought, and the browser, which waits for a page.
pub(super) struct Answer {
    pub(super) parameters: HashMap<String, String>,
    browser: TcpStream,
}

impl Loopback {
    /// Listens on 127.0.0.1, or on ::1 where there is nothing else.
    pub(super) async fn bind() -> Result<Loopback, PairingError> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await,
        };
        let blocked = |error: std::io::Error| PairingError::with_detail(ErrorCode::SignInBlocked, error.to_string());
        let listener = listener.map_err(blocked)?;
        let address = listener.local_addr().map_err(blocked)?;
        Ok(Loopback { listener, address })
    }

    /// `http://127.0.0.1:PORT/finished`
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Waits for the redirect that carries `state`. Whatever else comes is answered and forgotten: another page of this
    /// machine must not be able to end a sign-in.
    pub(super) async fn answer(&self, state: &str) -> Result<Answer, PairingError> {
        let wait = async {
            let mut open = FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = self.listener.accept(), if open.len() < MOST_CONNECTIONS => {
                        if let Ok((browser, _)) = accepted {
                            open.push(timeout(REQUEST_DEADLINE, self.serve(browser, state)));
                        }
                    }
                    Some(served) = open.next() => {
                        if let Ok(Some(answer)) = served {
                            return answer;
                        }
                    }
                }
            }
        };
        timeout(DEADLINE, wait).await.map_err(|_| PairingError::new(ErrorCode::SignInExpired))
    }

    async fn serve(&self, mut browser: TcpStream, state: &str) -> Option<Answer> {
        let head = head(&mut browser).await?;
        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let url = Url::parse(&format!("http://{}", self.address)).ok()?.join(target).ok()?;
        // Seen in another window of the browser, or asked by another program: never the one that is waited for.
        let host = head.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
        });
        let ours = host.is_some_and(|host| host == self.address.to_string());
        if method != "GET" || url.path() != PATH || !ours {
            let _ = show(&mut browser, "404 Not Found", "Nothing here", "This address is for a sign-in only.").await;
            return None;
        }
        let parameters: HashMap<String, String> = url.query_pairs().into_owned().collect();
        // Both are random and used once; there is nothing to learn from how long this takes.
        if parameters.get("state").is_none_or(|given| given != state) {
            let text = "This page belongs to another sign-in. Go back to the one that you began last.";
            let _ = show(&mut browser, "400 Bad Request", "Not this sign-in", text).await;
            return None;
        }
        Some(Answer { parameters, browser })
    }
}

impl Answer {
    /// Shows the last page. A browser that went away does not matter.
    pub(super) async fn show(mut self, title: &str, text: &str) {
        let _ = timeout(REQUEST_DEADLINE, show(&mut self.browser, "200 OK", title, text)).await;
    }
}

/// Request line and headers.
async fn head(browser: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = browser.read(&mut part).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&part[..read]);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

async fn show(browser: &mut TcpStream, status: &str, title: &str, text: &str) -> std::io::Result<()> {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lowtouch: {title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <body style=\"font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem\">\
         <h1>{title}</h1><p>{text}</p>",
        title = escaped(title),
        text = escaped(text),
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n{page}",
        page.len(),
    );
    browser.write_all(answer.as_bytes()).await?;
    browser.shutdown().await
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(loopback: &Loopback, target: &str, host: &str) -> String {
        let mut browser = TcpStream::connect(loopback.address).await.unwrap();
        browser.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_the_redirect_of_this_sign_in_ends_the_wait() {
        let loopback = Loopback::bind().await.unwrap();
        let own = loopback.address.to_string();
        // Opened and never used, as browsers do.
        let _idle = TcpStream::connect(loopback.address).await.unwrap();
        let person = async {
            assert!(get(&loopback, "/favicon.ico", &own).await.starts_with("HTTP/1.1 404"));
            assert!(get(&loopback, "/finished?state=another&code=c", &own).await.starts_with("HTTP/1.1 400"));
            assert!(get(&loopback, "/finished?code=c", &own).await.starts_with("HTTP/1.1 400"));
            assert!(get(&loopback, "/finished?state=s&code=c", "rebound.example").await.starts_with("HTTP/1.1 404"));
            get(&loopback, "/finished?state=s&code=c%2Bd", &own).await
        };
        let app = async {
            let answer = loopback.answer("s").await.unwrap();
            assert_eq!(answer.parameters["code"], "c+d");
            answer.show("Signed in as <b>Ida", "Close this page & go back.").await;
        };
        let (page, ()) = tokio::join!(person, app);
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("Signed in as &lt;b&gt;Ida"), "{page}");
        assert!(page.contains("no-store") && !page.contains("c+d"), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_person_who_went_away() {
        let loopback = Loopback::bind().await.unwrap();
        assert_eq!(loopback.answer("s").await.err().unwrap().code, ErrorCode::SignInExpired);
    }
}
