//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, GroupId, InvalidValue, ItemsPerPage, OrgId, PageNum, UnixTime,
};
use atlas_model_keys_emulator::{EnvironmentFormat, Injection, TokenBucket};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::failure;
use crate::filter::FilterArgs;
use crate::output::Column;

/// List the AI model API keys of MongoDB Atlas projects.
#[derive(Debug, Parser)]
// Help texts have this name on Windows, too, where the file is called `atlas-model-keys.exe`.
#[command(
    name = "atlas-model-keys",
    bin_name = "atlas-model-keys",
    version,
    long_version = LONG_VERSION,
    max_term_width = 100
)]
#[command(after_help = TRY, after_long_help = format!("{TRY}\n\n{}", failure::exit_codes()))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The version, and what else the report of an error or the check of a release needs (`build.rs`).
const LONG_VERSION: &str = include_str!(concat!(env!("OUT_DIR"), "/version.txt"));

const TRY: &str = "\
Try it without an account:
  atlas-model-keys list --demo";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the AI model API keys of projects
    #[command(after_help = LIST_SHORT, after_long_help = long_help(LIST_EXAMPLES))]
    List(ListArgs),
    /// Find the entries of leaked keys, which are read from standard input, one per line
    #[command(after_help = FIND_SHORT, after_long_help = long_help(FIND_EXAMPLES))]
    Find(FindArgs),
    /// Print a new access token of a service account, for many runs to share
    #[command(after_help = TOKEN_SHORT, after_long_help = long_help(TOKEN_EXAMPLES))]
    Token(TokenArgs),
    /// Serve an emulator of Atlas on 127.0.0.1, for trying things out and for tests
    #[command(after_help = EMULATE_SHORT, after_long_help = EMULATE_EXAMPLES)]
    Emulate(EmulateArgs),
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_EXAMPLES, after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page, with all commands
    #[command(after_help = MAN_EXAMPLES, after_long_help = MAN_EXAMPLES)]
    Man,
}

/// Returns the end of the long help of a command that asks Atlas.
fn long_help(examples: &str) -> String {
    format!("{examples}\n\n{CREDENTIALS}\n\n{}", failure::exit_codes())
}

// A line of an example has at most 79 columns, so that clap does not wrap it. `tests/command/help.rs` runs the
// examples in their order.

const LIST_SHORT: &str = "\
Example, without an account:
  atlas-model-keys list --demo

More options, examples, credentials and exit codes: --help";

const LIST_EXAMPLES: &str = "\
Examples:
  # See what it looks like, without an account
  atlas-model-keys list --demo

  # All keys of a project
  export MONGODB_ATLAS_CLIENT_ID=mdb_sa_id_YOUR_ID
  export MONGODB_ATLAS_CLIENT_SECRET=mdb_sa_sk_YOUR_SECRET
  export MONGODB_ATLAS_PROJECT_ID=69681d39c9e8cfd375386316
  atlas-model-keys list

  # The keys of all projects that were not used for 90 days
  atlas-model-keys list --all-projects --unused-for 90d

  # The keys that were never used, as lines of JSON that a terminal can show
  atlas-model-keys list --never-used -o json |
    jq -ac '.results[] | [.apiKeyId, .name, .createdBy]'

  # A file for Excel
  atlas-model-keys list --all-projects -o csv --bom > keys.csv

  # In CI: exit code 10 if a key was not used for a year
  atlas-model-keys list --unused-for 1y --fail-if-any";

const FIND_SHORT: &str = "\
Example, for a file with a key on each line:
  atlas-model-keys find --all-projects < leaked.txt

More options, examples, credentials and exit codes: --help";

const FIND_EXAMPLES: &str = "\
Atlas shows only the ends of a key, such as al-****odu2. An entry with the ends
of a leaked key is a candidate; several keys can have the same ends. The leaked
keys are not sent, shown or stored.

Examples:
  # Paste the keys, and end with Ctrl-D
  atlas-model-keys find --all-projects

  # The keys of a file, one on each line
  atlas-model-keys find --all-projects < leaked.txt

  # The keys in the report of a secret scanner
  jq -r '.[].Secret | select(startswith(\"al-\"))' report.json |
    atlas-model-keys find --all-projects";

const TOKEN_SHORT: &str = "\
Examples, credentials and exit codes: --help";

