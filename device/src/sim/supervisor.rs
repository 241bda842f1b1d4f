//! Boots the device, serves until the power goes, and boots it again.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{SimConfig, SimError};
use crate::hardware::Hardware;
use crate::identity::Identity;
use crate::power::Power;
use crate::responder::{Event, Responder};
use crate::storage::Flash;

pub(super) enum Command {
    PowerOn(oneshot::Sender<Result<(), SimError>>),
    Stop,
}

/// A device with everything that outlives its reboots.
pub(super) struct Machine {
    pub(super) config: Arc<SimConfig>,
    pub(super) identity: Identity,
    pub(super) endpoint_ca: Arc<Vec<Vec<u8>>>,
    pub(super) power: Power,
    pub(super) hardware: Hardware,
    pub(super) present: Arc<watch::Sender<Option<Responder>>>,
    pub(super) broken: Arc<watch::Sender<bool>>,
}

/// A device that is on.
pub(super) struct Booted {
    power: Power,
    responder: Responder,
    events: mpsc::UnboundedReceiver<Event>,
}

enum Ended {
    PowerOff,
    Stop,
    Broken(io::Error),
}

impl Machine {
    /// `power`: of this boot.
    pub(super) async fn boot(&self, power: Power, flash: Flash) -> Result<Booted, SimError> {
        let (responder, events) = Responder::boot(
            Arc::clone(&self.config),
            &self.identity,
            Arc::clone(&self.endpoint_ca),
            power.clone(),
            flash,
            self.hardware.max_value(),
        )
        .await?;
        self.present.send_replace(Some(responder.clone()));
        Ok(Booted { power, responder, events })
    }

    async fn reboot(&self) -> Result<Booted, SimError> {
        let power = self.power.boot();
        let flash = Flash::open(&self.config.state_dir, power.clone());
        let booted = match flash {
            Ok(flash) => self.boot(power, flash).await,
            Err(error) => Err(error.into()),
        };
        if booted.is_err() {
            self.power.cut();
        }
        booted
    }

    pub(super) async fn run(self, booted: Booted, mut commands: mpsc::Receiver<Command>) {
        let mut next = Some(booted);
        loop {
            let ended = match next.take() {
                Some(booted) => self.on(booted, &mut commands).await,
                None => Ended::PowerOff,
            };
            self.hardware.power_lost().await;
            self.present.send_replace(None);
            match ended {
                Ended::PowerOff => {}
                Ended::Stop => return,
                Ended::Broken(error) => {
                    tracing::error!(%error, "the link is gone");
                    self.broken.send_replace(true);
                    return;
                }
            }
            match self.off(&mut commands).await {
                Ok(booted) => next = Some(booted),
                Err(Ended::PowerOff) => {}
                Err(Ended::Stop) => return,
                Err(Ended::Broken(error)) => {
                    tracing::error!(%error, "the link is gone");
                    self.broken.send_replace(true);
                    return;
                }
            }
        }
    }

    /// Everything of the device runs inside this future, or in tasks that its responder ends when it is dropped.
    async fn on(&self, booted: Booted, commands: &mut mpsc::Receiver<Command>) -> Ended {
        let Booted { power, responder, events } = booted;
        tokio::select! {
            biased;
            () = power.gone() => Ended::PowerOff,
            () = stop(commands) => Ended::Stop,
            error = self.hardware.serve(responder.clone()) => Ended::Broken(error),
            never = forever(responder.run(events)) => match never {},
        }
    }

    /// Waits for power: by command, or as the fault plan says.
    async fn off(&self, commands: &mut mpsc::Receiver<Command>) -> Result<Booted, Ended> {
        let restart = self.power.restart_after();
        let restart = async {
            match restart {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = self.hardware.ignore() => Err(Ended::Broken(error)),
            () = restart => self.reboot().await.map_err(|error| {
                tracing::error!(%error, "the device does not boot");
                Ended::PowerOff
            }),
            command = commands.recv() => match command {
                None | Some(Command::Stop) => Err(Ended::Stop),
                Some(Command::PowerOn(answer)) => {
                    let booted = self.reboot().await;
                    let (answered, booted) = match booted {
                        Ok(booted) => (Ok(()), Ok(booted)),
                        Err(error) => (Err(error), Err(Ended::PowerOff)),
                    };
                    // Whoever asked may have gone.
                    let _ = answer.send(answered);
                    booted
                }
            },
        }
    }
}

/// Answers commands to a device that is on, until one says stop.
async fn stop(commands: &mut mpsc::Receiver<Command>) {
    loop {
        match commands.recv().await {
            None | Some(Command::Stop) => return,
            Some(Command::PowerOn(answer)) => {
                let _ = answer.send(Ok(()));
            }
        }
    }
}

async fn forever(task: impl Future<Output = ()>) -> Infallible {
    task.await;
    // The events' senders live as long as the device.
    std::future::pending().await
}
