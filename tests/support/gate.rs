//! A door in front of Postgres: connections pass until it is shut, and those that are through are cut. It can also
//! lose one answer: the database has done what it was told, and nobody hears.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Which answer is lost.
#[derive(Debug, Clone)]
pub(crate) enum Loss {
    /// That to the first message that holds this text.
    Statement(String),
    /// That to the commit of the first transaction in which this text is sent.
    Commit(&'static str),
}

/// The door.
pub(crate) struct Gate {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    is_open: watch::Sender<bool>,
    loss: Mutex<Option<Loss>>,
}

impl Gate {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = watch::Sender::new(true);
        let shared = Arc::new(Shared {
            target,
            is_open,
            loss: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, server }
    }

    /// Cuts every connection and takes no new one.
    pub(crate) fn shut(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// Loses this one answer, whenever it comes.
    pub(crate) fn lose(&self, loss: Loss) {
        *self.shared.loss.lock().unwrap() = Some(loss);
    }

    /// Whether the answer to be lost is lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.shared.loss.lock().unwrap().is_none()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let mut word = shared.is_open.subscribe();
        if !*word.borrow() {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                // However it ends, both sides are closed.
                _ = carry(near, &shared) => {}
                _ = word.wait_for(|is_open| !is_open) => {}
            }
        });
    }
}

async fn carry(mut near: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut far = TcpStream::connect(shared.target).await?;
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut is_doomed = false;
    loop {
        tokio::select! {
            read = near.read(&mut asked) => {
                let message = &asked[..read?];
                far.write_all(message).await?;
                if message.is_empty() {
                    return Ok(());
                }
                if shared.is_lost(message, &mut is_doomed) {
                    let _unheard = far.read(&mut answered).await?;
                    shared.loss.lock().unwrap().take();
                    return Ok(());
                }
            }
            read = far.read(&mut answered) => {
                let message = &answered[..read?];
                near.write_all(message).await?;
                if message.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

impl Shared {
    /// Whether the answer to this message is the one to lose. `is_doomed` is the connection's: its transaction is
    /// the one.
    fn is_lost(&self, message: &[u8], is_doomed: &mut bool) -> bool {
        let holds = |text: &str| message.windows(text.len()).any(|part| part == text.as_bytes());
        match &*self.loss.lock().unwrap() {
            None => false,
            Some(Loss::Statement(text)) => holds(text),
            Some(Loss::Commit(text)) => {
                *is_doomed = *is_doomed || holds(text);
                *is_doomed && holds("COMMIT")
            }
        }
    }
}
