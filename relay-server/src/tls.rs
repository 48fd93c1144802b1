//! TLS without a proxy: the certificate and its key, and what happens when their files change.

use crate::input::with_sources;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most that a connection keeps for a peer that doesn't read, besides what the system does.
const BUFFER_BYTES: usize = 16 * 1024;

/// How the relay proves who it is.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    /// What they held when the relay started.
    loaded: Contents,
    /// What new connections get.
    current: RwLock<Arc<ServerConfig>>,
}

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file isn't PEM, or has something else in it.
    #[error("there is no {what} in {}", path.display())]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        error: pem::Error,
    },
    /// The certificate and the key make no pair, or none that can be used.
    #[error("the certificate can't be used with the key")]
    Unusable(#[source] rustls::Error),
}

impl Tls {
    /// Reads a certificate, with those that vouch for it behind it, and its private key, both in PEM.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if they can't be used.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files { cert, key };
        let loaded = files.read()?;
        let config = files.parse(&loaded)?;
        Ok(Self { files, loaded, current: RwLock::new(config) })
    }

    /// Shakes hands with a socket that was just accepted.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let shaken = TlsAcceptor::from(config)
            .accept_with(stream, |connection| connection.set_buffer_limit(Some(BUFFER_BYTES)));
        shaken.await
    }

    /// Takes what the files hold whenever it changes, for as long as the relay runs. What can't be used
    /// is not taken: a certificate that is written before its key doesn't cost a single connection.
    pub(crate) async fn watch(self: Arc<Self>) {
        let (mut known, mut complaint) = (None, None);
        loop {
            sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            let Ok(found) = spawn_blocking(move || this.files.read()).await else { continue };
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    let error = with_sources(&error);
                    if complaint.as_ref() != Some(&error) {
                        warn!(error, "the certificate's files can't be read");
                    }
                    complaint = Some(error);
                    continue;
                }
            };
            complaint = None;
            if *known.as_ref().unwrap_or(&self.loaded) == found {
                continue;
            }
            match self.files.parse(&found) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                    info!("new connections get the certificate that is in the file now");
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(
                        error,
                        "the certificate's files have changed, and can't be used as they are"
                    );
                }
            }
            known = Some(found);
        }
    }
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What the files hold. Never shown: the key is a secret.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
        };
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    fn parse(&self, Contents { cert, key }: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
        let missing = |what, path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::Missing { what, path, error }
        };
        let chain = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|it| if it.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(it) })
            .map_err(missing("certificate", &self.cert))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(missing("private key", &self.key))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
