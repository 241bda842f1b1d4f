//! The words for a pairing's events: which step is done, and what is being waited for.

use lowtouch_installer::events::{DevicePhase, NetworkState, WaitingFor, Warning};
use lowtouch_installer::retry::{CircuitState, Reason};
use lowtouch_installer::{PairingEvent, Step};
use serde::Serialize;

/// Something to show.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Say {
    /// A step begins: what is being waited for from now on.
    Wait(String),
    /// The same step goes on, and now waits for this.
    Still(String),
    /// A step is done.
    Done { text: String, seconds: f64 },
    /// Something that works, but should be known.
    Warn(String),
}

/// What was told so far; a step's last words need facts from the events before it.
#[derive(Debug, Default)]
pub(crate) struct Story {
    link: Option<String>,
    resumed: Option<bool>,
    found: Option<String>,
    security: Option<u8>,
    identity: Option<String>,
    allocation: Option<String>,
    network_given: bool,
    digest: Option<String>,
    /// A step whose last words still lack a fact, which comes in the next event.
    held: Option<(Step, f64)>,
}

impl Story {
    /// What to show for an event.
    pub(crate) fn tell(&mut self, event: &PairingEvent) -> Vec<Say> {
        let held = self.held.take();
        let say = self.say(event);
        let held = held.map(|(step, seconds)| Say::Done { text: self.done_text(step), seconds });
        held.into_iter().chain(say).collect()
    }

    fn say(&mut self, event: &PairingEvent) -> Option<Say> {
        Some(match event {
            PairingEvent::Started { resumed, link, .. } => {
                self.link = Some(link.clone());
                self.resumed = Some(*resumed);
                return None;
            }
            PairingEvent::StepStarted { step, waiting_for, .. } => Say::Wait(waiting_text(*step, *waiting_for).into()),
            PairingEvent::StepDone { step, seconds, .. } if !self.knows_about(*step) => {
                self.held = Some((*step, *seconds));
                return None;
            }
            PairingEvent::StepDone { step, seconds, .. } => {
                Say::Done { text: self.done_text(*step), seconds: *seconds }
            }
            PairingEvent::Searching { heard: 0 } => Say::Wait("Listening for the device".into()),
            PairingEvent::Searching { heard } => {
                let devices = if *heard == 1 { "device is" } else { "devices are" };
                Say::Still(format!("{heard} other Bluetooth {devices} in reach; still listening for this one"))
            }
            PairingEvent::DeviceFound { name, address, rssi } => {
                let strength = rssi.map(|rssi| format!(", {rssi} dBm")).unwrap_or_default();
                self.found = Some(format!("Found {name} ({address}{strength})"));
                return None;
            }
            PairingEvent::Retrying { code, after_ms, reason, .. } => {
                let (what, _) = code.hint().split_once(". ").unwrap_or((code.hint(), ""));
                let asked = if *reason == Reason::RetryAfter { ", as it asks" } else { "" };
                Say::Still(format!("{what}; trying again in {:.1} s{asked}", *after_ms as f64 / 1000.0))
            }
            PairingEvent::Offline { at_most_s, .. } => Say::Still(format!(
                "Waiting for the network: this machine has none (at most {} min; Ctrl-C stops, and a rerun continues)",
                at_most_s.div_ceil(60)
            )),
            PairingEvent::Online { .. } => Say::Still("The network is back; going on".into()),
            PairingEvent::Circuit { endpoint, state, again_in_ms, .. } => Say::Still(match (state, again_in_ms) {
                (CircuitState::Open, Some(ms)) => {
                    format!("Many calls of {endpoint} failed; it is left alone for {:.1} s", *ms as f64 / 1000.0)
                }
                (CircuitState::Closed, _) => format!("{endpoint} answers again"),
                _ => format!("One call tries whether {endpoint} answers again"),
            }),
            PairingEvent::Secured { security } => {
                self.security = Some(*security);
                return None;
            }
            PairingEvent::DeviceIdentified { registration_id, model, firmware, .. } => {
                self.identity = Some(format!("It is {registration_id}: {model}, firmware {firmware}"));
                return None;
            }
            PairingEvent::Allocated { dps_instance, id_scope, attestation, .. } => {
                self.allocation = Some(format!(
                    "It belongs to DPS instance {dps_instance} ({id_scope}), by {}",
                    attestation_text(attestation)
                ));
                return None;
            }
            PairingEvent::WaitingForSlot { starts_at, wait_s } => {
                let at = starts_at.strftime("%H:%M:%S");
                Say::Still(format!(
                    "Its turn to register is at {at} UTC, in {} min {} s; waiting (Ctrl-C stops, and it keeps its turn)",
                    wait_s / 60,
                    wait_s % 60
                ))
            }
            PairingEvent::Unsealed { .. } => Say::Still(
                "There is no connection to the provisioning API; using what was downloaded with the work order".into(),
            ),
            PairingEvent::Network { state } => {
                self.network_given = *state != NetworkState::Scanning || self.network_given;
                Say::Still(
                    match state {
                        NetworkState::Scanning => "The device is looking for Wi-Fi networks",
                        NetworkState::Sending => "Giving the device the Wi-Fi",
                        NetworkState::Connecting => "The device is joining the Wi-Fi",
                        NetworkState::Connected => "The device is on the Wi-Fi",
                        NetworkState::Failed => "The device could not join the Wi-Fi",
                        _ => return None,
                    }
                    .into(),
                )
            }
            PairingEvent::HandedOff { digest } => {
                self.digest = Some(digest.clone());
                return None;
            }
            PairingEvent::DeviceStatus { phase, attempts } => {
                let text = match phase {
                    DevicePhase::Connecting => "The device is reaching for DPS",
                    DevicePhase::Registering => "The device is registering; DPS chooses its hub",
                    DevicePhase::Assigned => "The device is assigned",
                    _ => return None,
                };
                let again = if *attempts > 1 { format!(" (attempt {attempts})") } else { String::new() };
                Say::Still(format!("{text}{again}"))
            }
            PairingEvent::Reconnecting { attempt } => {
                Say::Still(format!("The connection to the device was lost; connecting again (attempt {attempt})"))
            }
            PairingEvent::Warning { warning } => Say::Warn(warning_text(warning)),
            // The ends are shown by the command, which knows what was asked.
            _ => return None,
        })
    }

