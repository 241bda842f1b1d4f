//! A device on a serial port.
use async_trait::async_trait;

use crate::{Deadlines, Link, LinkError, Traffic};

/// Frames on a serial line.
pub struct SerialLink {}

impl SerialLink {
    /// Opens the port and says hello.
    pub async fn open(_path: &str, _baud: u32, _deadlines: Deadlines) -> Result<Self, LinkError> {
        Ok(Self {})
    }
}

#[async_trait]
impl Link for SerialLink {
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
