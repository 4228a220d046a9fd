//! Checks that the files of a crate do not import each other in a circle.
//!
//! An edge leads from a file to each file that defines something it names: in a `use`, or in a path that begins with
//! `crate`, `super`, `self` or a child module. Re-exports lead to the file that defines the item. Code for tests is
//! ignored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

/// The folders of the crates that are checked.
const CRATES: &[&str] = &[
    "conformance",
    "core",
    "emulator",
    "fuzz",
    "transport",
    "transport-hyper",
    "transport-ureq",
];

/// The sources of a crate by their paths within `src`, such as `session/mod.rs`.
type Sources = BTreeMap<String, String>;

/// The path of a module within its crate: empty for the root.
type ModulePath = Vec<String>;

/// For each file, the files that it imports from, and one path that it imports by.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Default)]
struct Module {
    file: String,
    /// The names of all items that are defined in it.
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

struct Import {
    path: Vec<String>,
    /// The name that a `use` gives to the item; `*` for all items, and `None` for a path in other code.
    name: Option<String>,
}

impl Import {
    fn is_glob(&self) -> bool {
        self.name.as_deref() == Some("*")
    }
}

/// The modules of one library or program.
struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads the root file of a library or program, and the files of its modules.
    fn read(sources: &Sources, root: &str) -> Self {
        let mut modules = Self(BTreeMap::new());
        for (file, source) in sources {
            let path = if file == root {
                Some(ModulePath::new())
            } else {
                module_path(root, file)
            };
            if let Some(path) = path {
                modules.read_module(&mut tokens(source), file, &path);
            }
        }
        modules
    }

    /// Reads a module up to its closing brace, or to the end of its file.
    fn read_module(&mut self, tokens: &mut VecDeque<&str>, file: &str, path: &ModulePath) {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        let mut depth = 0;
        let mut previous = "";
        while let Some(token) = tokens.pop_front() {
            match token {
                "{" => depth += 1,
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                "#" if is_for_tests(tokens) => skip_item(tokens),
                "use" => read_use(tokens, &[], &mut module.imports),
                "mod" if tokens.get(1) == Some(&"{") => {
                    let name = tokens.pop_front().unwrap();
                    tokens.pop_front();
                    self.read_module(tokens, file, &child(path, name));
                }
                "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" | "fn" => {
                    module.items.extend(tokens.front().map(ToString::to_string));
                }
                "macro_rules" => {
                    module.items.extend(tokens.get(1).map(ToString::to_string));
                }
                // `pub(in crate::…)` imports nothing.
                "in" if previous == "(" => drop(tokens.pop_front()),
                // A path after `$` is one within the code that uses a macro.
                _ if is_name(token) && !["::", "$"].contains(&previous) => {
                    let mut path = vec![token.to_owned()];
                    while tokens.front() == Some(&"::") && tokens.get(1).is_some_and(|t| is_name(t))
                    {
                        tokens.pop_front();
                        path.extend(tokens.pop_front().map(str::to_owned));
                    }
                    if path.len() > 1 {
                        module.imports.push(Import { path, name: None });
                    }
                }
                _ => {}
            }
            previous = token;
        }
        self.0.insert(path.clone(), module);
    }

    /// Returns the module that defines what a path within `from` leads to, or the module that it names; `None` if it
    /// leads out of the crate.
    fn resolve(
        &self,
        from: &ModulePath,
        path: &[String],
        visited: &mut Visited,
    ) -> Option<ModulePath> {
        let mut place = from.clone();
        let mut names = path.iter();
        match names.next()?.as_str() {
            "crate" => place.clear(),
            "self" => {}
            "super" => drop(place.pop()),
            first => {
                place.push(first.to_owned());
                self.0.get(&place)?;
            }
        }
        for name in names {
            if name == "super" {
                place.pop();
                continue;
            }
            match self.find(&place, name, visited) {
                Found::At(found) => place = found,
                Found::Elsewhere => return None,
                // A macro may have made it, or it belongs to a type that was found before.
                Found::Nowhere => return Some(place),
            }
        }
        Some(place)
    }