const TOKEN_EXAMPLES: &str = "\
A service account may hold 100 access tokens at a time. `list` and `find` get
a token and revoke it at the end. If MONGODB_ATLAS_ACCESS_TOKEN is set, they
use that token instead, and do not revoke it.

Examples:
  # One token for many runs; it lives for an hour
  export MONGODB_ATLAS_CLIENT_ID=mdb_sa_id_YOUR_ID
  export MONGODB_ATLAS_CLIENT_SECRET=mdb_sa_sk_YOUR_SECRET
  MONGODB_ATLAS_ACCESS_TOKEN=$(atlas-model-keys token)
  export MONGODB_ATLAS_ACCESS_TOKEN
  atlas-model-keys list --all-projects

  # When it is no longer needed
  atlas-model-keys token --revoke";

pub(crate) const CREDENTIALS: &str = "\
Credentials come from the environment only. The first that is set is used:
  MONGODB_ATLAS_ACCESS_TOKEN       an access token
  MONGODB_ATLAS_CLIENT_ID          a service account, together with
    MONGODB_ATLAS_CLIENT_SECRET
  MONGODB_ATLAS_PUBLIC_API_KEY     an API key, together with
    MONGODB_ATLAS_PRIVATE_API_KEY  (also MONGODB_ATLAS_PUBLIC_KEY and
                                   MONGODB_ATLAS_PRIVATE_KEY)

The credential is sent to one place only. The first that is given is used:
  --base-url URL
  MONGODB_ATLAS_BASE_URL           a URL
  MONGODB_ATLAS_OPS_MANAGER_URL    a URL, as for the Atlas CLI
  MONGODB_ATLAS_SERVICE            cloud (https://cloud.mongodb.com)
                                   or cloudgov (https://cloud.mongodbgov.com)
Without any of them, it is https://cloud.mongodb.com. It is an error if the
variables name both clouds, because a credential works for only one of them.

Also read:
  HTTPS_PROXY, ALL_PROXY           the proxy; for a base URL of http://,
                                   http_proxy instead of HTTPS_PROXY
  NO_PROXY                         hosts that are reached without the proxy
  SSL_CERT_FILE, SSL_CERT_DIR      root certificates, instead of the system's
  NO_COLOR                         no colours";

const EMULATE_SHORT: &str = "\
Examples: --help";

const EMULATE_EXAMPLES: &str = "\
Examples:
  # Serve until Ctrl-C; copy the printed lines into another terminal
  atlas-model-keys emulate

  # In a script: the variables are set as soon as the file has content
  rm -f emulator.env
  atlas-model-keys emulate --keys 1234 --for 5m > emulator.env &
  until [ -s emulator.env ]; do sleep 0.1; done
  . ./emulator.env
  atlas-model-keys list

  # Serve the keys of a project again, on a given day
  atlas-model-keys list -o ndjson > keys.ndjson
  atlas-model-keys emulate --data keys.ndjson --now 2026-11-27T12:00:00Z

  # Serve HTTPS, and the host name that another container uses
  atlas-model-keys emulate --tls --tls-ca ca.pem --allow-host atlas --port 8443

  # Test a client with a small rate limit
  atlas-model-keys emulate --keys 1234 --rate-limit 3/10/1

  # Test a client with two broken connections and slow tokens
  atlas-model-keys emulate --fault 'reset-in-body*2' --fault token-slow=2s";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  # For bash, from the next login on
  mkdir -p ~/.local/share/bash-completion/completions
  cd ~/.local/share/bash-completion/completions
  atlas-model-keys completions bash > atlas-model-keys";

const MAN_EXAMPLES: &str = "\
Examples:
  # For `man atlas-model-keys`
  mkdir -p ~/.local/share/man/man1
  atlas-model-keys man > ~/.local/share/man/man1/atlas-model-keys.1";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Keys per page, 1 to 500 [Atlas's default: 100]
    #[arg(long, value_name = "N", hide_short_help = true, alias = "itemsPerPage", value_parser = checked::<ItemsPerPage>)]
    pub(crate) items_per_page: Option<ItemsPerPage>,

    /// Only this page, counted from 1 [default: all pages]
    #[arg(long, value_name = "N", hide_short_help = true, alias = "pageNum", value_parser = checked::<PageNum>)]
    pub(crate) page_num: Option<PageNum>,

    /// How to write the keys
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) output: Format,

    /// Columns of table and csv, in this order
    #[arg(long, value_name = "NAMES", value_delimiter = ',', long_help = Column::help())]
    pub(crate) columns: Option<Vec<Column>>,

    /// Begin csv with a byte order mark, for Excel
    ///
    /// Excel for Windows needs it to read names in all scripts.
    #[arg(long)]
    pub(crate) bom: bool,

    /// Write secrets as they are
    ///
    /// Without it, they are masked or left out in every output.
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Indent JSON (on a terminal, always); also asks Atlas to indent, which `-o raw` shows
    #[arg(long, value_name = "BOOL", hide_short_help = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) pretty: Option<bool>,

    /// Ask Atlas to write the status into the body too, which `-o raw` shows
    #[arg(long, value_name = "BOOL", hide_short_help = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) envelope: Option<bool>,

    /// End with exit code 10 if a key passes the filters, for CI
    ///
    /// Without filters, every key counts. If a project cannot be listed, the exit code is 9.
    #[arg(long)]
    pub(crate) fail_if_any: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// The projects or the organization whose keys are read. `list` and `find` have these options.
#[derive(Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// The id of a project; repeat it for several projects
    ///
    /// Atlas's API calls a project a group. Without any source: MONGODB_ATLAS_PROJECT_ID, then
    /// MONGODB_ATLAS_ORG_ID.
    #[arg(long, value_name = "ID", aliases = ["groupId", "project-id", "projectId"],
          value_parser = checked::<GroupId>)]
    pub(crate) group_id: Vec<GroupId>,

    /// All projects of an organization, in one listing
    ///
    /// It needs the role Organization Read Only. The output has the names of those projects that the
    /// credential may list.
    #[arg(long, value_name = "ID", alias = "orgId", value_parser = checked::<OrgId>,
          conflicts_with_all = ["group_id", "all_projects"])]
    pub(crate) org_id: Option<OrgId>,

    /// All projects that the credential may see
    ///
    /// The list of projects is read first, then the keys of up to 8 projects at the same time. The
    /// names of the projects are in the output.
    #[arg(long, alias = "allProjects", conflicts_with = "group_id")]
    pub(crate) all_projects: bool,

    /// The keys of a built-in emulator; needs no account
    ///
    /// The environment is ignored.
    #[arg(long, conflicts_with = "base_url")]
    pub(crate) demo: bool,
}

