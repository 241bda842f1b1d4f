//! `lowtouch login`, `logout`, `accounts`, `whoami`.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use console::style;
use lowtouch_installer::api::Client;
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::label;
use lowtouch_installer::sign_in::{Account, Ask, SignIn, SignedIn, SignedOut};
use serde::Serialize;
use serde_json::{Value, json};

use crate::access::{self, Access};
use crate::args::{AccountArgs, AccountsCommand, ApiArgs, Common, LoginArgs, LogoutArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::{complain, print, print_json, print_table};

/// `lowtouch login`.
pub(crate) async fn login(arguments: &LoginArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let named = ApiArgs { api: arguments.api.clone(), ..ApiArgs::default() };
    let access = Access::open(common, &named)?;
    // Not among the settings: these are kept with the account.
    let ca = input::certificates(&arguments.ca)?;
    let sign_in = access.sign_in().await?;
    let work = async {
        if let Some(text) = &arguments.invite {
            let invite = input::read_invite(text, arguments.api.as_deref())?;
            return Ok(Done::In(sign_in.with_invite(&invite, ca.as_deref()).await?));
        }
        let server = server(&access, &sign_in)?;
        if !arguments.another
            && let Some(account) = valid(&sign_in, &server).await?
        {
            return Ok(Done::Already(account));
        }
        let ask = |ask| show(ask, json);
        let device_code = arguments.device_code || !arguments.browser && !has_browser();
        Ok(Done::In(if device_code {
            sign_in.with_device_code(&server, ca.as_deref(), ask).await?
        } else {
            sign_in.with_browser(&server, ca.as_deref(), ask).await?
        }))
    };
    let interrupts = Interrupts::listen();
    let done: Result<Done, Failure> = tokio::select! {
        done = work => done,
        () = interrupts.asked() => Err(cancelled()),
    };
    match done? {
        Done::Already(account) if json => print_json(&event("already-signed-in", &account)),
        Done::Already(account) => {
            print(&format!("{} You are signed in as {} already.", style("✓").green().bold(), whole(&account)));
            print("  --another signs in somebody else beside.");
        }
        Done::In(done) => say(&done, &access, json),
    }
    Ok(())
}

enum Done {
    Already(Account),
    In(SignedIn),
}

/// `lowtouch logout`.
pub(crate) async fn logout(arguments: &LogoutArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let sign_in = Access::open(common, &ApiArgs::default())?.sign_in().await?;
    let names: Vec<String> = if arguments.all {
        let all = sign_in.accounts()?.all;
        all.into_iter().filter(|account| !account.signed_out).map(|account| account.name).collect()
    } else {
        vec![sign_in.accounts()?.find(arguments.account.as_deref())?.name.clone()]
    };
    if names.is_empty() && !json {
        print("Nobody is signed in.");
    }
    for name in names {
        said_out(&sign_in.sign_out(Some(&name)).await?, "signed out", json);
    }
    Ok(())
}

/// `lowtouch accounts …`.
pub(crate) async fn accounts(command: &AccountsCommand, common: &Common, json: bool) -> Result<(), Failure> {
    let sign_in = Access::open(common, &ApiArgs::default())?.sign_in().await?;
    match command {
        AccountsCommand::List => list(&sign_in, json),
        AccountsCommand::Use(AccountArgs { account }) => {
            let account = sign_in.use_account(account).await?;
            if json {
                print_json(&event("account-current", &account));
            } else {
                print(&format!("{} From now on as {}.", style("✓").green().bold(), whole(&account)));
            }
            Ok(())
        }
        AccountsCommand::Remove(AccountArgs { account }) => {
            said_out(&sign_in.remove(account).await?, "signed out and removed", json);
            Ok(())
        }
    }
}

fn list(sign_in: &SignIn, json: bool) -> Result<(), Failure> {
    let accounts = sign_in.accounts()?;
    let current = |account: &Account| accounts.current.as_ref() == Some(&account.name);
    if json {
        for account in &accounts.all {
            let mut value = event("account", account);
            value["current"] = current(account).into();
            print_json(&value);
        }
        return Ok(());
    }
    if accounts.all.is_empty() {
        print("Nobody has signed in here yet. `lowtouch login --help` says how.");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["", "Account", "Role", "Tenant", "Server", "State"]);
    for account in &accounts.all {
        table.add_row([
            if current(account) { "→" } else { "" }.to_owned(),
            account.name.clone(),
            role(account),
            account.tenant.clone().unwrap_or_else(|| "all".into()),
            account.server.to_string(),
            if account.signed_out { "signed out" } else { "signed in" }.to_owned(),
        ]);
    }
    print_table(table);
    Ok(())
}

/// `lowtouch whoami`.
pub(crate) async fn whoami(arguments: &ApiArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let access = Access::open(common, arguments)?;
    if access::token(arguments)?.is_some() {
        let config = access.config(arguments).await?;
        let installer = lowtouch_installer::Installer::new(config).await?;
        let client: &Client = installer.api().ok_or_else(|| PairingError::new(ErrorCode::ApiNotSet))?;
        let me = client.me().await?;
        if json {
            print_json(&merged("whoami", &me));
        } else {
            print(&format!("{}, until {}", me.name, me.expires_at));
        }
        return Ok(());
    }
    let sign_in = access.sign_in().await?;
    let account = access.account(&sign_in, arguments)?;
    match sign_in.who_am_i(Some(&account.name)).await {
        Ok((account, me)) if json => {
            let mut value = event("whoami", &account);
            value["tokenExpiresAt"] = me.expires_at.to_string().into();
            print_json(&value);
            Ok(())
        }
        Ok((account, _)) => {
            print(&format!("{}\n  {}", style(whole(&account)).bold(), account.server));
            Ok(())
        }
        Err(error) => {
            let unreached = matches!(
                error.code,
                ErrorCode::ApiUnreachable
                    | ErrorCode::ApiTimeout
                    | ErrorCode::SignInUnreachable
                    | ErrorCode::CaptivePortal
            );
            if unreached && !json {
                print(&format!("{} when {} last said so", whole(&account), account.server));
            }
            Err(error.into())
        }
    }
}

/// Where to sign in: what was named, what the settings name, where one was signed in before.
fn server(access: &Access, sign_in: &SignIn) -> Result<String, Failure> {
    if let Some(api) = access.settings.api() {
        return Ok(api);
    }
    let accounts = sign_in.accounts()?;
    let known = accounts.find(None).ok().map(|account| account.server.to_string());
    known.ok_or_else(|| {
        Failure::from(PairingError::new(ErrorCode::ApiNotSet))
            .help("`lowtouch login --api https://…` names the provisioning API; an invite names it itself (--invite).")
    })
}

/// Nobody is asked again for what is still valid. A server that cannot be asked about that is signed in at all the same:
/// the sign-in says better what is wrong.
async fn valid(sign_in: &SignIn, server: &str) -> Result<Option<Account>, Failure> {
    match sign_in.valid(server).await {
        Ok(found) => Ok(found),
        Err(error) if matches!(error.code, ErrorCode::NoRole) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn show(ask: Ask, json: bool) {
    match ask {
        Ask::Open { url } => {
            if json {
                print_json(&json!({ "event": "sign-in-open", "url": url }));
            } else {
                complain(&format!(
                    "Sign in with your browser. If it does not open by itself, open this page:\n  {url}"
                ));
            }
            if has_browser() {
                // It may wait for the browser to start; nobody waits for it.
                let _ = std::thread::Builder::new().spawn(move || webbrowser::open(url.as_str()));
            }
        }
        Ask::Enter { url, complete, code, expires_in } => {
            if json {
                print_json(&json!({
                    "event": "sign-in-code", "url": url, "completeUrl": complete, "code": code,
                    "expiresInS": expires_in.as_secs(),
                }));
                return;
            }
            if let Some(picture) =
                complete.and_then(|url| label::qr_terminal(&url.to_string().into()).ok()).filter(|_| input::can_ask())
            {
                complain(&picture);
            }
            complain(&format!(
                "On any device, open\n  {}\nand type this code (good for {} min):\n  {}",
                style(url).bold(),
                expires_in.as_secs().div_ceil(60),
                style(code).bold(),
            ));
        }
        _ => {}
    }
}

/// Whether a browser can show itself here.
fn has_browser() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let graphical = cfg!(any(target_os = "macos", windows)) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    // Over SSH the browser would come back to another machine.
    graphical && !set("SSH_CONNECTION")
}

fn say(done: &SignedIn, access: &Access, json: bool) {
    if json {
        let mut value = event("signed-in", &done.account);
        value["roundTrips"] = done.round_trips.into();
        value["seconds"] = done.seconds.into();
        value["renewable"] = done.renewable.into();
        value["clockWrongByS"] = done.clock_wrong_by_s.into();
        print_json(&value);
        return;
    }
    print(&format!(
        "{} Signed in as {}\n  {}, {} calls, {:.1} s; kept in {}",
        style("✓").green().bold(),
        style(whole(&done.account)).bold(),
        done.account.server,
        done.round_trips,
        done.seconds,
        access.secrets.describe(),
    ));
    if let Some(ahead) = done.clock_wrong_by_s {
        let (by, way) = (ahead.unsigned_abs().div_ceil(60), if ahead > 0 { "behind" } else { "ahead of" });
        complain(&format!("! The clock of this machine is {by} min {way} the server's. Set it right."));
    }
    if !done.renewable {
        complain("! The server gave nothing to renew the sign-in with: you will be asked again when it ends.");
    }
}

fn said_out(out: &SignedOut, what: &str, json: bool) {
    if json {
        let mut value = event("signed-out", &out.account);
        value["revoked"] = out.not_revoked.is_none().into();
        value["notRevoked"] = out.not_revoked.as_ref().map(|error| error.code.as_str()).into();
        print_json(&value);
        return;
    }
    print(&format!("{} {} is {what}.", style("✓").green().bold(), out.account.name));
    if let Some(error) = &out.not_revoked {
        complain(&format!(
            "! The server could not be told ({}). Its tokens end by themselves; nothing of them is left here.",
            error.code
        ));
    }
}

fn role(account: &Account) -> String {
    let role = serde_json::to_value(account.role).ok();
    role.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned()
}

fn whole(account: &Account) -> String {
    let tenant = account.tenant.as_ref().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
    format!("{}: {}{tenant}", account.name, role(account))
}

fn event(name: &str, account: &Account) -> Value {
    let mut value = merged(name, account);
    if let Value::Object(fields) = &mut value {
        // Long, and of no use to anybody who reads this.
        fields.remove("caPem");
    }
    value
}

fn merged(name: &str, what: &impl Serialize) -> Value {
    let mut value = json!({ "event": name });
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(what)) {
        all.extend(fields);
    }
    value
}

fn cancelled() -> Failure {
    Failure::new(Exit::Cancelled, ErrorCode::Cancelled.as_str(), "Cancelled.").help("Nobody was signed in.")
}
