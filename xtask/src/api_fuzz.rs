//! The suite `fuzz-api`: schemathesis asks the provisioning API whatever its description allows, and what it does not.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::commands::{Outcome, output, root, run, target_folder};

/// The service key of the emulated instance; it guards nothing.
const SERVICE_KEY: &str = "bm90IGEgc2VjcmV0LCBhIHRlc3Q=";

/// What schemathesis holds every answer against. Who may what is not in it: provisioning-api/tests/who_may.rs asks every path as
/// everybody, and here so many wrong tokens would soon meet the pace for addresses.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance";

/// Who asks; each finds other doors open.
const ROLES: [&str; 3] = ["administrator", "installer", "auditor"];

pub(crate) fn test() -> Outcome {
    let schemathesis = install()?;
    let programs = target_folder()?.join("debug");
    let folder = Scratch::make()?;
    let at = |name: &str| folder.0.join(name).display().to_string();

    let mut emulator = Command::new(programs.join("azure-emulator"));
    emulator.args(["--https", "127.0.0.1:0", "--id-scope", "0ne00FA22ED", "--service-key", SERVICE_KEY]);
    emulator.args(["--tls-dir", &at("dps"), "--until-stdin-closes"]);
    let emulator = Service::start(&mut emulator)?;
    let dps = format!(
        "[[instance]]\nname = \"one\"\nid_scope = \"0ne00FA22ED\"\nservice_endpoint = \"https://{0}\"\n\
         global_device_endpoint = \"{0}\"\nkey_file = \"key\"\nca_file = \"dps/ca.pem\"\noperations_per_minute = 100000\n",
        emulator.said("https")?.trim_start_matches("https://")
    );
    write(&folder.0.join("key"), SERVICE_KEY)?;
    write(&folder.0.join("dps.toml"), &dps)?;

    let database = format!("sqlite:{}", at("api.db"));
    let mut api = Command::new(programs.join("provisioning-api"));
    api.args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes", "--database", &database]);
    api.args(["--tls-dir", &at("tls"), "--dps", &at("dps.toml")]).env("RUST_LOG", "warn");
    let api = Service::start(&mut api)?;
    let (url, ca) = (api.said("url")?.to_owned(), api.said("ca")?.to_owned());

    let api_program = programs.join("provisioning-api");
    let ask = |arguments: &[&str]| output(Command::new(&api_program).args(arguments));
    // Something to find, so that not every answer is 404.
    for device in ["sn-1", "sn-2", "0"] {
        ask(&["device", "add", "--database", &database, device])?;
    }
    let mut failed = Vec::new();
    for role in ROLES {
        let token = ask(&["token", "--database", &database, "--role", role, "--name", "fuzz"])?;
        println!("-- as {role}");
        let header = format!("Authorization: Bearer {}", token.trim());
        if fuzz(&schemathesis, &folder.0, &url, &ca, Some(&header)).is_err() {
            failed.push(role);
        }
    }
    println!("-- as nobody");
    if fuzz(&schemathesis, &folder.0, &url, &ca, None).is_err() {
        failed.push("nobody");
    }
    // Both end when their standard input does.
    drop((api, emulator));
    if failed.is_empty() { Ok(()) } else { Err(format!("schemathesis found something as {}", failed.join(", "))) }
}

fn fuzz(schemathesis: &Path, folder: &Path, url: &str, ca: &str, header: Option<&str>) -> Outcome {
    let from = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut command = Command::new(schemathesis);
    command.args(["run", &format!("{url}/v1/openapi.json"), "--url", url, "--tls-verify", ca, "--no-color"]);
    command.args([
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--warnings",
        "off",
        "--request-timeout",
        "20",
    ]);
    command.args(["--seed", &from("FUZZ_SEED", "1"), "--max-examples", &from("FUZZ_EXAMPLES", "8")]);
    // What is odd in its own making of forms is none of our faults, and a loaded machine's lost connection neither.
    command.args(["--suppress-health-check", "filter_too_much,too_slow", "--request-retries", "2"]);
    // Its own files stay in the scratch folder; the header holds a token, and is not shown.
    command.current_dir(folder).env("NO_PROXY", "*");
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    let status = command.status().map_err(|error| format!("cannot run schemathesis: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("schemathesis: {status}")) }
}

/// schemathesis in a virtual environment of its own, made once for each list of versions.
fn install() -> Outcome<PathBuf> {
    let wanted = root().join("tests/api-fuzz/requirements.txt");
    let folder = target_folder()?.join("api-fuzz");
    let program = folder.join("bin/schemathesis");
    let installed = folder.join("requirements.txt");
    let text = fs::read_to_string(&wanted).map_err(|error| format!("{}: {error}", wanted.display()))?;
    if program.exists() && fs::read_to_string(&installed).is_ok_and(|before| before == text) {
        return Ok(program);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = folder.join("bin/pip");
    run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    write(&installed, &text)?;
    Ok(program)
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder that goes with the suite.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("xtask-fuzz-api-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that says `ready {…}` and ends when its standard input does.
struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: Value,
}

impl Service {
    fn start(command: &mut Command) -> Outcome<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", command.get_program().to_string_lossy()))?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let ready = line.strip_prefix("ready ").and_then(|json| serde_json::from_str(json).ok());
        let ready = ready.ok_or_else(|| format!("{} is not ready", command.get_program().to_string_lossy()))?;
        Ok(Self { child, stdin, ready })
    }

    fn said(&self, name: &str) -> Outcome<&str> {
        self.ready[name].as_str().ok_or_else(|| format!("the ready line has no {name}"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