impl SourceArgs {
    /// Returns whether no project and no organization is named.
    pub(crate) fn is_empty(&self) -> bool {
        self.group_id.is_empty() && self.org_id.is_none() && !self.all_projects
    }
}

/// The connection to Atlas. All commands that send requests to Atlas have these options.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The version of the API, `preview` or a date [default: preview, then 2025-03-12]
    #[arg(long, value_name = "VERSION", hide_short_help = true, alias = "apiVersion", value_parser = checked::<ApiVersion>)]
    pub(crate) api_version: Option<ApiVersion>,

    // The help is not a doc comment, because rustdoc would ask for a link. The value is parsed later,
    // because the allowed values depend on --allow-plain-http.
    #[arg(
        long,
        value_name = "URL",
        alias = "baseUrl",
        help = "Base URL of Atlas [default: cloud.mongodb.com]",
        long_help = "Base URL of Atlas [env: MONGODB_ATLAS_BASE_URL, MONGODB_ATLAS_OPS_MANAGER_URL, \
                     MONGODB_ATLAS_SERVICE] [default: https://cloud.mongodb.com]"
    )]
    pub(crate) base_url: Option<String>,

    /// Time for one page with its retries [default: 4m]
    ///
    /// Without this option, rate limits are waited out. With it, the waits for rate limits may take this
    /// time once more.
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub(crate) timeout: Option<Duration>,

    /// Allow a base URL of http:// on another machine; others on the network can read the credentials
    #[arg(long, hide_short_help = true)]
    pub(crate) allow_plain_http: bool,

    /// Write a line to stderr for each request and retry
    ///
    /// Waits have a line, too. No line has a header or a body.
    #[arg(long)]
    pub(crate) log: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Keys per page, 1 to 500 [default: 500]
    #[arg(long, value_name = "N", hide_short_help = true, alias = "itemsPerPage", value_parser = checked::<ItemsPerPage>)]
    pub(crate) items_per_page: Option<ItemsPerPage>,

    /// How to write the entries
    ///
    /// In json, ndjson and csv, `line` is the line of the input that has the leaked key.
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = format_of_keys())]
    pub(crate) output: Format,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Revoke the token in MONGODB_ATLAS_ACCESS_TOKEN
    ///
    /// No new token is requested.
    #[arg(long)]
    pub(crate) revoke: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: ages such as "3 months ago"; fits the terminal, and is not cut in a file or a pipe. Written at the end
    Table,
    /// One object, written as each page arrives: {"results": [...], "count": n, "projects": [...]}
    Json,
    /// One key per line, written as each page arrives
    #[value(alias = "jsonl")]
    Ndjson,
    /// With a header line and times in UTC, safe to open in a spreadsheet, written as each page arrives
    Csv,
    /// The body of one page as Atlas sent it
    Raw,
}

