//! `list`: reads the keys of the sources, and writes them.

use atlas_model_keys_core::{Limits, ListRequest, OrgListRequest};

use crate::args::{Format, ListArgs};
use crate::demo;
use crate::environment::Environment;
use crate::failure::CommandError;
use crate::output::{self, Scope, Stdout, Written};
use crate::progress::{Place, Progress};
use crate::reader::{Parameters, Reader};
use crate::service::Service;
use crate::signals::Signals;
use crate::sources::Sources;

pub(crate) fn run(args: &ListArgs, environment: &Environment) -> Result<(), CommandError> {
    args.filter.check(args.output)?;
    if args.fail_if_any && args.output == Format::Raw {
        return Err(CommandError::usage(
            "--fail-if-any does not go with -o raw, whose keys are not counted",
        ));
    }
    let sources = sources(args, environment)?;
    let columns = output::columns(args, Scope::new(&sources))?;
    let stdout = Stdout::new(environment)?;
    // A table is written at the end, and `raw` writes only one page.
    let is_streamed = matches!(args.output, Format::Json | Format::Ndjson | Format::Csv);
    let shows_keys = is_streamed && stdout.is_terminal;
    let progress = Progress::new(Place::of_stderr(environment, shows_keys));
    let signals = Signals::catch()?;
    let service = Service::for_sources(
        &args.sources,
        &args.connection,
        &sources,
        args.show_secrets,
        environment,
        &signals,
        &progress,
    )?;
    let outcome = if args.output == Format::Raw {
        raw(args, &service, &sources, &stdout, &progress)
    } else {
        let limits = Limits::default();
        let sink = output::sink(args, columns, &stdout);
        let written = Written::new(sink, args.output, &args.filter, &limits);
        keys(
            args, &service, &sources, written, &limits, &stdout, &progress,
        )
    };
    service.revoke_token(&progress);
    outcome
}

/// Returns the sources, if the options allow that many.
fn sources(args: &ListArgs, environment: &Environment) -> Result<Sources, CommandError> {
    let sources = Sources::find(&args.sources, environment)?;
    let option = match args {
        _ if sources.is_single() => return Ok(sources),
        _ if args.output == Format::Raw => "-o raw",
        ListArgs {
            page_num: Some(_), ..
        } => "--page-num",
        _ => return Ok(sources),
    };
    if args.sources.demo && args.sources.is_empty() {
        return Ok(Sources::Groups(vec![demo::first_group()]));
    }
    Err(CommandError::usage(format!(
        "{option} goes with one project or organization only"
    ))
    .hint("give one --group-id, or --org-id"))
}

fn parameters(args: &ListArgs) -> Parameters {
    Parameters {
        items_per_page: args.items_per_page,
        page_num: args.page_num,
        envelope: args.envelope,
        pretty: args.pretty,
    }
}

/// Writes the keys of all sources.
fn keys(
    args: &ListArgs,
    service: &Service,
    sources: &Sources,
    mut written: Written<'_>,
    limits: &Limits,
    stdout: &Stdout,
    progress: &Progress,
) -> Result<(), CommandError> {
    let reader = Reader {
        service,
        parameters: parameters(args),
        limits,
        progress,
    };
    let outcome = reader.read(sources, &mut written);
    let projects = written.projects();
    match outcome {
        Ok(()) => {
            let keys = written.finish(args.page_num, progress)?;
            match projects.failed {
                0 if args.fail_if_any && keys > 0 => Err(CommandError::found(keys)),
                0 => Ok(()),
                _ => Err(CommandError::partial(projects)),
            }
        }
        Err(_) if service.is_interrupted() => Err(CommandError::interrupted(
            service.asked.subject,
            args.output,
            &written.output(),
            projects,
        )),
        Err(failure) => {
            Err(failure.incomplete(args.output, &written.output(), projects, stdout.is_cut()))
        }
    }
}

/// Writes the first page as Atlas sent it, or the page that was requested.
fn raw(
    args: &ListArgs,
    service: &Service,
    sources: &Sources,
    stdout: &Stdout,
    progress: &Progress,
) -> Result<(), CommandError> {
    let (asked, parameters) = (&service.asked, parameters(args));
    let page = match sources {
        Sources::Organization(organization) => {
            let request = parameters.set(OrgListRequest::new(*organization));
            service.page(&request, asked, progress)
        }
        Sources::Groups(groups) => match groups.first() {
            Some(group) => {
                let request = parameters.set(ListRequest::new(*group));
                service.page(&request, asked, progress)
            }
            None => return Ok(()),
        },
        // Refused by `sources`.
        Sources::AllProjects => return Ok(()),
    };
    let page = page.map_err(|failure| match service.is_interrupted() {
        true => CommandError::interrupted_before(asked.subject),
        false => failure,
    })?;
    let has_next = page.has_next();
    output::write_raw(
        stdout,
        page.into_body(),
        stdout.is_terminal,
        args.show_secrets,
    )
    .map_err(|error| CommandError::stdout(&error))?;
    if has_next && args.page_num.is_none() {
        progress.note(
            "this is the first page of several; --page-num 2 gives the next, -o json all in one",
        );
    }
    Ok(())
}
