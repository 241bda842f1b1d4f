//! What outlives a reboot of the simulated device: its socket, its serial line.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::responder::Responder;
use crate::shells::{ble, bluez, http, line::Line, serial};
use crate::sim::{SimError, SimLink};

/// The device's end of its link.
pub(crate) enum Hardware {
    Http(StdListener),
    Line(Arc<Line>),
    BleSim(StdListener),
    Ble(bluez::Adapter),
}

impl Hardware {
    /// Opens the link, and says how an app reaches it. `device_name`: under which a radio advertises it.
    pub(crate) async fn open(link: &SimLink, device_name: &str) -> Result<(Self, String), SimError> {
        let failed = |address: String| move |source| SimError::Link { link: address, source };
        match link {
            SimLink::Http(at) => {
                let (listener, at) = listen(*at).map_err(failed(format!("http://{at}")))?;
                Ok((Self::Http(listener), format!("http://{at}")))
            }
            SimLink::BleSim(at) => {
                let (listener, at) = listen(*at).map_err(failed(format!("ble-sim://{at}")))?;
                Ok((Self::BleSim(listener), format!("ble-sim://{at}")))
            }
            SimLink::Ble { adapter, readvertise } => {
                let address = format!("ble://{device_name}");
                let found = bluez::Adapter::find(adapter.as_deref(), device_name.to_owned(), *readvertise).await;
                Ok((Self::Ble(found.map_err(failed(address.clone()))?), address))
            }
            SimLink::Serial(path) => {
                let address = format!("serial://{}", path.display());
                let line = Line::port(path).map_err(failed(address.clone()))?;
                Ok((Self::Line(Arc::new(line)), address))
            }
            SimLink::Pty => {
                let (line, path) = Line::pty().map_err(failed("pty".to_owned()))?;
                Ok((Self::Line(Arc::new(line)), format!("serial://{}", path.display())))
            }
        }
    }

    /// The largest request or response value, in bytes.
    pub(crate) fn max_value(&self) -> usize {
        match self {
            Self::BleSim(_) | Self::Ble(_) => 512,
            Self::Http(_) | Self::Line(_) => 4096,
        }
    }

    /// Serves apps until dropped; returns only when the link is broken for good.
    pub(crate) async fn serve(&self, responder: Responder) -> io::Error {
        match self {
            Self::Http(listener) => match again(listener) {
                Ok(listener) => match http::serve(listener, responder).await {},
                Err(error) => error,
            },
            Self::BleSim(listener) => match again(listener) {
                Ok(listener) => {
                    let peripheral = ble::SimulatedPeripheral::new(responder);
                    match lowtouch_links::simulated::serve(listener, peripheral).await {
                        Ok(()) => io::ErrorKind::UnexpectedEof.into(),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            },
            Self::Ble(adapter) => adapter.serve(responder).await,
            Self::Line(line) => serial::serve(Arc::clone(line), responder).await,
        }
    }

    /// What becomes of those who are connected when the power goes.
    pub(crate) async fn power_lost(&self) {
        // Sockets and lines are closed by whoever serves them.
        if let Self::Ble(adapter) = self {
            adapter.drop_centrals().await;
        }
    }

    /// What a device without power does: nothing, and what is sent meanwhile is lost. Returns only when the link is
    /// broken for good.
    pub(crate) async fn ignore(&self) -> io::Error {
        match self {
            Self::Http(listener) | Self::BleSim(listener) => match again(listener) {
                Ok(listener) => loop {
                    match listener.accept().await {
                        Ok((stream, _)) => drop(stream),
                        Err(error) => return error,
                    }
                },
                Err(error) => error,
            },
            // Nothing is advertised, and nobody is connected.
            Self::Ble(_) => std::future::pending().await,
            Self::Line(line) => serial::ignore(line).await,
        }
    }
}

fn listen(at: SocketAddr) -> io::Result<(StdListener, SocketAddr)> {
    let listener = StdListener::bind(at)?;
    listener.set_nonblocking(true)?;
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// The same socket for one more boot.
fn again(listener: &StdListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener.try_clone()?)
}