#[derive(Debug, Args)]
pub(crate) struct EmulateArgs {
    /// Port, or 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,

    /// Address to listen on
    ///
    /// 0.0.0.0 and :: are all addresses of this machine, as a container needs. Anyone who can reach the
    /// address can then list the emulator's keys. The printed base URL has the first --allow-host, by which
    /// other containers reach this one, or without --allow-host the loopback address.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,

    /// Serve requests for this host name, too; repeatable
    ///
    /// Requests for IP addresses, localhost and *.localhost are always served. A request for another host
    /// gets 421, because it may come from a web page whose name resolves to this machine (DNS rebinding).
    #[arg(long = "allow-host", value_name = "NAME", value_parser = host_name)]
    pub(crate) allowed_hosts: Vec<String>,

    /// Serve HTTPS with a certificate that is made at the start
    ///
    /// It is for localhost, 127.0.0.1, ::1, --bind and each --allow-host, and valid for a year.
    #[arg(long)]
    pub(crate) tls: bool,

    /// File for the certificate of the authority, with --tls [default: atlas-emulator-ca.pem]
    ///
    /// Clients need it to trust the server. The private key of the authority is never written.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Format of base URL, ids and credentials
    ///
    /// They are printed to stdout as soon as the emulator accepts connections.
    #[arg(long, value_name = "FORMAT", default_value = "shell", value_parser = format_of_environment())]
    pub(crate) print: EnvironmentFormat,

    /// Keys in the first project [default: 42]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) keys: Option<u32>,

    /// Number of projects [default: 3]
    ///
    /// If there are two or more, no credential may list the keys of the last one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) groups: Option<u32>,

    /// Number of organizations [default: 1]
    ///
    /// The projects are distributed over the organizations in turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) organizations: Option<u32>,

    /// Give the keys names that are hard to handle
    ///
    /// Names in many scripts, with control characters, with 250 characters.
    #[arg(long)]
    pub(crate) hostile_names: bool,

    /// Serve the keys, projects and credentials of FILE
    ///
    /// They replace the generated ones. `-` is stdin. The file is the output of `list` as json, ndjson or
    /// raw, that of `emulate --print json`, or JSON with keys, projects and credentials. If it has
    /// credentials only, keys and projects are generated. Otherwise --keys, --groups, --organizations and
    /// --hostile-names are refused.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,

    /// Time at which the clock starts [default: now]
    ///
    /// Write it as 2026-11-27T12:00:00Z.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) now: Option<Duration>,

    /// Seed of ids, keys and credentials
    ///
    /// Equal seeds give equal ids, keys and credentials.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Lifetime of an access token
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = token_ttl)]
    pub(crate) token_ttl: Duration,

    /// Lifetime of a digest nonce
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = lifetime)]
    pub(crate) nonce_ttl: Duration,

    /// Rate limit, or `none`
    ///
    /// CAPACITY/REFILL/SECONDS: a burst of CAPACITY requests, refilled with REFILL requests per SECONDS. It
    /// applies to each project, to each organization, and to the list of projects.
    #[arg(long, value_name = "RATE", default_value = "1200/500/60", value_parser = rate_limit)]
    pub(crate) rate_limit: Rate,

    /// Apply one rate limit to all projects together
    #[arg(long)]
    pub(crate) shared_rate_limit: bool,

    /// Delay before each response, such as 200ms [default: none]
    #[arg(long, value_name = "DURATION", value_parser = latency)]
    pub(crate) latency: Option<Duration>,

    /// List each key's secret
    ///
    /// Atlas's published example does so.
    #[arg(long)]
    pub(crate) with_secrets: bool,

    /// Apply this fault to every response, or to the next N; repeatable
    ///
    /// Quote it, because a shell may expand the asterisk: --fault 'reset-in-body*2'
    #[arg(long = "fault", value_name = "NAME[=ARG][*N]", value_parser = fault)]
    pub(crate) faults: Vec<Injection>,

    /// List all faults, and exit
    #[arg(long)]
    pub(crate) list_faults: bool,

    /// Write a line of JSON for each request
    ///
    /// A file is replaced, and `-` is stdout. Credentials in a request are replaced, and bodies
    /// are not written.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// Let tests control the emulator over HTTP
    ///
    /// Requests for /_emulator/... then return the requests that it received, switch faults on and off, move its
    /// time, and reset it. See the emulator's README.
    #[arg(long)]
    pub(crate) control: bool,

    /// Exit after this time [default: run until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = lifetime)]
    pub(crate) duration: Option<Duration>,
}

