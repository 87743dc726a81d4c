//! The languages that services are written in: what their tools are (`tools`), and what a new service
//! begins with (`template`).

pub mod template;
pub mod tools;

/// One for which there are templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Language {
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "typescript")]
    Ts,
    #[value(alias = "py")]
    Python,
    C,
    Go,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] = [
        Language::Rust,
        Language::Js,
        Language::Ts,
        Language::Python,
        Language::C,
        Language::Go,
    ];

    /// As on the command line and in languages/tools.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Js => "js",
            Language::Ts => "ts",
            Language::Python => "python",
            Language::C => "c",
            Language::Go => "go",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::Js => "JavaScript",
            Language::Ts => "TypeScript",
            Language::Python => "Python",
            Language::C => "C",
            Language::Go => "Go",
        }
    }
}
