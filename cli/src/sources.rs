//! The sources of a listing: projects, an organization, or everything that the credential may see.

use atlas_model_keys_core::{GroupId, InvalidValue, OrgId};

use crate::args::SourceArgs;
use crate::environment::{Environment, ORG_ID, PROJECT_ID};
use crate::failure::{CommandError, Subject};

/// The sources of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// These projects, each once.
    Groups(Vec<GroupId>),
    Organization(OrgId),
    AllProjects,
}

impl Sources {
    /// Returns the sources that the arguments name, or else those that the environment names. A demonstration ignores the
    /// environment.
    pub(crate) fn find(args: &SourceArgs, environment: &Environment) -> Result<Self, CommandError> {
        if let Some(sources) = Self::of_arguments(args) {
            return Ok(sources);
        }
        if args.demo {
            return Ok(Self::AllProjects);
        }
        let wrong = |name: &'static str| {
            move |invalid: InvalidValue| {
                CommandError::usage(invalid.to_string()).hint(format!("look at {name}"))
            }
        };
        if let Some(text) = environment.get(PROJECT_ID)? {
            let group = text.parse().map_err(wrong(PROJECT_ID))?;
            return Ok(Self::Groups(vec![group]));
        }
        if let Some(text) = environment.get(ORG_ID)? {
            return text.parse().map(Self::Organization).map_err(wrong(ORG_ID));
        }
        Err(CommandError::usage("no project given")
            .hint(format!(
                "give --group-id, --org-id or --all-projects,\n\
                 or set {PROJECT_ID} or {ORG_ID};\n\
                 Atlas shows the ids in the settings of the project and of the organization"
            ))
            .hint("to try it without an account: atlas-model-keys list --demo"))
    }

    /// Returns whether all keys come from one project or organization.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Self::Groups(groups) => groups.len() == 1,
            Self::Organization(_) => true,
            Self::AllProjects => false,
        }
    }

    /// Returns what is asked for first.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Groups(groups) => match groups.as_slice() {
                [group] => Subject::Group(*group),
                _ => Subject::Groups,
            },
            Self::Organization(organization) => Subject::Organization(*organization),
            Self::AllProjects => Subject::Groups,
        }
    }

    /// Returns the sources that the arguments name.
    fn of_arguments(args: &SourceArgs) -> Option<Self> {
        if args.all_projects {
            return Some(Self::AllProjects);
        }
        if let Some(organization) = args.org_id {
            return Some(Self::Organization(organization));
        }
        let mut groups = Vec::new();
        for group in &args.group_id {
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        (!groups.is_empty()).then_some(Self::Groups(groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "69681d39c9e8cfd375386316";
    const B: &str = "0123456789abcdef01234567";

    fn find<const N: usize>(
        args: &SourceArgs,
        variables: [(&str, &str); N],
    ) -> Result<Sources, String> {
        Sources::find(args, &Environment::from(variables)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn group_that_is_given_twice_is_listed_once_in_the_given_order() {
        let [a, b] = [A, B].map(|id| id.parse().unwrap());
        let args = SourceArgs {
            group_id: vec![a, b, a],
            ..SourceArgs::default()
        };
        assert_eq!(
            find(&args, [(PROJECT_ID, "nonsense")]),
            Ok(Sources::Groups(vec![a, b]))
        );
    }

    #[test]
    fn variables_are_used_without_arguments_and_the_project_first() {
        let args = SourceArgs::default();
        let (group, organization) = (A.parse().unwrap(), B.parse().unwrap());
        let project = Ok(Sources::Groups(vec![group]));
        assert_eq!(find(&args, [(PROJECT_ID, A), (ORG_ID, B)]), project);
        let organization = Ok(Sources::Organization(organization));
        assert_eq!(find(&args, [(PROJECT_ID, ""), (ORG_ID, B)]), organization);
        let all = SourceArgs {
            all_projects: true,
            ..SourceArgs::default()
        };
        assert_eq!(find(&all, [(PROJECT_ID, A)]), Ok(Sources::AllProjects));
    }

    #[test]
    fn wrong_variable_is_named_and_missing_source_lists_all_ways() {
        let args = SourceArgs::default();
        let error = find(&args, [(ORG_ID, "69681D39")]).unwrap_err();
        assert!(error.contains("look at MONGODB_ATLAS_ORG_ID"), "{error}");
        let error = find(&args, []).unwrap_err();
        for word in [
            "error: no project given\n",
            "--group-id",
            "--org-id",
            "--all-projects",
            PROJECT_ID,
            ORG_ID,
            "--demo",
        ] {
            assert!(error.contains(word), "{error}");
        }
    }
}