impl EmulateArgs {
    /// Returns the first given option about generated keys and projects.
    pub(crate) fn about_generated(&self) -> Option<&'static str> {
        [
            (self.keys.is_some(), "--keys"),
            (self.groups.is_some(), "--groups"),
            (self.organizations.is_some(), "--organizations"),
            (self.hostile_names, "--hostile-names"),
        ]
        .into_iter()
        .find_map(|(is_given, name)| is_given.then_some(name))
    }

    /// Returns the file for the certificate of the authority, or `None` without TLS.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        let file = self.tls_ca.as_deref();
        self.tls
            .then(|| file.unwrap_or(Path::new("atlas-emulator-ca.pem")))
    }
}

/// Returns the parser of all formats but `raw`.
fn format_of_keys() -> impl TypedValueParser<Value = Format> {
    let formats = Format::value_variants()
        .iter()
        .filter(|format| **format != Format::Raw);
    let values = formats.filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(values).try_map(|text| Format::from_str(&text, true))
}

/// Returns the parser of the formats in which `emulate` prints what a client needs.
fn format_of_environment() -> impl TypedValueParser<Value = EnvironmentFormat> {
    let values = EnvironmentFormat::ALL.map(|format| {
        let value = PossibleValue::new(format.as_str());
        match format {
            EnvironmentFormat::Shell => {
                value.help("Exports for a shell, and curl commands in comments")
            }
            EnvironmentFormat::Dotenv => {
                value.help("Lines of NAME=value, for `docker --env-file` or $GITHUB_ENV")
            }
            EnvironmentFormat::Json => value.help(
                "One line of JSON. It also has the access token, all credentials, and who may list each project",
            ),
            _ => value,
        }
    });
    PossibleValuesParser::new(values).try_map(|text| text.parse::<EnvironmentFormat>())
}

/// A rate limit, or none. It is a type of its own, because clap treats an `Option` as an optional argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<TokenBucket>);

/// Parses a value of the protocol. The error is only the rule, because clap names the option and the value.
fn checked<T: FromStr<Err = InvalidValue>>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|invalid: InvalidValue| invalid.rule())
}

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn lifetime(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(1)..=YEAR)
}

/// Parses the lifetime of a token. The minimum is a second, because `expires_in` is in whole seconds.
fn token_ttl(text: &str) -> Result<Duration, String> {
    duration(text, SECOND..=YEAR)
}

fn latency(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(1)..=60 * SECOND)
}

fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error} (durations are written 500ms, 10s, 2m, 1h 30m)"))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(match duration < *range.start() {
        true => format!("at least {}", in_one_unit(*range.start())),
        false => format!("at most {}", in_one_unit(*range.end())),
    })
}

