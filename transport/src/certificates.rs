//! Finds the trusted root certificates: the platform's, or those that the environment names instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

type Certificates = Vec<CertificateDer<'static>>;

/// Returns the certificates of a PEM text, or `None` if there is none or one of them is invalid.
pub(crate) fn parse_pem(pem: &[u8]) -> Option<Certificates> {
    let read: Result<Certificates, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|read| !read.is_empty() && read.iter().all(is_usable))
}

fn is_usable(root: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(root.clone()).is_ok()
}

/// Adds the root certificates of the platform. If `variable` finds `SSL_CERT_FILE` or `SSL_CERT_DIR` set and not empty,
/// the certificates that they name are added instead.
pub(crate) fn with_platform_roots(
    mut roots: Certificates,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Certificates, String> {
    let named = |name: &str| match variable(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(path)) => Ok(Some(path).filter(|path| !path.is_empty())),
        Some(Err(_)) => Err(not_utf8(name)),
    };
    let (file, folders) = (named("SSL_CERT_FILE")?, named("SSL_CERT_DIR")?);
    if let Some(file) = &file {
        roots.extend(read_file(Path::new(file))?);
    }
    let loaded = match &folders {
        Some(folders) => load_paths(None, env::split_paths(folders)),
        None if file.is_some() => CertificateResult::default(),
        None => platform_roots(variable("SSL_CERT_FILE").is_some()),
    };
    roots.extend(loaded.certs);
    if roots.is_empty() {
        let place = match folders {
            Some(folders) => format!("in the folders that SSL_CERT_DIR names ({folders})"),
            None => {
                "to check https with (install the package ca-certificates, or set SSL_CERT_FILE or \
                     SSL_CERT_DIR)"
                    .to_owned()
            }
        };
        let reasons: Vec<_> = loaded
            .errors
            .iter()
            .map(|error| format!(": {error}"))
            .collect();
        return Err(format!(
            "no root certificates were found {place}{}",
            reasons.concat()
        ));
    }
    Ok(roots)
}

/// Returns the error text for an environment variable that cannot be read. Its value may be a secret and is left out.
pub(crate) fn not_utf8(name: &str) -> String {
    format!(
        "the variable {name} of the environment is not UTF-8: set it anew, or unset it to do without"
    )
}

/// Reads the file that `SSL_CERT_FILE` names. A file that cannot be used is an error even if other certificates are
/// found, because the user relies on it.
fn read_file(path: &Path) -> Result<Certificates, String> {
    let problem = |problem: String| format!("SSL_CERT_FILE names {}, {problem}", path.display());
    let bytes =
        fs::read(path).map_err(|error| problem(format!("which cannot be read: {error}")))?;
    // Other programs skip broken certificates and text between certificates, too.
    let found: Certificates = CertificateDer::pem_slice_iter(&bytes)
        .filter_map(Result::ok)
        .collect();
    if found.iter().any(is_usable) {
        return Ok(found);
    }
    Err(problem(if is_usable(&CertificateDer::from(bytes)) {
        "which is in DER and must be in PEM (openssl x509 -inform der -in FILE -out FILE.pem)"
            .to_owned()
    } else {
        "which holds no X.509 certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()
    }))
}

/// Loads a file and several folders, without duplicates. `load_certs_from_paths` takes one folder only.
fn load_paths(file: Option<&Path>, folders: impl Iterator<Item = PathBuf>) -> CertificateResult {
    let mut all = load_certs_from_paths(file, None);
    for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
        let loaded = load_certs_from_paths(None, Some(&folder));
        all.certs.extend(loaded.certs);
        all.errors.extend(loaded.errors);
    }
    all.certs
        .sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    all.certs.dedup();
    all
}

/// Loads the root certificates of the platform. If `SSL_CERT_FILE` is set but empty (`is_file_empty`),
/// `load_native_certs` would look for a file without a name.
#[cfg(all(unix, not(target_os = "macos")))]
fn platform_roots(is_file_empty: bool) -> CertificateResult {
    if !is_file_empty {
        return rustls_native_certs::load_native_certs();
    }
    // `load_native_certs` looks here if neither variable is set.
    let usual = openssl_probe::probe();
    load_paths(usual.cert_file.as_deref(), usual.cert_dir.into_iter())
}

