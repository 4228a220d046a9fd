//! A file in which this program replaces some sections.

use std::path::{Path, PathBuf};
use std::{fs, io};

pub(crate) struct Readme {
    path: PathBuf,
    text: String,
}

impl Readme {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: fs::read_to_string(path)?,
        })
    }

    /// Replaces a section. Returns whether the file has a section with this name.
    pub(crate) fn replace(&mut self, name: &str, new: &str) -> bool {
        let begin = format!("<!-- begin: {name} -->\n");
        let end = format!("<!-- end: {name} -->");
        let Some((before, rest)) = self.text.split_once(&begin) else {
            return false;
        };
        let Some((_, after)) = rest.split_once(&end) else {
            return false;
        };
        self.text = format!("{before}{begin}{new}{end}{after}");
        true
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        fs::write(&self.path, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_is_replaced() {
        let mut readme = Readme {
            path: PathBuf::new(),
            text: "a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n".to_owned(),
        };
        assert!(readme.replace("x", "new\n"));
        assert!(!readme.replace("y", "new\n"));
        assert_eq!(
            readme.text,
            "a\n<!-- begin: x -->\nnew\n<!-- end: x -->\nb\n"
        );
    }
}
