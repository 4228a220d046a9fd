//! Writes the tables of `benches/README.md` and its plots from the stored measurements:
//! `cargo run --example report`.
//!
//! A section is the text between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. Sections without
//! measurements and all other text do not change.

mod command;
mod connections;
mod criterion;
mod listings;
mod plot;
mod readme;
mod rows;
mod small;
mod sweeps;
mod targets;
mod text;

use std::error::Error;
use std::fs;
use std::path::Path;

use atlas_model_keys_benches::cases;
use atlas_model_keys_benches::results::{self, Machine, Results};

use crate::plot::Plot;
use crate::readme::Readme;
use crate::rows::Rows;
use crate::targets::Measured;

/// The text between two markers, with an optional plot below it.
struct Section {
    name: String,
    text: String,
    plot: Option<Plot>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut readme = Readme::read(&folder.join("README.md"))?;
    fs::create_dir_all(folder.join("plots"))?;
    for section in sections() {
        let Section {
            name,
            mut text,
            plot,
        } = section;
        if let Some(Plot { title, .. }) = &plot {
            text += &format!("\n![{title}](plots/{name}.svg)\n");
        }
        if !readme.replace(&name, &text) {
            println!("{name}: README.md has no such section");
            continue;
        }
        if let Some(Plot { svg, .. }) = plot {
            fs::write(folder.join(format!("plots/{name}.svg")), svg)?;
        }
        println!("{name}: written");
    }
    readme.write()?;
    Ok(())
}

fn sections() -> Vec<Section> {
    let [allocations, instructions, drain, start] =
        ["allocations", "instructions", "drain", "start"].map(results::read);
    let measured = [&allocations, &instructions, &drain, &start];
    let newest = measured
        .into_iter()
        .flatten()
        .map(|results| &results.machine)
        .max_by_key(|machine| &machine.date)
        .cloned();
    let rows = |results: Option<Results>| results.map_or(Vec::new(), |results| results.rows);

    let times = criterion::read(&results::target().join("criterion"));
    let machine = newest.or((!times.is_empty()).then(Machine::current));
    let mut measured = [times, rows(instructions), rows(allocations)].concat();
    // Sorted like the cases, because filters change the order of measurements.
    let order: Vec<String> = cases::all().iter().map(ToString::to_string).collect();
    measured.sort_by_key(|row| {
        let name = format!("{}/{}", row.group, row.id);
        order.iter().position(|case| *case == name)
    });
    let (drain, start) = (rows(drain), rows(start));
    let all = Measured {
        small: Rows(&measured),
        drain: Rows(&drain),
        start: Rows(&start),
    };
    let mut sections = small::sections(&measured);
    sections.extend(listings::sections(&all.drain));
    sections.extend(connections::sections(&all.drain));
    sections.extend(sweeps::sections(&all.drain));
    sections.extend(command::sections(&start));
    sections.extend(all.section());
    sections.extend(machine.map(|machine| describe(&machine)));
    sections
}

fn describe(machine: &Machine) -> Section {
    let Machine {
        date,
        cpu,
        cores,
        kernel,
        rustc,
        peers,
        ..
    } = machine;
    let peers: Vec<String> = peers
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    Section {
        name: "machine".to_owned(),
        text: format!(
            "Measured on {date}: {cores} cores of {cpu}, {kernel}, {rustc}; {}.\n",
            peers.join(", ")
        ),
        plot: None,
    }
}
