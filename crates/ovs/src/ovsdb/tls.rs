//! TLS, with rustls: the server's certificate is held against an authority, and ours is shown to it.
//!
//! As for the tools of Open vSwitch (lib/stream-ssl.c), the server is whom the authority vouches for and not whom a
//! host name says: certificates that ovs-pki(8) makes name no host. So the chain is verified and the name is not,
//! unless [`Tls::with_host_names`] asks for it.

#[cfg(feature = "tls")]
pub use self::rustls_config::Tls;

/// Whom to trust and who we are: nobody in this build, which lacks the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub enum Tls {}

#[cfg(not(feature = "tls"))]
impl Tls {
    /// Why an `ssl:` remote cannot be reached without one.
    pub(super) const MISSING: &str = "this program was built without TLS (the feature `tls` of vdpa-ovs)";

    #[allow(clippy::unused_async, reason = "it is what the feature's is")]
    pub(super) async fn over(
        &self,
        _: tokio::net::TcpStream,
        _: &super::remote::Host,
        _: &super::remote::Remote,
    ) -> Result<super::stream::Stream, crate::Error> {
        match *self {}
    }
}

#[cfg(feature = "tls")]
mod rustls_config {
    use std::{fmt, path::Path, sync::Arc};

    use rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
        SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer, ServerName, UnixTime,
            pem::{self, PemObject},
        },
    };
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use crate::{
        Error,
        ovsdb::{
            remote::{Host, Remote},
            stream::Stream,
        },
    };

    /// Whom to trust and who we are.
    #[derive(Clone)]
    pub struct Tls {
        verifier: Arc<WebPkiServerVerifier>,
        config: Arc<ClientConfig>,
    }

    /// The chain counts, the host's name does not.
    #[derive(Debug)]
    struct AnyName(Arc<WebPkiServerVerifier>);

    impl Tls {
        /// Why an `ssl:` remote cannot be reached without one.
        pub(in crate::ovsdb) const MISSING: &str = "it takes a certificate, a key and an authority to trust";

        /// Reads what the tools of Open vSwitch take as `--ca-cert`, `--certificate` and `--private-key`, in PEM.
        pub fn from_files(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, Error> {
            let unusable = |path: &Path, text: String| Error::TlsFile { path: path.to_owned(), text };
            let mut roots = RootCertStore::empty();
            for root in certificates(authority)? {
                roots.add(root).map_err(|error| unusable(authority, error.to_string()))?;
            }
            let chain = certificates(certificate)?;
            let key_der =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, pem_text(&error)))?;
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| unusable(authority, error.to_string()))?;
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(certificate, error.to_string()))?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName(verifier.clone())))
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| unusable(certificate, error.to_string()))?;
            Ok(Self { verifier, config: Arc::new(config) })
        }

        /// The same, where the server's certificate also has to name the host that was connected to.
        #[must_use]
        pub fn with_host_names(self) -> Self {
            let mut config = ClientConfig::clone(&self.config);
            config.dangerous().set_certificate_verifier(self.verifier.clone());
            Self { verifier: self.verifier, config: Arc::new(config) }
        }

        pub(in crate::ovsdb) async fn over(
            &self,
            stream: TcpStream,
            host: &Host,
            remote: &Remote,
        ) -> Result<Stream, Error> {
            let failed = |text: String| Error::Tls { remote: remote.clone(), text };
            let name = ServerName::try_from(host.name.clone())
                .map_err(|_| failed(format!("{:?} is no host's name", host.name)))?;
            let stream = TlsConnector::from(self.config.clone())
                .connect(name, stream)
                .await
                .map_err(|error| failed(error.to_string()))?;
            let (input, output) = tokio::io::split(stream);
            Ok(Stream { input: Box::new(input), output: Box::new(output) })
        }
    }

    impl fmt::Debug for Tls {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Tls") // never the key
        }
    }

    fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
        let unusable = |text: String| Error::TlsFile { path: path.to_owned(), text };
        let found = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(pem_text(&error)))?;
        if found.is_empty() { Err(unusable("no certificate in it".to_owned())) } else { Ok(found) }
    }

    fn pem_text(error: &pem::Error) -> String {
        match error {
            pem::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        }
    }

    impl ServerCertVerifier for AnyName {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, RustlsError> {
            // The name is looked at last, when the chain has been found good.
            match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                Err(RustlsError::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(ServerCertVerified::assertion()),
                verdict => verdict,
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, RustlsError> {
            self.0.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, RustlsError> {
            self.0.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_verify_schemes()
        }
    }
}
