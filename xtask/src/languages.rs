//! The tools with which services are written in other languages than Rust.
pub(crate) mod features;
mod table;
mod tools;

use crate::Result;

/// Those that need a tool of their own; Rust's target is the guest toolchain.
const LANGUAGES: [&str; 5] = ["js", "ts", "python", "c", "go"];

/// `cargo xtask languages`: prepares what is missing, and prints where everything is.
pub(crate) fn languages(args: &[String]) -> Result {
    let named: Vec<&str> = args.iter().map(String::as_str).collect();
    let tools = tools::prepare(if named.is_empty() { &LANGUAGES } else { &named })?;
    let mut rows = vec![["tool", "pin", "size", "where"].map(String::from).to_vec()];
    for tool in tools {
        let (size, place) = match tool.folder {
            Some(folder) => (
                table::megabytes(table::folder_size(&folder)),
                folder.join("bin").display().to_string(),
            ),
            None => (String::new(), "on the PATH".to_owned()),
        };
        rows.push(vec![tool.name, tool.version, size, place]);
    }
    print!("{}", table::table(&rows));
    Ok(())
}

/// The PATH with the tools of all languages before what is there.
pub(crate) fn path() -> Result<std::ffi::OsString> {
    tools::path_with(&tools::prepare(&LANGUAGES)?)
}