    /// Looks for a name within a module.
    fn find(&self, place: &ModulePath, name: &str, visited: &mut Visited) -> Found {
        let child = child(place, name);
        if self.0.contains_key(&child) {
            return Found::At(child);
        }
        let module = &self.0[place];
        if module.items.contains(name) {
            return Found::At(place.clone());
        }
        // Two modules may import everything from each other.
        if !visited.insert((place.clone(), name.to_owned())) {
            return Found::Nowhere;
        }
        if let Some(import) = module
            .imports
            .iter()
            .find(|i| i.name.as_deref() == Some(name))
        {
            return match self.resolve(place, &import.path, visited) {
                Some(found) => Found::At(found),
                None => Found::Elsewhere,
            };
        }
        let globs = module.imports.iter().filter(|import| import.is_glob());
        globs
            .filter_map(|glob| self.resolve(place, &glob.path, visited))
            .collect::<Vec<_>>()
            .iter()
            .map(|target| self.find(target, name, visited))
            .find(|found| !matches!(found, Found::Nowhere))
            .unwrap_or(Found::Nowhere)
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (path, module) in &self.0 {
            for import in &module.imports {
                let Some(target) = self.resolve(path, &import.path, &mut Visited::new()) else {
                    continue;
                };
                let file = &self.0[&target].file;
                if *file != module.file {
                    let targets = edges.entry(module.file.clone()).or_default();
                    targets
                        .entry(file.clone())
                        .or_insert_with(|| import.path.join("::"));
                }
            }
        }
        edges
    }
}

type Visited = BTreeSet<(ModulePath, String)>;

enum Found {
    At(ModulePath),
    /// In another crate.
    Elsewhere,
    Nowhere,
}

/// Tells whether a file is the root of a library or program.
fn is_root(file: &str) -> bool {
    let program = file.strip_prefix("bin/");
    ["lib.rs", "main.rs"].contains(&file)
        || program.is_some_and(|file| !file.contains('/') || file.ends_with("/main.rs"))
}

/// Returns the path of a child module.
fn child(path: &ModulePath, name: &str) -> ModulePath {
    let mut path = path.clone();
    path.push(name.to_owned());
    path
}

/// Returns the path of the module in a file of a library or program with this root; `None` for a file of another one.
fn module_path(root: &str, file: &str) -> Option<ModulePath> {
    let folder = root.trim_end_matches(|c| c != '/');
    // A program of one file has no modules; one of several has a folder of its own.
    if is_root(file) || !(root.ends_with("lib.rs") || root.ends_with("main.rs")) {
        return None;
    }
    let file = file.strip_prefix(folder)?;
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let path: ModulePath = path.split('/').map(str::to_owned).collect();
    (!folder.is_empty() || path.first().is_none_or(|name| name != "bin")).then_some(path)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

/// Reads an attribute after its `#`. Returns whether it is a `cfg` for tests.
fn is_for_tests(tokens: &mut VecDeque<&str>) -> bool {
    if tokens.front() == Some(&"!") {
        tokens.pop_front();
    }
    let mut attribute = Vec::new();
    let mut depth = 0;
    while let Some(token) = tokens.pop_front() {
        match token {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => attribute.push(token),
        }
        if depth == 0 {
            break;
        }
    }
    attribute.first() == Some(&"cfg") && attribute.contains(&"test") && !attribute.contains(&"not")
}

/// Skips an item, with its other attributes.
fn skip_item(tokens: &mut VecDeque<&str>) {
    let mut depth = 0;
    while let Some(token) = tokens.pop_front() {
        match token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token, ";" | "}") {
            break;
        }
    }
}

/// Reads a `use` after this word, or one of its braces, up to the `;` or `}`.
fn read_use(tokens: &mut VecDeque<&str>, prefix: &[String], imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut name = None;
    let mut is_complete = false;
    while let Some(token) = tokens.pop_front() {
        match token {
            "{" => {
                read_use(tokens, &path, imports);
                is_complete = false;
            }
            "as" => name = tokens.pop_front().map(str::to_owned),
            "*" => {
                name = Some(token.to_owned());
                is_complete = true;
            }
            "," | ";" | "}" => {
                if is_complete {
                    let name = name.take().or_else(|| path.last().cloned());
                    imports.push(Import { path, name });
                }
                if token != "," {
                    break;
                }
                path = prefix.to_vec();
                is_complete = false;
            }
            _ if is_name(token) => {
                // Within braces, `self` is the module before them.
                if token != "self" || path.is_empty() {
                    path.push(token.to_owned());
                }
                is_complete = true;
            }
            _ => {}
        }
    }
}

