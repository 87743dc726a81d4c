//! The table of what was found, and the file of the documentation that holds it.

use std::fmt::Write as _;
use std::path::Path;

const BEGINS: &str = "<!-- What follows is written by the tests. -->\n";
const ENDS: &str = "<!-- The tests end here. -->\n";

pub(crate) struct Table {
    text: String,
    columns: usize,
}

impl Table {
    pub(crate) fn new<const N: usize>(languages: [&str; N]) -> Self {
        let text = format!(
            "| | {} |\n|---|{}\n",
            languages.join(" | "),
            ":-:|".repeat(N)
        );
        Self { text, columns: N }
    }

    pub(crate) fn row(&mut self, feature: &str, works: &[bool]) {
        assert_eq!(works.len(), self.columns);
        let cells: Vec<&str> = works
            .iter()
            .map(|works| if *works { "✓" } else { "–" })
            .collect();
        writeln!(self.text, "| {feature} | {} |", cells.join(" | ")).unwrap();
    }

    /// With `UPDATE_EXPECT=1` it is put there instead.
    #[track_caller]
    pub(crate) fn is_documented(&self) {
        println!("{}", self.text);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/languages/README.md");
        let page = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once(BEGINS).unwrap();
        let (table, after) = rest.split_once(ENDS).unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let page = format!("{before}{BEGINS}\n{}\n{ENDS}{after}", self.text);
            std::fs::write(&file, page).unwrap();
            return;
        }
        assert_eq!(
            table.trim(),
            self.text.trim(),
            "docs/languages/README.md says otherwise; UPDATE_EXPECT=1 writes it anew"
        );
    }
}