/// Writes a duration in the largest unit that divides it, because humantime writes a year as `11months 30days 7h …`.
fn in_one_unit(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let unit = units
        .iter()
        .find(|(unit, _)| milliseconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or(&(1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    match text.parse::<IpAddr>().is_ok() || text.len() <= 253 && text.split('.').all(is_label) {
        true => Ok(text.to_owned()),
        false => Err("a host name, without scheme and port, such as atlas.test"),
    }
}

/// Parses a date-time of RFC 3339 as the time since the Unix epoch.
fn instant(text: &str) -> Result<Duration, String> {
    let time: UnixTime = text
        .parse()
        .map_err(|invalid| format!("{invalid}; write it as 2026-11-27T12:00:00Z"))?;
    time.to_duration()
        .ok_or_else(|| "at least 1970-01-01T00:00:00Z".to_owned())
}

fn fault(text: &str) -> Result<Injection, String> {
    text.parse()
        .map_err(|error| format!("{error} (--list-faults lists them all)"))
}

fn rate_limit(text: &str) -> Result<Rate, String> {
    const RULE: &str = "it is three numbers from 1 on, such as 1200/500/60 \
                        (1200 requests at once, 500 more in every 60 seconds), or \"none\"";
    if text == "none" {
        return Ok(Rate(None));
    }
    let mut parts = text.split('/');
    let mut number = || {
        parts
            .next()?
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
    };
    let three = (number(), number(), number());
    let (Some(capacity), Some(refill), Some(seconds), None) =
        (three.0, three.1, three.2, parts.next())
    else {
        return Err(RULE.to_owned());
    };
    let per = Duration::from_secs(u64::from(seconds));
    if per > YEAR {
        return Err(RULE.to_owned());
    }
    Ok(Rate(Some(TokenBucket::new(capacity, refill, per))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    fn list(arguments: &str) -> ListArgs {
        let words = format!("atlas-model-keys list {arguments}");
        match Cli::try_parse_from(words.split_whitespace())
            .unwrap()
            .command
        {
            Command::List(args) => args,
            _ => panic!("list was asked for"),
        }
    }

    #[test]
    fn the_atlas_cli_spellings_are_understood() {
        let id = "69681d39c9e8cfd375386316";
        for name in ["--group-id", "--groupId", "--project-id", "--projectId"] {
            let args = list(&format!("{name} {id} --itemsPerPage 7 --pageNum=2"));
            let [group] = args.sources.group_id.try_into().unwrap();
            assert_eq!(group.as_str(), id);
            assert_eq!(args.items_per_page.unwrap().get(), 7);
            assert_eq!(args.page_num.unwrap().get(), 2);
        }
    }

    #[test]
    fn switches_are_sent_only_if_given() {
        let args = list("--demo");
        assert_eq!((args.pretty, args.envelope), (None, None));
        let args = list("--pretty --envelope=false");
        assert_eq!((args.pretty, args.envelope), (Some(true), Some(false)));
    }

    #[test]
    fn columns_are_a_list_of_fields() {
        let args = list("--columns NAME,apikeyid");
        assert_eq!(args.columns, Some(vec![Column::NAME, Column::ID]));
    }

    #[test]
    fn durations_have_a_unit_and_bounds() {
        assert_eq!(lifetime("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(lifetime("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in [
            "",
            "0s",
            "0ms",
            "5",
            "-1s",
            "1 fortnight",
            "2y",
            "999999999999999999999y",
        ] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
        assert_eq!(token_ttl("999ms"), Err("at least 1s".to_owned()));
        assert_eq!(latency("2m"), Err("at most 1m".to_owned()));
        assert_eq!(lifetime("0s"), Err("at least 1ms".to_owned()));
        assert_eq!(lifetime("2y"), Err("at most 365d".to_owned()));
    }

    #[test]
    fn host_names_have_neither_scheme_nor_port() {
        for name in ["atlas", "Atlas_1.test", "10.0.0.1", "::1"] {
            assert_eq!(host_name(name).as_deref(), Ok(name));
        }
        let long = "a.".repeat(127) + "a";
        for wrong in [
            "", ".", "a.", "a..b", "*", "*.test", "a:1", "http://a", "[::1]", "a b", &long,
        ] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_rfc_3339_and_not_before_1970() {
        let noon = Duration::from_secs(1_795_780_800);
        assert_eq!(instant("2026-11-27T12:00:00Z"), Ok(noon));
        assert_eq!(instant("2026-11-27T13:00:00+01:00"), Ok(noon));
        assert_eq!(instant("1970-01-01T00:00:00Z"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "now",
            "2026-11-27",
            "1969-12-31T23:59:59Z",
            "2026-02-29T00:00:00Z",
        ] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_three_positive_numbers() {
        let Rate(Some(limit)) = rate_limit("3/10/1").unwrap() else {
            panic!("a limit was given");
        };
        assert_eq!(
            (limit.capacity, limit.refill, limit.per),
            (3, 10, Duration::from_secs(1))
        );
        assert_eq!(rate_limit("none"), Ok(Rate(None)));
        for wrong in [
            "",
            "3",
            "3/10",
            "3/10/1/1",
            "0/1/1",
            "1/0/1",
            "1/1/0",
            "a/1/1",
            "-1/1/1",
            "4294967296/1/1",
            "1/1/4294967295",
            "1 / 1 / 1",
        ] {
            assert!(rate_limit(wrong).is_err(), "{wrong}");
        }
    }
}