    fn knows_about(&self, step: Step) -> bool {
        match step {
            Step::Secure => self.security.is_some(),
            Step::Identify => self.identity.is_some(),
            Step::Allocate => self.allocation.is_some(),
            Step::HandOff => self.digest.is_some(),
            _ => true,
        }
    }

    fn done_text(&self, step: Step) -> String {
        match step {
            Step::Discover => match (&self.found, self.resumed) {
                (Some(found), _) => found.clone(),
                (None, Some(true)) => "An earlier pairing of this device was interrupted; this one finishes it".into(),
                _ => "The journal is ready".into(),
            },
            Step::Connect => match &self.link {
                Some(link) => format!("Connected over {link}"),
                None => "Connected".into(),
            },
            Step::Secure => match self.security {
                Some(0) => "Connected without any protection (Security 0)".into(),
                Some(security) => format!("The label fits the device; the session is encrypted (Security {security})"),
                None => "The label fits the device".into(),
            },
            Step::Identify => self.identity.clone().unwrap_or_else(|| "The device said who it is".into()),
            Step::Allocate => self.allocation.clone().unwrap_or_else(|| "The provisioning API answered".into()),
            Step::Network if self.network_given => "The device is on the Wi-Fi".into(),
            Step::Network => "The device is on a network already".into(),
            Step::HandOff => match &self.digest {
                Some(digest) => {
                    format!("Handed over; the device holds the same digest {}…", digest.get(..12).unwrap_or(digest))
                }
                None => "Handed over".into(),
            },
            Step::Confirm => "The device says that it is registered".into(),
            Step::Record => "Recorded in the journal and at the provisioning API".into(),
            other => other.as_str().into(),
        }
    }
}

fn waiting_text(step: Step, waiting_for: WaitingFor) -> &'static str {
    match (step, waiting_for) {
        (Step::Discover, WaitingFor::Device) => "Looking for the device",
        (Step::Discover, _) => "Looking into the journal",
        (Step::Connect, _) => "Connecting to the device",
        (Step::Secure, _) => "Checking the label against the device",
        (Step::Identify, _) => "Asking the device who it is",
        (Step::Allocate, WaitingFor::Device) => "Waiting for the device's certificate request",
        (Step::Allocate, _) => "Asking the provisioning API where the device belongs",
        (Step::Network, _) => "Getting the device onto its network",
        (Step::HandOff, _) => "Handing over the ID scope and the credential",
        (Step::Confirm, _) => "Waiting until the device is registered",
        (Step::Record, WaitingFor::Api) => "Telling the provisioning API",
        (Step::Record, _) => "Writing the journal",
        _ => "Working",
    }
}