/// Loads the root certificates of the platform. Here an empty `SSL_CERT_FILE` is an error, because
/// `load_native_certs` reads the variable and has no replacement.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn platform_roots(_: bool) -> CertificateResult {
    rustls_native_certs::load_native_certs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("atlas-model-keys-{name}-{}", std::process::id());
            let folder = env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> String {
            let path = self.0.join(name);
            fs::write(&path, bytes).unwrap();
            path.into_os_string().into_string().unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn certificate() -> rcgen::Certificate {
        let key = KeyPair::generate().unwrap();
        CertificateParams::default().self_signed(&key).unwrap()
    }

    fn found(variables: &[(&str, &str)]) -> Result<usize, String> {
        let found = with_platform_roots(Vec::new(), |name| {
            let mut all = variables.iter();
            all.find(|(n, _)| *n == name).map(|(_, v)| v.into())
        });
        found.map(|found| found.len())
    }

    #[test]
    fn named_certificates_replace_the_platforms() {
        let folder = Folder::new("named");
        let (one, other) = (certificate(), certificate());
        // Text around the certificates is skipped.
        let text = format!("# ours\n{}\n{}", one.pem(), other.pem());
        let file = folder.file("both.pem", text.as_bytes());
        assert_eq!(found(&[("SSL_CERT_FILE", &file)]), Ok(2));
        assert_eq!(
            found(&[("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", "")]),
            Ok(2)
        );
        // Missing folders are no problem if there are others.
        let folders = format!("/nonexistent:{}", folder.0.display());
        assert_eq!(found(&[("SSL_CERT_DIR", &folders)]), Ok(2));
    }

    #[test]
    fn empty_variable_counts_as_unset() {
        let usual = found(&[]);
        let empty = [("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", "")];
        for variables in [&empty[..1], &empty[1..], &empty] {
            assert_eq!(found(variables), usual, "{variables:?}");
        }
        let folder = Folder::new("empty");
        folder.file("one.pem", certificate().pem().as_bytes());
        let only = folder.0.to_str().unwrap();
        assert_eq!(
            found(&[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", only)]),
            Ok(1)
        );
    }

    #[test]
    fn unusable_file_is_an_error_even_if_others_are_found() {
        let folder = Folder::new("unusable");
        let good = folder.file("good.pem", certificate().pem().as_bytes());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = KeyPair::generate().unwrap().serialize_pem();
        for (file, problem) in [
            ("/nonexistent.pem".to_owned(), "cannot be read"),
            (folder.0.display().to_string(), "cannot be read"),
            (folder.file("der.pem", certificate().der()), "is in DER"),
            (folder.file("empty.pem", b""), "holds no X.509 certificate"),
            (
                folder.file("broken.pem", broken.as_bytes()),
                "holds no X.509 certificate",
            ),
            (
                folder.file("key.pem", key.as_bytes()),
                "holds no X.509 certificate",
            ),
        ] {
            let folders = folder.0.to_str().unwrap();
            let error = found(&[("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", folders)]).unwrap_err();
            let names_it = format!("SSL_CERT_FILE names {file}, which ");
            assert!(
                error.starts_with(&names_it) && error.contains(problem),
                "{error}"
            );
        }
        assert_eq!(found(&[("SSL_CERT_FILE", &good)]), Ok(1));
    }

    #[test]
    fn folders_without_certificates_are_an_error_unless_others_are_given() {
        let folder = Folder::new("none");
        let folders = folder.0.to_str().unwrap();
        let error = found(&[("SSL_CERT_DIR", folders)]).unwrap_err();
        assert!(
            error.contains("SSL_CERT_DIR names") && error.contains(folders),
            "{error}"
        );
        let given = vec![certificate().der().clone()];
        let variable = |name: &str| (name == "SSL_CERT_DIR").then(|| folders.into());
        let found = with_platform_roots(given, variable);
        assert_eq!(found.map(|found| found.len()), Ok(1));
    }

    #[cfg(unix)]
    #[test]
    fn variable_that_is_not_utf8_is_named_and_not_repeated() {
        use std::os::unix::ffi::OsStringExt as _;
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            let error = with_platform_roots(Vec::new(), |asked| {
                (asked == name).then(|| OsString::from_vec(b"/hunter2/\xff".to_vec()))
            })
            .unwrap_err();
            assert!(
                error.contains(name) && error.contains("not UTF-8"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
