//! The app's side of a hand-off, as plain as it can be: the link crate below, the protocol crate above.

use std::time::Duration;

use lowtouch_device::sim::Running;
use lowtouch_handoff::dps_config::client::{Call, Progress, commit, identify, stage, status};
use lowtouch_handoff::dps_config::{
    Config, FailureCode, IdentifyResponse, Phase, Request, Response, Result as Code, StatusResponse,
    SymmetricKeyCredential, config::Credential, response,
};
use lowtouch_handoff::protocomm::client::{Credentials, Handshake, HandshakeError, Next, Session};
use lowtouch_handoff::{dps_config, proto_ver, protocomm};
use lowtouch_links::{Deadlines, Link, LinkError};
use serde_json::Value;

#[derive(Debug)]
pub(crate) enum AppError {
    Link(LinkError),
    Handshake(HandshakeError),
}

impl From<LinkError> for AppError {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

pub(crate) struct App {
    pub(crate) link: Box<dyn Link>,
    session: Session,
    transfer: u32,
}

pub(crate) fn deadlines() -> Deadlines {
    Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_secs(5) }
}

impl App {
    /// Connects and proves itself with what the label says.
    pub(crate) async fn connect(device: &Running) -> Result<Self, AppError> {
        let label: Value = serde_json::from_str(device.label()).unwrap();
        Self::connect_with(device, label["pop"].as_str().unwrap_or_default()).await
    }

    pub(crate) async fn connect_with(device: &Running, pop: &str) -> Result<Self, AppError> {
        let label = serde_json::from_str(device.label()).unwrap();
        Self::connect_to(device.address(), &label, pop).await
    }

    pub(crate) async fn connect_to(address: &str, label: &Value, pop: &str) -> Result<Self, AppError> {
        let address = address.parse().unwrap();
        let mut link = lowtouch_links::open(&address, deadlines()).await?;
        let version = link.exchange(proto_ver::ENDPOINT, b"---").await?;
        let version = proto_ver::parse(&version).unwrap();
        assert_eq!(version.lowtouch.as_ref().unwrap().ver, "v1");
        assert_eq!(u64::from(version.sec_ver), label["security"].as_u64().unwrap());
        let credentials = match version.sec_ver {
            0 => Credentials::Security0,
            1 => Credentials::Security1 { pop: pop.into() },
            _ => Credentials::Security2 {
                username: label["username"].as_str().unwrap().to_owned(),
                password: pop.into(),
                patch_ver: version.sec_patch_ver,
            },
        };
        let mut entropy = [0; 64];
        getrandom::fill(&mut entropy).unwrap();
        let (mut handshake, mut request) = Handshake::start(credentials, &entropy).map_err(AppError::Handshake)?;
        loop {
            let response = match link.exchange(protocomm::ENDPOINT, &request).await {
                Err(LinkError::Refused { .. }) => return Err(AppError::Handshake(handshake.refused())),
                response => response?,
            };
            match handshake.handle(&response).map_err(AppError::Handshake)? {
                Next::Send(next, bytes) => (handshake, request) = (next, bytes),
                Next::Secured(session) => return Ok(Self { link, session, transfer: 0 }),
            }
        }
    }

    /// One sealed exchange.
    pub(crate) async fn exchange(&mut self, endpoint: &str, plain: &[u8]) -> Result<Vec<u8>, AppError> {
        let sealed = self.session.seal(plain).unwrap();
        let response = self.link.exchange(endpoint, &sealed).await?;
        Ok(self.session.open(&response).unwrap())
    }

    pub(crate) async fn call(&mut self, request: &Request) -> Result<Response, AppError> {
        self.transfer += 1;
        let mut call = Call::new(request, self.link.max_value() - self.session.overhead(), self.transfer);
        while let Some(message) = call.next() {
            let reply = self.exchange(dps_config::ENDPOINT, &message).await?;
            if let Progress::Done(response) = call.handle(&reply).unwrap() {
                return Ok(response);
            }
        }
        panic!("the call ended without a response")
    }

    pub(crate) async fn identify(&mut self) -> Result<IdentifyResponse, AppError> {
        match self.call(&identify(true)).await?.body {
            Some(response::Body::Identify(identity)) => Ok(identity),
            other => panic!("{other:?}"),
        }
    }

    /// Stage and commit; the first answer that is not OK.
    pub(crate) async fn hand_off(&mut self, handoff_id: [u8; 16], config: &Config) -> Result<Code, AppError> {
        let (request, digest) = stage(&handoff_id, 60, config, None);
        let staged = self.call(&request).await?;
        if staged.result != i32::from(Code::Ok) {
            return Ok(Code::try_from(staged.result).unwrap());
        }
        let Some(response::Body::Stage(body)) = staged.body else { panic!("no stage response") };
        assert_eq!(body.digest, digest);
        let committed = self.call(&commit(&handoff_id, &digest)).await?;
        Ok(Code::try_from(committed.result).unwrap())
    }

    pub(crate) async fn status(&mut self) -> Result<StatusResponse, AppError> {
        match self.call(&status()).await?.body {
            Some(response::Body::Status(status)) => Ok(status),
            other => panic!("{other:?}"),
        }
    }

    /// Asks until the device has come to an end, at most 20 s.
    pub(crate) async fn end(&mut self) -> Result<StatusResponse, AppError> {
        let asked = async {
            loop {
                let status = self.status().await?;
                match status.phase() {
                    Phase::Assigned | Phase::Failed => return Ok(status),
                    _ => tokio::time::sleep(Duration::from_millis(u64::from(status.poll_after_ms.max(20)))).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the device comes to no end")
    }
}

pub(crate) fn symmetric(device: &Running, endpoint: &str, ca: &[u8]) -> Config {
    Config {
        id_scope: "0ne00000001".into(),
        global_device_endpoint: endpoint.into(),
        registration_id: device.registration_id().into(),
        credential: Some(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![7; 32] })),
        endpoint_ca: vec![ca.to_vec()],
        owner_public_key: Vec::new(),
        certificate_from_dps: false,
    }
}

pub(crate) fn failure(status: &StatusResponse) -> FailureCode {
    status.failed.as_ref().expect("no failure").code()
}
