//! A page of documentation as its blocks of code, each with the words before it.

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
    /// Where it begins in the page.
    pub(crate) line: usize,
    /// The file that the paragraph before it names, and whether the block is all of it.
    pub(crate) file: Option<(String, Part)>,
}

/// How much of a file a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Piece,
}

/// The text of a page in `docs/`.
pub(crate) fn text(page: &str) -> String {
    std::fs::read_to_string(path(page)).unwrap()
}

pub(crate) fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page)
}

/// All blocks of a page.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    let (mut paragraph, mut ended) = (String::new(), true);
    while let Some((line, number)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside = lines.by_ref().map(|(line, _)| line);
            let inside = inside.take_while(|line| *line != "```");
            blocks.push(Block {
                language: language.to_owned(),
                text: inside.map(|line| format!("{line}\n")).collect(),
                line: number,
                file: file_named(&paragraph),
            });
            paragraph.clear();
        } else if line.is_empty() {
            ended = true;
        } else {
            if std::mem::take(&mut ended) {
                paragraph.clear();
            }
            paragraph += line;
            paragraph.push(' ');
        }
    }
    blocks
}

/// A page with other texts in these of its blocks.
pub(crate) fn with(page: &str, texts: &[(Block, String)]) -> String {
    let mut lines: Vec<&str> = page.lines().collect();
    // The last first, so that what is before it stays where it is.
    for (block, text) in texts.iter().rev() {
        let inside = block.line..block.line + block.text.lines().count();
        lines.splice(inside, text.lines());
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The paragraph "`skep.toml`:" is followed by a whole file; one in which stands "From `skep.toml`" by
/// some of it.
fn file_named(paragraph: &str) -> Option<(String, Part)> {
    let (name, part) = match paragraph.rsplit_once("From `") {
        Some((_, rest)) => (rest.split_once('`')?.0, Part::Piece),
        None => {
            let rest = paragraph.trim_end().strip_prefix('`')?;
            (rest.strip_suffix("`:")?, Part::Whole)
        }
    };
    (!name.contains('`')).then(|| (name.to_owned(), part))
}

impl Block {
    /// The commands in it, in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines();
        lines.filter_map(|line| line.strip_prefix("$ "))
    }

    /// What a block of the language `diff` makes of a text.
    pub(crate) fn change(&self, text: &str) -> String {
        // Each run of removed lines is replaced by the run of added ones that follows it.
        let mut changed = text.to_owned();
        let mut lines = self.text.lines().peekable();
        while lines.peek().is_some() {
            let mut run = |sign: char| {
                let mut run = String::new();
                while let Some(line) = lines.next_if(|line| line.starts_with(sign)) {
                    run += &format!("{}\n", &line[1..]);
                }
                run
            };
            let (old, new) = (run('-'), run('+'));
            assert_eq!(
                changed.matches(&old).count(),
                1,
                "line {}: {old}",
                self.line
            );
            changed = changed.replace(&old, &new);
        }
        changed
    }
}

/// Splits a command at spaces that are not between single quotes.
pub(crate) fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').zip([false, true].into_iter().cycle());
    parts
        .flat_map(|(part, quoted)| match quoted {
            true => vec![part.to_owned()],
            false => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}
