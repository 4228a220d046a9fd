//! The measurements of a benchmark.

use atlas_model_keys_benches::results::Row;

pub(crate) const CPU: &str = "CPU µs/page";
pub(crate) const WALL: &str = "wall ms";
pub(crate) const PEAK: &str = "peak KiB";

pub(crate) struct Rows<'a>(pub(crate) &'a [Row]);

impl Rows<'_> {
    pub(crate) fn value(&self, group: &str, id: &str, unit: &str) -> Option<f64> {
        let is_it = |row: &&Row| row.group == group && row.id == id && row.unit == unit;
        self.0.iter().find(is_it).map(|row| row.value)
    }

    /// Returns the ratio of a value to that of another group and name, in the same unit.
    pub(crate) fn ratio(&self, of: (&str, &str), to: (&str, &str), unit: &str) -> Option<f64> {
        Some(self.value(of.0, of.1, unit)? / self.value(to.0, to.1, unit)?)
    }

    /// Returns the names in a group, in their order.
    pub(crate) fn ids(&self, group: &str) -> Vec<&str> {
        let of_group = self.0.iter().filter(|row| row.group == group);
        of_group
            .filter(|row| row.unit == CPU)
            .map(|row| row.id.as_str())
            .collect()
    }
}
