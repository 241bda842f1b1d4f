//! `lowtouch serve`: the page of the desktop app for a browser elsewhere, over TLS, behind a one-time code.

mod certificate;
mod codes;
mod guard;
mod http;
mod page;
mod places;
mod sessions;

use std::io::{BufRead as _, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures::StreamExt as _;
use hyper_util::rt::TokioTimer;
use lowtouch_installer::commands::{Commands, DemoEvent, DemoWith, Host, HostKind};
use lowtouch_installer::label;
use lowtouch_installer::settings::{Key, SecretsIn};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::{Common, ServeArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output::{complain, print, print_json};
use crate::{access, config, data_dir, secrets};

use self::certificate::Certificate;
use self::codes::Codes;
use self::guard::Names;
use self::http::Gateway;
use self::places::{Limited, Places};
use self::sessions::Sessions;

/// How long a client may take over the handshake, and over the head of a request.
const HEAD: Duration = Duration::from_secs(15);
/// How long what is under way may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// A bench of 32 holds a stream for each device; browsers put them all on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// How often the certificate is looked after.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `lowtouch serve`.
pub(crate) fn run(arguments: &ServeArgs, common: &Common, json: bool) -> Result<(), Failure> {
    // Many pages and pairings at once, so more than one thread.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unexpected, "internal", "This program could not start.").because(error))?;
    let result = runtime.block_on(serve(arguments, common, json));
    // Whoever waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: &ServeArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let interrupts = Interrupts::listen();
    let data_dir = data_dir(common)?;
    let commands = Commands::new(host(arguments, common).await?);

    let listen = |error: std::io::Error| {
        Failure::new(Exit::Usage, "listen-failed", format!("The address {} cannot be listened at.", arguments.listen))
            .help("Choose another one with --listen, or end the program that uses it.")
            .because(error)
    };
    let listener = std::net::TcpListener::bind(arguments.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let names = Names::of_machine(address.ip(), &arguments.host);
    let certificate = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(chain), Some(key)) => Certificate::of_files(chain.clone(), key.clone()),
        _ => Certificate::own(data_dir.join("serve-tls"), names.all().to_vec()),
    };
    let serving = certificate.open()?;
    let tls = RustlsConfig::from_config(serving.config.clone());
    let urls = urls(address, &arguments.host, &names);

    let ending = CancellationToken::new();
    let gateway = Arc::new(Gateway {
        commands: commands.clone(),
        codes: Codes::default(),
        sessions: Sessions::new(ending.clone()),
        names,
    });
    let handle = Handle::new();
    let acceptor = Limited { places: Places::default(), tls: RustlsAcceptor::new(tls.clone()).handshake_timeout(HEAD) };
    let mut server = axum_server::from_tcp(listener).map_err(listen)?.acceptor(acceptor);
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    // A browser that has gone is noticed within two of these.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD)
        .max_concurrent_streams(STREAMS);
    let service = http::router(gateway.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = tokio::spawn(server.handle(handle.clone()).serve(service));
    let fresh = tokio::spawn(certificate.keep_fresh(tls, DAY));

    let console = Console { gateway: gateway.clone(), urls, json };
    console.serving(&serving);
    if !page::is_built() {
        complain("The page is not built. In a copy of the source, `cargo xtask page` builds it.");
    }
    if let Some(devices) = arguments.demo {
        tokio::spawn(demo(commands.clone(), devices, json));
    }

    let mut wishes = Wishes::listen(arguments.until_stdin_closes);
    let ended = loop {
        tokio::select! {
            () = interrupts.asked() => break Ok(()),
            ended = &mut server => break match ended {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(listen(error)),
                Err(stopped) => {
                    Err(Failure::new(Exit::Unexpected, "internal", "The gateway ended by itself.").because(stopped))
                }
            },
            wish = wishes.next() => match wish {
                Wish::Code => console.new_code(),
                Wish::End => break Ok(()),
            },
            () = gateway.codes.news() => console.told(),
        }
    };
    ending.cancel();
    handle.graceful_shutdown(Some(GRACE));
    let _ = tokio::time::timeout(GRACE, commands.end()).await;
    if !server.is_finished() {
        let _ = tokio::time::timeout(GRACE, server).await;
    }
    fresh.abort();
    ended
}

/// Settings and secrets as for every other command. A secrets file is opened now, while the console can ask.
async fn host(arguments: &ServeArgs, common: &Common) -> Result<Host, Failure> {
    let (file, data_dir) = (config::file(common)?, data_dir(common)?);
    let api = arguments.api();
    let settings = config::for_api(common, &api)?;
    let asked = secrets::while_asking();
    let store = secrets::file(&data_dir, asked.clone());
    if matches!(settings.secrets(), SecretsIn::File) {
        store.get("sign-in").await.map_err(lowtouch_installer::PairingError::from)?;
    }
    asked.no_more();
    let secrets_for =
        move |settings: &lowtouch_installer::settings::Settings, _: &std::path::Path| match settings.secrets() {
            SecretsIn::File => store.clone(),
            _ => secrets::keyring(),
        };
    let mut options = Vec::new();
    if let Some(api) = &arguments.api {
        options.push((Key::Api, "--api", vec![api.clone()]));
    }
    if !arguments.ca.is_empty() {
        let files = arguments.ca.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        options.push((Key::CaFiles, "--ca", files));
    }
    let account = match &arguments.account {
        Some(name) => {
            let accounts = lowtouch_installer::sign_in::accounts_in(&data_dir)?;
            Some(accounts.find(Some(name))?.name.clone())
        }
        None => None,
    };
    Ok(Host {
        options,
        account,
        token: access::token(&api)?,
        ..Host::new(HostKind::Gateway, env!("CARGO_PKG_VERSION"), data_dir, file, Arc::new(secrets_for))
    })
}

/// Where the page can be reached: what was named with --host first.
fn urls(address: SocketAddr, named: &[String], names: &Names) -> Vec<String> {
    let with_port = |host: &str| {
        let host = if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        if address.port() == 443 { format!("https://{host}") } else { format!("https://{host}:{}", address.port()) }
    };
    let mut hosts: Vec<String> = named.to_vec();
    if address.ip().is_unspecified() {
        hosts.extend(names.addresses().iter().filter(|ip| !ip.is_loopback()).map(IpAddr::to_string));
        hosts.push("localhost".into());
    } else {
        hosts.push(address.ip().to_string());
    }
    hosts.iter().map(|host| with_port(host)).collect()
}

async fn demo(commands: Commands, devices: u16, json: bool) {
    let Ok(mut events) = commands.demo_start(DemoWith { devices }) else { return };
    while let Some(event) = events.next().await {
        match event {
            _ if json => print_json(&json!({ "event": "demo", "demo": event })),
            DemoEvent::Ready { devices } => print(&format!("The demo is on, with {} devices.", devices.len())),
            DemoEvent::Failed { error } => complain(&format!("The demo did not start. {error}")),
            _ => {}
        }
    }
}

/// What is shown to whoever runs the gateway.
struct Console {
    gateway: Arc<Gateway>,
    urls: Vec<String>,
    json: bool,
}

impl Console {
    fn serving(&self, serving: &certificate::Opened) {
        let code = self.gateway.codes.renew();
        if self.json {
            print_json(&json!({
                "event": "serving", "url": self.urls.first(), "urls": self.urls, "code": code.expose_secret(),
                "caFile": serving.ca_file, "fingerprint": serving.fingerprint,
            }));
            return;
        }
        print("The gateway's page is at");
        for url in &self.urls {
            print(&format!("  {url}"));
        }
        print(&format!("Its certificate's fingerprint (SHA-256): {}", serving.fingerprint));
        if let Some(ca_file) = &serving.ca_file {
            print(&format!("Browsers trust it once they trust the CA in {}", ca_file.display()));
        }
        self.show(&code);
    }

    fn new_code(&self) {
        let code = self.gateway.codes.renew();
        if self.json {
            print_json(&json!({ "event": "code", "code": code.expose_secret() }));
        } else {
            self.show(&code);
        }
    }

    fn show(&self, code: &SecretString) {
        // In the fragment, which no browser sends to anybody; the page takes it out of its address at once.
        let link = self.urls.first().map(|url| SecretString::from(format!("{url}/#code={}", code.expose_secret())));
        if let Some(link) = link
            && std::io::stdout().is_terminal()
            && let Ok(picture) = label::qr_terminal(&link)
        {
            print(&picture);
        }
        print(&format!(
            "Code: {}   (serves once, within {} minutes; Enter shows another one)",
            code.expose_secret(),
            codes::LIFE.as_secs() / 60
        ));
    }

    /// A code was used or given up.
    fn told(&self) {
        for news in self.gateway.codes.take_news() {
            match news {
                codes::News::Used(who) if self.json => {
                    print_json(&json!({ "event": "signed-in", "from": who.to_string() }));
                }
                codes::News::Used(who) => {
                    print(&format!("A browser at {who} has signed in. Enter shows a code for another one."));
                }
                codes::News::GivenUp if self.json => print_json(&json!({ "event": "code-given-up" })),
                codes::News::GivenUp => {
                    print("Many wrong codes were tried, so the code is void. Enter shows another one.");
                }
            }
        }
    }
}

/// What is asked for on the console.
enum Wish {
    Code,
    End,
}

struct Wishes(mpsc::UnboundedReceiver<Wish>);

impl Wishes {
    /// Enter or SIGUSR1: another code. The end of standard input: the end, where that was asked for.
    fn listen(until_stdin_closes: bool) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        #[cfg(unix)]
        {
            let sender = sender.clone();
            tokio::spawn(async move {
                use tokio::signal::unix::{SignalKind, signal};
                let Ok(mut asked) = signal(SignalKind::user_defined1()) else { return };
                while asked.recv().await.is_some() {
                    let _ = sender.send(Wish::Code);
                }
            });
        }
        // A thread of its own: a read of standard input cannot be ended.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() || sender.send(Wish::Code).is_err() {
                    break;
                }
            }
            if until_stdin_closes {
                let _ = sender.send(Wish::End);
            }
        });
        Wishes(receiver)
    }

    async fn next(&mut self) -> Wish {
        match self.0.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}
