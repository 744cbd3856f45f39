//! A mail server that accepts every message and keeps it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use crate::hostile::serve;

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// What the clock of [`Mailbox::at`] showed before the server confirmed the message.
    pub moment: usize,
    /// The Message-ID.
    pub id: String,
    /// The whole message.
    pub text: String,
}

/// A mail server and the messages that it got.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    port: u16,
    messages: Vec<Message>,
    clock: Option<Box<dyn Fn() -> usize + Send>>,
}

impl Mailbox {
    /// Starts a server that runs until the test ends.
    #[must_use]
    pub fn start() -> Self {
        let mailbox = Self::default();
        let server = mailbox.clone();
        let port = serve(move |stream| server.talk(stream));
        mailbox.0.lock().unwrap().port = port;
        mailbox
    }

    /// The port of the server on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.lock().unwrap().port
    }

    /// Records the value of `clock` for each message that arrives from now on.
    pub fn at(&self, clock: impl Fn() -> usize + Send + 'static) {
        self.0.lock().unwrap().clock = Some(Box::new(clock));
    }

    /// Replaces all stored messages by `messages`.
    pub fn keep(&self, messages: Vec<Message>) {
        self.0.lock().unwrap().messages = messages;
    }

    /// The messages, one for each Message-ID: a client that gets no answer sends its message twice.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let mut messages = self.all();
        let mut seen = std::collections::BTreeSet::new();
        messages.retain(|message| seen.insert(message.id.clone()));
        messages
    }

    /// All messages, also those that came twice.
    #[must_use]
    pub fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap().messages.clone()
    }

    fn talk(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        stream.write_all(b"220 localhost\r\n")?;
        while let Some(line) = lines.next().transpose()? {
            if line == "DATA" {
                stream.write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                loop {
                    let Some(line) = lines.next().transpose()? else { return Ok(()) };
                    if line == "." {
                        break;
                    }
                    text += &line;
                    text.push('\n');
                }
                self.add(text);
            }
            stream.write_all(if line == "QUIT" { b"221 bye\r\n" } else { b"250 ok\r\n" })?;
        }
        Ok(())
    }

    fn add(&self, text: String) {
        let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
        let id = id.to_owned();
        let mut content = self.0.lock().unwrap();
        let moment = content.clock.as_ref().map_or(0, |clock| clock());
        content.messages.push(Message { moment, id, text });
    }
}
