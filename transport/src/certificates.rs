//! Which root certificates are trusted: those of this platform, or those that the environment names in their
//! place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

type Certificates = Vec<CertificateDer<'static>>;

/// The certificates of a PEM text; `None` where there is none, or any of them is none.
pub(crate) fn parse_pem(pem: &[u8]) -> Option<Certificates> {
    let read: Result<Certificates, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|read| !read.is_empty() && read.iter().all(is_usable))
}

fn is_usable(root: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(root.clone()).is_ok()
}

/// Adds to these the platform's; in the place of those the ones that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, where
/// `variable` finds one of them set and not empty.
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
        roots.extend(of_file(Path::new(file))?);
    }
    let loaded = match &folders {
        Some(folders) => of_paths(None, env::split_paths(folders)),
        None if file.is_some() => CertificateResult::default(),
        None => of_platform(variable("SSL_CERT_FILE").is_some()),
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

/// What is said of a variable of the environment that cannot be read. Its value may be a secret.
pub(crate) fn not_utf8(name: &str) -> String {
    format!(
        "the variable {name} of the environment is not UTF-8: set it anew, or unset it to do without"
    )
}

/// A file that is named and cannot be used is an error, whatever else there is: somebody relies on it.
fn of_file(path: &Path) -> Result<Certificates, String> {
    let problem = |problem: String| format!("SSL_CERT_FILE names {}, {problem}", path.display());
    let bytes =
        fs::read(path).map_err(|error| problem(format!("which cannot be read: {error}")))?;
    // As everybody else reads such files: what is between the certificates, or is a broken one, is skipped.
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

/// Several folders, which `load_certs_from_paths` does not take. A certificate that is in two places comes once.
fn of_paths(file: Option<&Path>, folders: impl Iterator<Item = PathBuf>) -> CertificateResult {
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

/// `is_file_empty` where `SSL_CERT_FILE` is set to nothing: `load_native_certs` would look for a file of that
/// name.
#[cfg(all(unix, not(target_os = "macos")))]
fn of_platform(is_file_empty: bool) -> CertificateResult {
    if !is_file_empty {
        return rustls_native_certs::load_native_certs();
    }
    // What it does where neither variable is set.
    let usual = openssl_probe::probe();
    of_paths(usual.cert_file.as_deref(), usual.cert_dir.into_iter())
}

/// Here there is no way around `load_native_certs`, and so an empty `SSL_CERT_FILE` is an error.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn of_platform(_: bool) -> CertificateResult {
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
    fn named_certificates_stand_in_the_place_of_the_platforms() {
        let folder = Folder::new("named");
        let (one, other) = (certificate(), certificate());
        // What people write around certificates is skipped.
        let text = format!("# ours\n{}\n{}", one.pem(), other.pem());
        let file = folder.file("both.pem", text.as_bytes());
        assert_eq!(found(&[("SSL_CERT_FILE", &file)]), Ok(2));
        assert_eq!(
            found(&[("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", "")]),
            Ok(2)
        );
        // Of several folders, the ones that are not there are no problem.
        let folders = format!("/nonexistent:{}", folder.0.display());
        assert_eq!(found(&[("SSL_CERT_DIR", &folders)]), Ok(2));
    }

    #[test]
    fn a_variable_that_is_empty_counts_as_unset() {
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
    fn a_file_that_cannot_be_used_is_named_with_its_problem_whatever_else_is_found() {
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
    fn folders_without_a_certificate_are_named_unless_there_are_others() {
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
    fn a_variable_that_is_not_utf8_is_named_and_not_repeated() {
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
