//! protocomm over a serial line, framed as docs/serial-framing.md says.

use std::io;
use std::sync::Arc;

use lowtouch_links::serial_frame::{Action, Answer, Responder as Framing};

use super::line::Line;
use crate::responder::{App, Reply, Responder};

/// Serves until the line breaks or this is dropped.
pub(crate) async fn serve(line: Arc<Line>, responder: Responder) -> io::Error {
    match run(&line, &responder).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run(line: &Line, responder: &Responder) -> io::Result<std::convert::Infallible> {
    let mut framing = Framing::new();
    let mut app: Option<App> = None;
    let mut buffer = [0; 1024];
    loop {
        let read = line.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for action in framing.receive(&buffer[..read]) {
            match action {
                Action::Send(bytes) => line.write_all(&bytes).await?,
                Action::Connected => {
                    let new = responder.new_app();
                    responder.connect(new).await;
                    app = Some(new);
                }
                Action::Disconnected => {
                    if let Some(gone) = app.take() {
                        responder.disconnect(gone).await;
                    }
                }
                Action::Request { ticket, endpoint, body } => {
                    let Some(app) = app else { continue };
                    let answer = match responder.handle(app, &endpoint, &body).await {
                        Reply::Response(bytes) => Answer::Response(bytes),
                        Reply::Refused | Reply::Closed => Answer::Refused,
                        Reply::Silence => continue,
                        Reply::UnknownEndpoint => Answer::UnknownEndpoint,
                    };
                    let bytes = framing.respond(ticket, answer);
                    if !bytes.is_empty() {
                        line.write_all(&bytes).await?;
                    }
                }
                // A later framing may ask for more; an app that needs it will say so by a time-out.
                _ => {}
            }
        }
    }
}

/// Drains the line while the device is off: nobody hears what is sent then. Ends only when the line breaks.
pub(crate) async fn ignore(line: &Line) -> io::Error {
    let mut buffer = [0; 1024];
    loop {
        match line.read(&mut buffer).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
