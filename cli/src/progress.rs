//! A pairing's events as a person, a log or a program reads them.

use std::io::IsTerminal as _;
use std::time::Duration;

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lowtouch_installer::pairing::Pairing;
use lowtouch_installer::{ErrorCode, PairingError, PairingEvent};
use serde_json::Value;

use crate::interrupt::Interrupts;
use crate::output::{print, print_json};
use crate::story::{Say, Story};

/// Shows the events of one pairing.
pub(crate) struct Progress {
    story: Story,
    show: Show,
}

enum Show {
    /// A terminal: one line that lives, with the steps that are done above it.
    Live(ProgressBar),
    /// No terminal: a line for what is done.
    Plain,
    /// A program. The text is put into every event as `device`, where there are several.
    Json(Option<String>),
}

impl Progress {
    /// For a command that pairs one device.
    pub(crate) fn new(json: bool) -> Self {
        let show = if json {
            Show::Json(None)
        } else if std::io::stdout().is_terminal() {
            Show::Live(live())
        } else {
            Show::Plain
        };
        Self { story: Story::default(), show }
    }

    /// For one of several devices.
    pub(crate) fn of_device(json: bool, device: &str) -> Self {
        let mut progress = Self::new(json);
        if let Show::Json(name) = &mut progress.show {
            *name = Some(device.to_owned());
        }
        progress
    }

    /// Shows the pairing until its end, and ends it when the person wants that.
    pub(crate) async fn follow<T: Send + 'static>(
        mut self,
        pairing: Pairing<T>,
        interrupts: &Interrupts,
    ) -> Result<T, PairingError> {
        let mut events = pairing.events();
        let mut cancelling = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.show(&event),
                    None => break,
                },
                () = interrupts.asked(), if !cancelling => {
                    cancelling = true;
                    pairing.cancel();
                    self.say(Say::Wait("Cancelling".into()));
                }
                () = interrupts.urged() => break,
            }
        }
        if let Show::Live(line) = &self.show {
            line.finish_and_clear();
        }
        tokio::select! {
            outcome = pairing.outcome() => outcome,
            () = interrupts.urged() => Err(PairingError::new(ErrorCode::Cancelled)),
        }
    }

    fn show(&mut self, event: &PairingEvent) {
        if let Show::Json(device) = &self.show {
            match device {
                None => print_json(event),
                Some(device) => {
                    let mut value = serde_json::to_value(event).unwrap_or_default();
                    if let Value::Object(fields) = &mut value {
                        fields.insert("device".into(), device.as_str().into());
                    }
                    print_json(&value);
                }
            }
            return;
        }
        for say in self.story.tell(event) {
            self.say(say);
        }
    }

    fn say(&self, say: Say) {
        let line = match say {
            Say::Wait(text) => {
                if let Show::Live(line) = &self.show {
                    line.reset_elapsed();
                    line.set_message(text);
                }
                return;
            }
            Say::Still(text) => match &self.show {
                Show::Live(line) => {
                    line.set_message(text);
                    return;
                }
                _ => format!("  … {text}"),
            },
            Say::Done { text, seconds } => {
                format!("  {} {text}  {}", style("✓").green(), style(format!("{seconds:.2} s")).dim())
            }
            Say::Warn(text) => format!("  {} {text}", style("!").yellow().bold()),
        };
        match &self.show {
            Show::Live(live) => live.println(line),
            Show::Plain => print(&console::strip_ansi_codes(&line)),
            Show::Json(_) => {}
        }
    }
}

fn live() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}  {elapsed:.dim}") {
        line.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    line.enable_steady_tick(Duration::from_millis(120));
    line
}
