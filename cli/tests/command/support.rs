//! Runs the command against the emulator, with a time limit.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use atlas_model_keys_core::GroupId;
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Key, Names};

/// The time limit of a command. It is far longer than any test needs.
const LIMIT: Duration = Duration::from_secs(60);

/// The emulator, and the id of its first group.
pub(crate) struct Atlas {
    pub(crate) server: Server,
    pub(crate) group: GroupId,
}

/// The kind of credential that a command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Token,
    ServiceAccount,
    ApiKey,
}

impl Login {
    pub(crate) const ALL: [Self; 3] = [Self::Token, Self::ServiceAccount, Self::ApiKey];
}

impl Atlas {
    /// Starts an emulator whose keys have hostile names.
    pub(crate) fn new(config: Config) -> Self {
        let emulator = Emulator::new(config.with_names(Names::Hostile));
        let group = emulator.first_group();
        let server = Server::start(emulator, Options::default()).unwrap();
        Self { server, group }
    }

    pub(crate) fn with_keys(keys: Vec<Key>) -> Self {
        let atlas = Self::new(Config::default().with_keys_per_group(0));
        atlas
            .server
            .with(|emulator| *emulator.keys_mut(atlas.group).unwrap() = keys);
        atlas
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.server
            .with(|emulator| emulator.keys(self.group).to_vec())
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let keys = self.keys().into_iter();
        keys.map(|key| key.api_key_id.unwrap()).collect()
    }

    pub(crate) fn environment(&self, login: Login) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("MONGODB_ATLAS_BASE_URL", self.server.base_url()),
            ("MONGODB_ATLAS_PROJECT_ID", self.group.to_string()),
        ];
        self.server.with(|emulator| match login {
            Login::Token => variables.push((
                "MONGODB_ATLAS_ACCESS_TOKEN",
                emulator.access_token().to_owned(),
            )),
            Login::ServiceAccount => {
                let account = emulator.service_account();
                variables.push(("MONGODB_ATLAS_CLIENT_ID", account.client_id.clone()));
                variables.push(("MONGODB_ATLAS_CLIENT_SECRET", account.client_secret.clone()));
            }
            Login::ApiKey => {
                let key = emulator.api_key();
                variables.push(("MONGODB_ATLAS_PUBLIC_API_KEY", key.public_key.clone()));
                variables.push(("MONGODB_ATLAS_PRIVATE_API_KEY", key.private_key.clone()));
            }
        });
        variables
    }

    /// Runs the command with a complete environment.
    pub(crate) fn run(&self, login: Login, arguments: &[&str]) -> Outcome {
        run(arguments, &self.environment(login))
    }

    /// Runs `list` with the access token, which needs the fewest requests.
    pub(crate) fn list(&self, arguments: &[&str]) -> Outcome {
        self.run(Login::Token, &[&["list"], arguments].concat())
    }
}

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Returns the output of a command that succeeded with an empty stderr.
    #[track_caller]
    pub(crate) fn stdout(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self.stdout
    }

    /// Returns the stderr of a command that failed with this code and an empty stdout.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        self.stderr
    }
}

pub(crate) fn command(arguments: &[&str], environment: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas-model-keys"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Without this variable, Windows has no sockets.
    if let Some(root) = std::env::var_os("SYSTEMROOT") {
        command.env("SYSTEMROOT", root);
    }
    command
}

pub(crate) fn run(arguments: &[&str], environment: &[(&'static str, String)]) -> Outcome {
    finish(command(arguments, environment).spawn().unwrap())
}

/// Sends a signal to a process. The shell has `kill` built in; as a program, minimal systems lack it.
#[cfg(unix)]
pub(crate) fn send(signal: &str, child: &Child) {
    let kill = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal])
        .arg(child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
}

/// Waits for the end of the command, and reads the rest of its output.
pub(crate) fn finish(mut child: Child) -> Outcome {
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the command does not end");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let text = |thread: Option<JoinHandle<Vec<u8>>>| {
        let bytes = thread.map(|thread| thread.join().unwrap());
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    };
    Outcome {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Returns the records of a CSV, beginning with the header.
pub(crate) fn csv(text: &str) -> Vec<Vec<String>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes())
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) const FORMATS: [&str; 5] = ["table", "json", "ndjson", "csv", "raw"];
