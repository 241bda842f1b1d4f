//! Secret Services as no keyring should be. Only the methods that are called before the fault.

use std::collections::HashMap;

use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, fdo, interface};

use crate::bus::{Bus, NAME};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FakeService {
    /// Takes the first call and never answers it.
    NeverOpensASession,
    /// Everything is locked, and the prompt stays open.
    PromptsForever,
    /// Answers that access is denied.
    Refuses,
}

impl FakeService {
    pub(crate) async fn serve(self, bus: &Bus) -> Connection {
        zbus::connection::Builder::address(bus.address())
            .unwrap()
            .serve_at("/org/freedesktop/secrets", Service(self))
            .unwrap()
            .serve_at("/org/freedesktop/secrets/prompt/p1", Prompt)
            .unwrap()
            .name(NAME)
            .unwrap()
            .build()
            .await
            .unwrap()
    }
}

struct Service(FakeService);

fn path(text: &str) -> OwnedObjectPath {
    text.try_into().unwrap()
}

#[interface(name = "org.freedesktop.Secret.Service")]
impl Service {
    async fn open_session(&self, _algorithm: String, _input: OwnedValue) -> fdo::Result<(OwnedValue, OwnedObjectPath)> {
        match self.0 {
            FakeService::NeverOpensASession => std::future::pending().await,
            FakeService::Refuses => Err(fdo::Error::AccessDenied("not for you".into())),
            // Any number is somebody's public key.
            FakeService::PromptsForever => {
                let key = OwnedValue::try_from(Value::from(vec![7_u8; 128])).unwrap();
                Ok((key, path("/org/freedesktop/secrets/session/s1")))
            }
        }
    }

    fn search_items(&self, _attributes: HashMap<String, String>) -> (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) {
        (Vec::new(), vec![path("/org/freedesktop/secrets/collection/c/1")])
    }

    fn unlock(&self, _objects: Vec<OwnedObjectPath>) -> (Vec<OwnedObjectPath>, OwnedObjectPath) {
        (Vec::new(), path("/org/freedesktop/secrets/prompt/p1"))
    }
}

struct Prompt;

#[interface(name = "org.freedesktop.Secret.Prompt")]
impl Prompt {
    fn prompt(&self, _window: String) {}
}
