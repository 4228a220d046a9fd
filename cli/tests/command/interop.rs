//! The command against digest servers of other projects: Apache httpd with
//! `mod_auth_digest`, and lighttpd, from Debian's packages `apache2` and `lighttpd`. They serve two
//! static pages of keys, on loopback.
//!
//! If a server is not installed, its test says so and checks nothing. With `REQUIRE_INTEROP=1` in the
//! environment, as in CI, it fails instead.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atlas_model_keys_ureq::{BaseUrl, Client, Credentials, GroupId, ListRequest};

const GROUP: &str = "69681d39c9e8cfd375386316";
const PUBLIC: &str = "abcdefgh";
const PRIVATE: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// The digests of `printf 'abcdefgh:keys of a group:01234567-…'`, by `md5sum` and `sha256sum`.
const MD5: &str = "abcdefgh:keys of a group:d8d266827fd5531853b15afbeecefad7\n";
const SHA_256: &str = "abcdefgh:keys of a group:\
    9aa2aeceb74259e862ec9c85dcc65385162ecf87a5e9e98c4876c8a648e652fd\n";

/// A running server, and the folder that it serves.
struct Server {
    child: Child,
    root: PathBuf,
    base: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn installed(program: &str) -> bool {
    let found = Path::new("/usr/sbin").join(program).exists();
    if !found {
        assert!(
            std::env::var_os("REQUIRE_INTEROP").is_none(),
            "{program} is not installed (apt-get install {program})"
        );
        eprintln!("skipped: {program} is not installed (apt-get install {program})");
    }
    found
}

/// Starts `program` with the configuration that `configure` returns for a folder and a port.
fn serve(
    program: &str,
    name: &str,
    users: &str,
    arguments: &[&str],
    configure: impl Fn(&str, u16) -> String,
) -> Server {
    let root = std::env::temp_dir().join(format!("atlas-model-keys-{name}-{}", std::process::id()));
    let folder = root.join(format!("api/atlas/v2/groups/{GROUP}"));
    fs::create_dir_all(&folder).unwrap();
    let page = |ids: [&str; 2], links: &str| {
        let [a, b] = ids.map(|id| format!(r#"{{"apiKeyId":"{id}","name":"Key {id}"}}"#));
        format!(r#"{{"links":[{links}],"results":[{a},{b}],"totalCount":4}}"#)
    };
    let next = r#"{"rel":"next","href":"https://elsewhere.example/"}"#;
    fs::write(folder.join("aiModelApiKeys"), page(["k1", "k2"], next)).unwrap();
    fs::write(folder.join("second"), page(["k3", "k4"], "")).unwrap();
    fs::write(root.join("users"), users).unwrap();
    open_to_all(&root);

    // The port was free a moment ago, and no other program here takes ports.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let configuration = root.join("server.conf");
    fs::write(
        &configuration,
        configure(root.to_str().unwrap(), address.port()),
    )
    .unwrap();
    let child = Command::new(Path::new("/usr/sbin").join(program))
        .args(arguments)
        .arg("-f")
        .arg(&configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Server {
        child,
        root,
        base: format!("http://{address}"),
    };
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.child.try_wait().unwrap() {
            panic!("{program} ended with {status}");
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{program} does not answer"
        );
        // A real program has no virtual clock, so the test has to wait.
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// Makes the folder readable for all: a server that was started as root gives up its rights.
#[cfg(unix)]
fn open_to_all(root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) {}

fn apache(name: &str, lifetime: u32) -> Server {
    serve("apache2", name, MD5, &["-X"], |root, port| {
        format!(
            r#"ServerRoot "{root}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{root}/pid"
ErrorLog "{root}/error.log"
User nobody
Group nogroup
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_digest_module /usr/lib/apache2/modules/mod_auth_digest.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
DocumentRoot "{root}"
RewriteEngine On
RewriteCond %{{QUERY_STRING}} (^|&)pageNum=2(&|$)
RewriteRule ^(.*)/aiModelApiKeys$ $1/second
<Location "/api">
  AuthType Digest
  AuthName "keys of a group"
  AuthDigestProvider file
  AuthDigestNonceLifetime {lifetime}
  AuthUserFile "{root}/users"
  Require valid-user
</Location>
"#
        )
    })
}

fn lighttpd() -> Server {
    serve("lighttpd", "lighttpd", SHA_256, &["-D"], |root, port| {
        format!(
            r#"server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_auth", "mod_authn_file", "mod_rewrite")
url.rewrite-once = ("^(.*)/aiModelApiKeys\?(.*&)?pageNum=2(&.*)?$" => "$1/second")
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "{root}/users"
auth.require = ("/" => ("method" => "digest", "algorithm" => "SHA-256",
                        "realm" => "keys of a group", "require" => "valid-user"))
"#
        )
    })
}

/// Returns the output of the command, which lists ids, and its exit code.
fn list(server: &Server, private: &str) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_atlas-model-keys"))
        .args([
            "list",
            "--group-id",
            GROUP,
            "--columns",
            "apiKeyId",
            "-o",
            "csv",
        ])
        .env_clear()
        .env("MONGODB_ATLAS_BASE_URL", &server.base)
        .env("MONGODB_ATLAS_PUBLIC_API_KEY", PUBLIC)
        .env("MONGODB_ATLAS_PRIVATE_API_KEY", private)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    let ids = String::from_utf8(output.stdout).unwrap();
    (ids.replace("\r\n", "\n"), output.status.code())
}

fn lists_with_the_right_key_and_no_other(server: &Server) {
    let all = "apiKeyId\nk1\nk2\nk3\nk4\n";
    assert_eq!(list(server, PRIVATE), (all.to_owned(), Some(0)));
    assert_eq!(list(server, "wrong"), (String::new(), Some(3)));
}

#[test]
fn apache_with_md5() {
    if installed("apache2") {
        lists_with_the_right_key_and_no_other(&apache("apache", 300));
    }
}

#[test]
fn apache_with_nonces_that_expire_after_a_second() {
    if !installed("apache2") {
        return;
    }
    let server = apache("apache-brief", 1);
    lists_with_the_right_key_and_no_other(&server);

    let base = BaseUrl::new(&server.base).unwrap();
    let client = Client::new(base, Credentials::api_key(PUBLIC, PRIVATE).unwrap()).unwrap();
    let request = ListRequest::new(GroupId::new(GROUP).unwrap());
    for _ in 0..3 {
        assert_eq!(client.list(&request).unwrap().len(), 2);
        // The nonce expires by the server's real clock.
        std::thread::sleep(Duration::from_millis(1200));
    }
}

#[test]
fn lighttpd_with_sha_256() {
    if installed("lighttpd") {
        lists_with_the_right_key_and_no_other(&lighttpd());
    }
}
