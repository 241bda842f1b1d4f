//! Which provisioning API, and as whom: an account that is signed in, or a token from a file or the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lowtouch_installer::Config;
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::secrets::SecretStore;
use lowtouch_installer::settings::{Key, Settings, Source, Value, process_environment};
use lowtouch_installer::sign_in::{self, Account, SignIn};
use secrecy::{ExposeSecret as _, SecretString};

use crate::args::{ApiArgs, Common};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{config, data_dir, input, secrets};

/// Settings, accounts, and where secrets are kept. Asks for no secret before one is needed.
pub(crate) struct Access {
    pub(crate) settings: Settings,
    pub(crate) secrets: Arc<dyn SecretStore>,
    data_dir: PathBuf,
}

impl Access {
    pub(crate) fn open(common: &Common, arguments: &ApiArgs) -> Result<Access, Failure> {
        let settings = config::for_api(common, arguments)?;
        let data_dir = data_dir(common)?;
        let secrets = secrets::store(&settings, &data_dir);
        Ok(Access { settings, secrets, data_dir })
    }

    /// With settings that were read otherwise.
    pub(crate) fn of(settings: Settings, secrets: Arc<dyn SecretStore>, data_dir: &Path) -> Access {
        Access { settings, secrets, data_dir: data_dir.into() }
    }

    /// For signing in and out.
    pub(crate) async fn sign_in(&self) -> Result<SignIn, Failure> {
        let net = self.settings.net(self.secrets.as_ref(), &process_environment).await?;
        Ok(SignIn::new(&self.data_dir, self.secrets.clone(), net))
    }

    /// For pairing: with a token from a file or the environment, and then no keyring is touched; else as the account that is
    /// named, or belongs to the server that is named, or is the current one.
    pub(crate) async fn config(&self, arguments: &ApiArgs) -> Result<Config, Failure> {
        let overrides = self.settings.overrides();
        if let Some(token) = token(arguments)? {
            let api_url = self.settings.api().ok_or_else(|| PairingError::new(ErrorCode::ApiNotSet))?;
            let net = self.settings.net(self.secrets.as_ref(), &process_environment).await?;
            return Ok(Config {
                api_url: Some(api_url),
                token: Some(token),
                extra_ca_pem: net.extra_ca_pem,
                proxy: net.proxy,
                overrides,
                ..Config::new(&self.data_dir)
            });
        }
        // What is wrong with the address is said before who is missing there.
        if let Some(api) = self.settings.api() {
            sign_in::server(&api)?;
        }
        let sign_in = self.sign_in().await?;
        let account = self.account(&sign_in, arguments)?;
        Ok(Config { account: Some(sign_in.tokens(Some(&account.name))?), overrides, ..Config::new(&self.data_dir) })
    }

    /// The account that is meant.
    pub(crate) fn account(&self, sign_in: &SignIn, arguments: &ApiArgs) -> Result<Account, Failure> {
        let accounts = sign_in.accounts()?;
        if arguments.account.is_some() {
            return Ok(accounts.find(arguments.account.as_deref())?.clone());
        }
        let api = self.settings.get(Key::Api);
        let Some(Value::Text(address)) = api.value else { return Ok(accounts.find(None)?.clone()) };
        let server = sign_in::server(&address)?;
        // An address that was named for this command says who; the one in the file only where nobody is chosen.
        let named = matches!(api.source, Source::Flag(_) | Source::Environment(_));
        let current = accounts.find(None).ok();
        let found = current.into_iter().find(|account| !named || account.server == server);
        let found = found.or_else(|| accounts.all.iter().find(|account| account.server == server));
        found.cloned().ok_or_else(|| {
            Failure::from(PairingError::new(ErrorCode::ApiTokenMissing))
                .message(format!("You are not signed in at {server}."))
                .help(format!(
                    "`lowtouch login --api {server}` signs you in. For scripts there are tokens: --token-file FILE or {}.",
                    input::TOKEN_VARIABLE
                ))
        })
    }
}

/// The token that was given beside all accounts, if one was.
pub(crate) fn token(arguments: &ApiArgs) -> Result<Option<SecretString>, Failure> {
    let empty = |token: &SecretString| token.expose_secret().trim().is_empty();
    if let Some(path) = &arguments.token_file {
        let token = input::first_line("token file", Path::new(path))?;
        if empty(&token) {
            let code = ErrorCode::ApiTokenMissing.as_str();
            return Err(Failure::new(Exit::SignIn, code, "The token file is empty.")
                .help("An administrator issues tokens with `provisioning-api token`."));
        }
        return Ok(Some(token));
    }
    if arguments.account.is_some() {
        return Ok(None);
    }
    let token = std::env::var(input::TOKEN_VARIABLE).ok().map(|token| SecretString::from(token.trim()));
    Ok(token.filter(|token| !empty(token)))
}