/// Splits a source into names, `::` and other characters, without comments, literals and lifetimes.
fn tokens(source: &str) -> VecDeque<&str> {
    let mut tokens = VecDeque::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
        let (length, is_token) = if let Some(length) = ignored(rest) {
            (length, false)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            let length = name.unwrap_or(rest.len()).max(first.len_utf8());
            (length, !first.is_whitespace())
        };
        let (token, after) = rest.split_at(length);
        if is_token {
            tokens.push_back(token);
        }
        rest = after;
    }
    tokens
}

/// Returns the length of the comment, literal or lifetime that a source begins with.
fn ignored(source: &str) -> Option<usize> {
    let end_of = |text: &str, start: usize| {
        let end = source[start..].find(text);
        end.map_or(source.len(), |end| start + end + text.len())
    };
    if source.starts_with("//") {
        return Some(end_of("\n", 2));
    }
    if source.starts_with("/*") {
        return Some(end_of("*/", 2));
    }
    let quote = source.find(|c| !matches!(c, 'b' | 'c' | 'r' | '#'))?;
    let prefix = &source[..quote];
    let is_raw = prefix.contains('r');
    if source[quote..].starts_with('"') && (is_raw || !prefix.contains('#')) {
        if is_raw {
            let hashes = prefix.trim_start_matches(['b', 'c', 'r']);
            return Some(end_of(&format!("\"{hashes}"), quote + 1));
        }
        let mut is_escaped = false;
        let end = source[quote + 1..].find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        return Some(end.map_or(source.len(), |end| quote + end + 2));
    }
    let character = source.strip_prefix('\'')?;
    let second = character.chars().next()?;
    if second == '\\' {
        return Some(end_of("'", 3));
    }
    if character[second.len_utf8()..].starts_with('\'') {
        return Some(second.len_utf8() + 2);
    }
    let name = character.find(|c: char| c != '_' && !c.is_alphanumeric());
    Some(1 + name.unwrap_or(character.len()))
}

/// Returns the shortest circle through each file that is in one, without duplicates.
fn circles(edges: &Edges) -> Vec<String> {
    let mut circles = BTreeMap::new();
    for start in edges.keys() {
        let mut previous: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start.as_str()]);
        while let Some(file) = queue.pop_front() {
            for target in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if !previous.contains_key(target.as_str()) {
                    previous.insert(target, file);
                    queue.push_back(target);
                }
            }
        }
        let mut files = vec![start.as_str()];
        let mut file = start.as_str();
        while let Some(from) = previous.get(file) {
            files.push(from);
            file = from;
            if file == start {
                break;
            }
        }
        if files.len() > 1 && file == start {
            files.reverse();
            let shown: Vec<String> = files
                .windows(2)
                .map(|pair| {
                    format!(
                        "    {} -> {} (by {})",
                        pair[0], pair[1], edges[pair[0]][pair[1]]
                    )
                })
                .collect();
            files.sort_unstable();
            files.dedup();
            circles.entry(files).or_insert(shown.join("\n"));
        }
    }
    circles.into_values().collect()
}

/// Returns the circles of all libraries and programs of a crate.
fn circles_of(sources: &Sources) -> Vec<String> {
    let roots = sources.keys().filter(|file| is_root(file));
    let found = roots.flat_map(|root| circles(&Modules::read(sources, root).edges()));
    found.collect()
}

