//! Replays the seeds and the regressions of every target, on any toolchain, so that an input that once
//! failed is checked on every run.

use std::path::Path;

use atlas_model_keys_properties::{TARGETS, allocations, replay};

#[test]
fn seeds_and_regressions_hold() {
    allocations::count_with(|work| allocation_counter::measure(work).bytes_max);
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // The corpora of a campaign, for example to measure their coverage.
    let corpora = std::env::var_os("FUZZ_REPLAY").map(|folder| fuzz.join(folder));
    if let Some(folder) = &corpora {
        assert!(folder.is_dir(), "FUZZ_REPLAY: no folder {folder:?}");
    }
    for (name, check) in TARGETS {
        let seeds = replay(&fuzz.join("seeds").join(name), check);
        assert!(seeds.is_ok_and(|files| files > 0), "{name} has no seeds");
        let regressions = fuzz.join("regressions").join(name);
        if regressions.is_dir() {
            replay(&regressions, check).expect("the files can be read");
        }
        if let Some(corpus) = corpora.as_ref().map(|folder| folder.join(name))
            && corpus.is_dir()
        {
            replay(&corpus, check).expect("the files can be read");
        }
    }
}

#[test]
fn every_target_has_its_files_and_a_line_in_the_readme() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(fuzz.join("README.md")).expect("README.md can be read");
    for (name, _) in TARGETS {
        for file in [
            format!("fuzz_targets/{name}.rs"),
            format!("options/{name}.options"),
        ] {
            assert!(fuzz.join(&file).is_file(), "{file}");
        }
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
}
