//! The table of `--list-faults`.

use std::fmt::Write as _;

use atlas_model_keys_emulator::Fault;

/// Returns a table of all faults, area by area.
pub(super) fn catalogue() -> String {
    let rows: Vec<_> = Fault::all()
        .map(|fault| {
            let name = match fault.argument() {
                Some(argument) => format!("{}[={argument}]", fault.name()),
                None => fault.name().to_owned(),
            };
            (fault, name)
        })
        .collect();
    let width = rows.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    let mut out = "\
Faults for --fault NAME[=ARG][*N]. The ARG that is shown is the default.
A fault applies to every response, or with *N only to the next N: --fault 'reset-in-body*2'
With a fault that is marked +, a robust client still gets all keys.
"
    .to_owned();
    let mut area = None;
    for (fault, name) in rows {
        // Writing to a `String` cannot fail.
        if area.replace(fault.area()) != Some(fault.area()) {
            let _ = writeln!(out, "\nIn {}:", fault.area().description());
        }
        let mark = if fault.is_harmless() { '+' } else { ' ' };
        let _ = writeln!(out, "{mark} {name:width$}  {}", fault.description());
    }
    out
}