fn read_sources(folder: &Path, prefix: &str, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            read_sources(&path, &format!("{name}/"), sources);
        } else if name.ends_with(".rs") {
            sources.insert(name, fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn files_of_a_crate_do_not_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for name in CRATES {
        let mut sources = Sources::new();
        read_sources(&root.join(name).join("src"), "", &mut sources);
        assert!(
            sources.keys().any(|file| is_root(file)),
            "{name} has no sources"
        );
        let circles = circles_of(&sources);
        found.extend(
            circles
                .into_iter()
                .map(|circle| format!("{name}:\n{circle}")),
        );
    }
    assert!(found.is_empty(), "circular imports\n{}", found.join("\n"));
}

/// Returns the circles of a crate with these sources.
fn circles_in(sources: &[(&str, &str)]) -> Vec<String> {
    let sources = sources
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    circles_of(&sources.collect())
}

#[test]
fn circle_is_found_by_every_kind_of_path() {
    for import in [
        "use crate::b::B;",
        "use super::b::{self};",
        "use crate::{a::A, b::{B as Other}};",
        "use crate::B;",
        "use crate::prelude::B;",
        "use crate::b::*;",
        "use crate::b::{b_macro};",
        "fn f() { use crate::b::B; }",
        "fn f() -> crate::b::B { crate::b::B }",
        "fn f() { for _ in crate::b::B {} }",
        "mod inner { use super::super::b::B; }",
        "/* use x; */ const Q: char = '\"'; const S: &str = \"\\\"//\"; use crate::b::B;",
        "fn f<'a>(r: &'a str) -> &'a str { r#\"\"#; r } use crate::b::B;",
    ] {
        let circles = circles_in(&[
            ("lib.rs", "mod a; mod b; mod prelude; pub use b::B;"),
            ("a.rs", &format!("pub struct A; {import}")),
            (
                "b.rs",
                "use crate::a::A; pub struct B; macro_rules! b_macro { () => {} } pub(crate) use b_macro;",
            ),
            ("prelude.rs", "pub use crate::b::*;"),
        ]);
        assert_eq!(circles.len(), 1, "{import}: {circles:?}");
        assert!(circles[0].contains("a.rs -> b.rs (by "), "{circles:?}");
        assert!(
            circles[0].contains("b.rs -> a.rs (by crate::a::A)"),
            "{circles:?}"
        );
    }
}

#[test]
fn circle_of_several_files_is_shown_in_order() {
    let circles = circles_in(&[
        ("main.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("d.rs", "use crate::a::A;"),
    ]);
    let expected = "    a.rs -> b.rs (by crate::b::B)\n    b.rs -> c.rs (by crate::c::C)\n    c.rs -> a.rs (by crate::a::A)";
    assert_eq!(circles, [expected]);
}

#[test]
fn parent_and_child_that_import_from_each_other_are_a_circle() {
    for (parent, root) in [("a.rs", "lib.rs"), ("a/mod.rs", "bin/tool/main.rs")] {
        let folder = if root == "lib.rs" { "" } else { "bin/tool/" };
        let circles = circles_in(&[
            (root, "mod a;"),
            (
                &format!("{folder}{parent}"),
                "mod child; use child::Child; pub struct A;",
            ),
            (
                &format!("{folder}a/child.rs"),
                "use super::A; pub struct Child;",
            ),
        ]);
        assert_eq!(circles.len(), 1, "{circles:?}");
    }
    let circles = circles_in(&[
        ("lib.rs", "mod a; pub use a::A; pub const MOST: usize = 1;"),
        ("a.rs", "use crate::MOST; pub struct A;"),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
}

#[test]
fn imports_in_one_direction_are_no_circle() {
    let circles = circles_in(&[
        (
            "lib.rs",
            "mod a; mod b; pub use a::A; pub use b::B; pub use other as b2;",
        ),
        // Code for tests, other crates and comments do not count, and a re-export leads to the file with the item.
        (
            "a.rs",
            "pub struct A; // use crate::b::B;\n use crate::b2::C; use b::D; \
             #[cfg(test)] mod tests { use crate::b::B; } #[cfg(all(test, unix))] use crate::b::B; \
             #[doc = \"use crate::b::B;\"] fn f() { b::g(); } pub(in crate::b) fn g() {}",
        ),
        (
            "b.rs",
            "use crate::A; mod inner { use super::B; } pub struct B;",
        ),
    ]);
    assert!(circles.is_empty(), "{circles:?}");
}
