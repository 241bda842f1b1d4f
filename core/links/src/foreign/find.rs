use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::link::{CALL, of_radio};
use super::{Advertisement, Central, RadioError, Scan, ScanFilter};
use crate::LinkError;
use crate::ble::found::NAMESAKES;
use crate::ble::{Found, Progress, Target};
use crate::simulated::{SERVICE, SERVICE_COMMON};

/// Until a scan is tried again that the system has throttled. Android allows 5 in 30 s.
const THROTTLED: Duration = Duration::from_secs(6);
/// More devices than this are not counted.
const MOST: usize = 10_000;

/// Listens for `duration` and says what was heard, strongest first.
///
/// # Errors
/// [`LinkError::Adapter`], [`LinkError::PermissionDenied`], [`LinkError::Radio`] when the radio does not listen.
pub async fn scan(central: &dyn Central, duration: Duration) -> Result<Vec<Found>, LinkError> {
    let until = Instant::now() + duration;
    let scan = Running::start(central, ScanFilter::default(), until).await?;
    let mut heard = BTreeMap::new();
    while let Some(found) = scan.next(until).await? {
        if heard.len() < MOST || heard.contains_key(&found.address) {
            heard.insert(found.address.clone(), found);
        }
    }
    scan.stop().await;
    let mut heard: Vec<_> = heard.into_values().collect();
    heard.sort_by(|a, b| b.rssi.unwrap_or(i16::MIN).cmp(&a.rssi.unwrap_or(i16::MIN)).then(a.address.cmp(&b.address)));
    Ok(heard)
}

/// The one device that `target` means.
///
/// # Errors
/// As [`scan`]; [`LinkError::NotFound`] after `within`; [`LinkError::Ambiguous`].
pub async fn find(
    central: &dyn Central,
    target: &Target,
    within: Duration,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Found, LinkError> {
    let until = Instant::now() + within;
    let filter = match target {
        // A device may advertise its name alone, or its service where the name finds no room. In the background iOS hears
        // only those whose service was asked for.
        Target::Name(name) => ScanFilter { services: vec![SERVICE, SERVICE_COMMON], name: Some(name.clone()) },
        // That nothing can be asked for.
        Target::Address(_) => ScanFilter::default(),
    };
    let scan = Running::start(central, filter, until).await?;
    progress(Progress::Scanning);
    let mut others = BTreeMap::new();
    let mut matches: BTreeMap<String, Found> = BTreeMap::new();
    let mut settled = until;
    while let Some(found) = scan.next(settled).await? {
        if found.is(target) {
            if matches.is_empty() {
                let wait = if matches!(target, Target::Name(_)) { NAMESAKES } else { Duration::ZERO };
                settled = (Instant::now() + wait).min(until);
            }
            matches.insert(found.address.clone(), found);
        } else if matches.is_empty() && others.len() < MOST && others.insert(found.address, ()).is_none() {
            progress(Progress::Heard(others.len()));
        }
    }
    scan.stop().await;
    if matches.len() > 1 {
        return Err(LinkError::Ambiguous { name: target.to_string(), addresses: matches.into_keys().collect() });
    }
    let (_, found) = matches.pop_first().ok_or_else(|| LinkError::NotFound { what: format!("ble://{target}") })?;
    progress(Progress::Matched(found.clone()));
    Ok(found)
}

/// A scan that is stopped also when it is dropped.
struct Running(Option<Box<dyn Scan>>);

impl Running {
    async fn start(central: &dyn Central, filter: ScanFilter, until: Instant) -> Result<Self, LinkError> {
        loop {
            match timeout(CALL, central.scan(filter.clone())).await {
                Ok(Ok(scan)) => return Ok(Self(Some(scan))),
                Ok(Err(RadioError::ScanThrottled)) if Instant::now() + THROTTLED < until => sleep(THROTTLED).await,
                Ok(Err(error)) => return Err(of_radio(error)),
                Err(_) => return Err(LinkError::Timeout { what: "scan", after: CALL }),
            }
        }
    }

    /// `None` at `until`.
    async fn next(&self, until: Instant) -> Result<Option<Found>, LinkError> {
        let Some(scan) = &self.0 else { return Ok(None) };
        match timeout_at(until, scan.next()).await {
            Ok(Ok(Advertisement { address, name, rssi, services, service_data })) => {
                Ok(Some(Found::new(name, address, rssi, services, &service_data)))
            }
            Ok(Err(error)) => Err(of_radio(error)),
            Err(_) => Ok(None),
        }
    }

    async fn stop(mut self) {
        if let Some(scan) = &self.0 {
            let _ = timeout(CALL, scan.stop()).await;
        }
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(scan), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = timeout(CALL, scan.stop()).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;
    use crate::foreign::Connection;

    const NAME: &str = "PROV_CE03C0";
    const ADDRESS: &str = "24:0A:C4:CE:03:C0";

    /// Hears one device again and again, and keeps what it was asked to listen for.
    struct Recording {
        services: Vec<Uuid>,
        asked: Mutex<Vec<ScanFilter>>,
    }

    impl Recording {
        fn hearing(services: Vec<Uuid>) -> Self {
            Self { services, asked: Mutex::default() }
        }
    }

    struct Hears(Vec<Uuid>);

    #[async_trait]
    impl Central for Recording {
        async fn scan(&self, filter: ScanFilter) -> Result<Box<dyn Scan>, RadioError> {
            self.asked.lock().unwrap().push(filter);
            Ok(Box::new(Hears(self.services.clone())))
        }

        async fn connect(&self, _: &str) -> Result<Box<dyn Connection>, RadioError> {
            Err(RadioError::NotInReach)
        }
    }

    #[async_trait]
    impl Scan for Hears {
        async fn next(&self) -> Result<Advertisement, RadioError> {
            sleep(Duration::from_millis(100)).await;
            let (address, name) = (ADDRESS.to_owned(), Some(NAME.to_owned()));
            Ok(Advertisement { address, name, rssi: Some(-50), services: self.0.clone(), service_data: HashMap::new() })
        }

        async fn stop(&self) {}
    }

    async fn asked_for(target: Target, radio: &Recording) -> ScanFilter {
        let found = find(radio, &target, Duration::from_secs(30), |_| {}).await.unwrap();
        assert_eq!(found.address, ADDRESS);
        radio.asked.lock().unwrap().remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_is_looked_for_by_its_name_or_a_provisioning_service() {
        let filter = asked_for(Target::Name(NAME.into()), &Recording::hearing(vec![SERVICE])).await;
        assert_eq!(filter, ScanFilter { services: vec![SERVICE, SERVICE_COMMON], name: Some(NAME.into()) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_advertises_its_name_alone_is_found() {
        asked_for(Target::Name(NAME.into()), &Recording::hearing(Vec::new())).await;
    }

    #[tokio::test(start_paused = true)]
    async fn by_its_address_every_device_is_listened_for() {
        let filter = asked_for(Target::Address(ADDRESS.into()), &Recording::hearing(Vec::new())).await;
        assert_eq!(filter, ScanFilter::default());
    }
}
