//! protocomm over HTTP.
use async_trait::async_trait;
use url::Url;

use crate::{Deadlines, Link, LinkError, Traffic};

/// protocomm over one HTTP/1.1 connection.
pub struct HttpLink {}

impl HttpLink {
    /// Connects.
    pub async fn open(_url: &Url, _deadlines: Deadlines) -> Result<Self, LinkError> {
        Ok(Self {})
    }
}

#[async_trait]
impl Link for HttpLink {
    async fn exchange(&mut self, _endpoint: &str, _request: &[u8]) -> Result<Vec<u8>, LinkError> {
        Err(LinkError::Lost)
    }
    fn max_value(&self) -> usize {
        4096
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
    async fn reconnect(&mut self) -> Result<(), LinkError> {
        Err(LinkError::Lost)
    }
    async fn close(&mut self) {}
    fn describe(&self) -> String {
        String::new()
    }
}
