use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lowtouch_links::{Link, LinkError, Traffic};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A process with a real `ble://` link, on its own bus. It is a [`Link`] too, for what runs above links.
pub struct Probe {
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What the probe said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The value, or null.
    pub ok: Value,
    /// The error's name as `Debug` shows it (`Lost`, `Refused { … }`), when there was one.
    pub error: Option<String>,
    /// The error in words.
    pub words: String,
    /// How long it took.
    pub took: Duration,
}

impl Probe {
    /// Starts the program at `path` on `bus`.
    pub async fn start(path: &str, bus: &str) -> Self {
        let mut process = Command::new(path)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, input, lines }
    }

    /// Opens a link. Deadlines in milliseconds.
    pub async fn open(&mut self, address: &str, connect: u64, exchange: u64) -> Answer {
        self.ask(json!({"do": "open", "address": address, "connect": connect, "exchange": exchange})).await
    }

    /// Listens for so many milliseconds.
    pub async fn scan(&mut self, duration: u64) -> Answer {
        self.ask(json!({"do": "scan", "duration": duration})).await
    }

    /// Looks for a device within so many milliseconds: its address, and what was told meanwhile.
    pub async fn find(&mut self, address: &str, within: u64) -> Answer {
        self.ask(json!({"do": "find", "address": address, "within": within})).await
    }

    /// A whole pairing of the device that `label` names: its events. `setup`: `api`, `token`, `ca` and `folder`.
    pub async fn pair(&mut self, label: &str, mut setup: Value) -> Vec<Value> {
        setup["do"] = "pair".into();
        setup["label"] = label.into();
        self.ask(setup).await.value().as_array().cloned().unwrap_or_default()
    }

    /// One exchange; the answer's value is hex.
    pub async fn exchanged(&mut self, endpoint: &str, request: &[u8]) -> Answer {
        self.ask(json!({"do": "exchange", "endpoint": endpoint, "request": hex::encode(request)})).await
    }

    /// Begins an exchange and drops it after so many milliseconds.
    pub async fn dropped(&mut self, endpoint: &str, request: &[u8], after: u64) -> Answer {
        let request = hex::encode(request);
        self.ask(json!({"do": "drop", "endpoint": endpoint, "request": request, "after": after})).await
    }

    /// A new connection.
    pub async fn reconnected(&mut self) -> Answer {
        self.ask(json!({"do": "reconnect"})).await
    }

    /// MTU, address, RSSI and ATT operations of the link.
    pub async fn facts(&mut self) -> Value {
        self.ask(json!({"do": "facts"})).await.ok
    }

    /// Closes the link; the process goes on.
    pub async fn closed(&mut self) -> Answer {
        self.ask(json!({"do": "close"})).await
    }

    /// Ends the process, which must end by itself.
    pub async fn finish(mut self) {
        drop(self.input);
        let status = timeout(Duration::from_secs(20), self.process.wait()).await.expect("the probe ends").unwrap();
        assert!(status.success(), "{status}");
    }

    async fn ask(&mut self, command: Value) -> Answer {
        let begun = Instant::now();
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let line = timeout(Duration::from_secs(40), self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("the probe hangs at {command}")).unwrap().expect("the probe lives");
        let answer: Value = serde_json::from_str(&line).unwrap();
        Answer {
            ok: answer["ok"].clone(),
            error: answer["error"].as_str().map(str::to_owned),
            words: answer["words"].as_str().unwrap_or_default().to_owned(),
            took: begun.elapsed(),
        }
    }
}

impl Answer {
    /// The value; panics with the error otherwise.
    #[track_caller]
    pub fn value(self) -> Value {
        assert!(self.error.is_none(), "{self:?}");
        self.ok
    }

    /// Whether the error begins with this name.
    #[track_caller]
    pub fn fails_with(&self, name: &str) {
        let error = self.error.as_deref().unwrap_or("no error");
        assert!(error.starts_with(name), "{name} expected: {self:?}");
    }
}

#[async_trait]
impl Link for Probe {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let answer = self.exchanged(endpoint, request).await;
        match answer.error.as_deref() {
            None => Ok(hex::decode(answer.ok.as_str().unwrap()).unwrap()),
            Some(error) if error.starts_with("Refused") => Err(LinkError::Refused { endpoint: endpoint.to_owned() }),
            Some("Lost") => Err(LinkError::Lost),
            Some(error) => Err(LinkError::Unsupported { what: error.to_owned() }),
        }
    }

    fn max_value(&self) -> usize {
        512
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        match self.reconnected().await.error {
            None => Ok(()),
            Some(what) => Err(LinkError::Unsupported { what }),
        }
    }

    async fn close(&mut self) {
        self.closed().await;
    }

    fn describe(&self) -> String {
        "a probe".to_owned()
    }
}