fn warning_text(warning: &Warning) -> String {
    match warning {
        Warning::SessionUnprotected => {
            "This session has no protection: anyone nearby can read and change everything".into()
        }
        Warning::SessionWithoutIntegrity => {
            "Security 1 does not notice changes on the way; newer firmware can use Security 2".into()
        }
        Warning::SessionNonceReuse => {
            "This firmware encrypts weakly (ESP-IDF up to 5.4 repeats its nonce); plan an update".into()
        }
        Warning::SecurityDowngraded { label, device } => {
            format!("The label says Security {label}, the device only does {device}; allowed by --allow-downgrade")
        }
        Warning::OwnerNotChecked => {
            "This firmware does not check its owner's signature: whoever has the label can take the device".into()
        }
        Warning::AlreadyOwned => "The device has an owner already".into(),
        Warning::CodesGuessed { count } => {
            format!("Somebody tried {count} wrong codes at this device since it was last opened with the right one")
        }
        Warning::OutcomeNotRecorded { code } => {
            format!(
                "The provisioning API could not be told the outcome ({code}); the journal has it, and a rerun tells it"
            )
        }
        Warning::ConfirmedByApi => "The link was lost after the hand-off; DPS itself confirmed the registration".into(),
        Warning::IdScopeOverridden { given, sent } => {
            format!("The settings send the device to ID scope {sent}; the provisioning API gave {given} and counts it there")
        }
        Warning::EndpointOverridden { given, sent } => {
            format!("The settings give the device the endpoint {sent} instead of the provisioning API's {given}")
        }
        Warning::WifiNotCleared => {
            "This firmware cannot be told to forget the attempt; if the next one is refused, use the device's reset button"
                .into()
        }
        other => format!("{other:?}"),
    }
}

/// `x509` and so on, in the words of a person.
pub(crate) fn attestation_text(attestation: &impl Serialize) -> String {
    match serde_json::to_value(attestation).ok().as_ref().and_then(serde_json::Value::as_str) {
        Some("x509") => "X.509".into(),
        Some("symmetricKey") => "symmetric key".into(),
        Some("tpm") => "TPM".into(),
        other => other.unwrap_or("?").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(value: serde_json::Value) -> PairingEvent {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pairing_reads_as_a_story() {
        let mut story = Story::default();
        let mut told = Vec::new();
        for value in [
            json!({"event": "started", "handoffId": "00000000-0000-4000-8000-000000000000", "resumed": false, "name": "PROV_1", "link": "http://192.168.4.1"}),
            json!({"event": "step-started", "step": "connect", "waitingFor": "device", "deadlineS": 30}),
            json!({"event": "step-done", "step": "connect", "seconds": 0.25, "roundTrips": 1}),
            json!({"event": "step-done", "step": "secure", "seconds": 0.25, "roundTrips": 2}),
            json!({"event": "secured", "security": 2}),
            json!({"event": "device-identified", "registrationId": "pump-1", "model": "P", "firmware": "1.2", "attestations": ["x509"], "phase": "empty"}),
            json!({"event": "step-done", "step": "identify", "seconds": 0.25, "roundTrips": 1}),
            json!({"event": "retrying", "step": "allocate", "code": "api-throttled", "afterMs": 1500}),
            json!({"event": "retrying", "step": "allocate", "code": "api-throttled", "afterMs": 7000, "reason": "retry-after"}),
            json!({"event": "offline", "step": "allocate", "atMostS": 900}),
            json!({"event": "online", "step": "allocate", "afterMs": 4000}),
            json!({"event": "circuit", "step": "allocate", "endpoint": "https://a.example", "state": "open", "againInMs": 20000}),
            json!({"event": "circuit", "step": "allocate", "endpoint": "https://a.example", "state": "half-open"}),
            json!({"event": "circuit", "step": "allocate", "endpoint": "https://a.example", "state": "closed"}),
            json!({"event": "allocated", "dpsInstance": "north", "idScope": "0ne1", "globalDeviceEndpoint": "h:1", "attestation": "symmetricKey"}),
            json!({"event": "step-done", "step": "allocate", "seconds": 2.0, "roundTrips": 0}),
            json!({"event": "network", "state": "connecting"}),
            json!({"event": "step-done", "step": "network", "seconds": 1.0, "roundTrips": 3}),
            json!({"event": "handed-off", "digest": "0123456789abcdef"}),
            json!({"event": "step-done", "step": "hand-off", "seconds": 0.1, "roundTrips": 2}),
            json!({"event": "warning", "warning": "owner-not-checked"}),
            json!({"event": "device-status", "phase": "registering", "attempts": 2}),
            json!({"event": "step-done", "step": "confirm", "seconds": 0.1, "roundTrips": 2}),
            json!({"event": "step-done", "step": "record", "seconds": 0.1, "roundTrips": 0}),
        ] {
            told.extend(story.tell(&event(value)));
        }
        let lines: Vec<_> = told
            .iter()
            .map(|say| match say {
                Say::Wait(text) => format!("wait   {text}"),
                Say::Still(text) => format!("still  {text}"),
                Say::Done { text, seconds } => format!("done   {text} ({seconds})"),
                Say::Warn(text) => format!("warn   {text}"),
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
