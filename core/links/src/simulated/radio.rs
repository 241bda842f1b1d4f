use std::time::Duration;

/// How good the radio is.
#[derive(Debug, Clone, PartialEq)]
pub struct Radio {
    /// ATT_MTU in bytes, 23 to 517.
    pub mtu: u16,
    /// Round-trip time of one ATT operation.
    pub latency: Duration,
    /// Probability, 0 to 1, that an ATT operation is lost for good. The link layer repeats a packet until it arrives or
    /// the supervision time-out ends the connection, so a lost operation costs `supervision` and the connection.
    pub loss: f64,
    /// How long the connection outlives the last packet: 0.1 to 32 s in the specification (Vol 6, Part B, 4.5.2).
    pub supervision: Duration,
    /// The peripheral goes out of reach once, after this many ATT operations.
    pub disconnect_after: Option<u64>,
    /// The central kept the GATT layout from an earlier link: connecting is two operations (the connection, the MTU), and
    /// nothing is discovered. False: the link's first connections discover it, and later ones of the same link know it.
    pub layout_known: bool,
    /// Of the random numbers that decide about loss: same seed, same losses.
    pub seed: u64,
}

impl Default for Radio {
    /// A good radio: MTU 517 and no latency, loss or disconnect. Supervision 4 s.
    fn default() -> Self {
        Self {
            mtu: 517,
            latency: Duration::ZERO,
            loss: 0.0,
            supervision: Duration::from_secs(4),
            disconnect_after: None,
            layout_known: false,
            seed: 0,
        }
    }
}

impl Radio {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !(23..=517).contains(&self.mtu) {
            return Err("mtu is 23 to 517");
        }
        if !(0.0..=1.0).contains(&self.loss) {
            return Err("loss is 0 to 1");
        }
        Ok(())
    }

    /// The settings that differ from the default, as a URL's query.
    pub(crate) fn to_query(&self) -> String {
        let default = Self::default();
        let mut settings = Vec::new();
        if self.mtu != default.mtu {
            settings.push(format!("mtu={}", self.mtu));
        }
        if self.latency != default.latency {
            settings.push(format!("latency_ms={}", self.latency.as_millis()));
        }
        if self.loss != default.loss {
            settings.push(format!("loss={}", self.loss));
        }
        if self.supervision != default.supervision {
            settings.push(format!("supervision_ms={}", self.supervision.as_millis()));
        }
        if let Some(operations) = self.disconnect_after {
            settings.push(format!("disconnect_after={operations}"));
        }
        if self.layout_known {
            settings.push("layout_known=1".to_owned());
        }
        if self.seed != default.seed {
            settings.push(format!("seed={}", self.seed));
        }
        settings.join("&")
    }
}
