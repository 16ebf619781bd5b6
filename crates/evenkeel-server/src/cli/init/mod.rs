//! `evenkeel init`: a project folder to begin with, or one of the examples whole.
//!
//! Nothing that is there is ever overwritten.
mod templates;

pub(crate) use templates::SHOP;

use super::{Answer, Context, Done};
use crate::output::{Document, Failure};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use templates::{MINIMAL, TRAVEL};

/// `evenkeel init DIR`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder; made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A complete example instead of a beginning
    #[arg(long, value_enum)]
    example: Option<Example>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Example {
    /// Orders, payments and stock of a web shop
    Shop,
    /// Expense claims of a university
    Travel,
}

#[derive(Serialize)]
struct Report<'r> {
    folder: String,
    files: Vec<&'r str>,
}

/// What a project folder must not have where one is to be written.
const PROJECT: [&str; 3] = ["evenkeel.toml", "contracts", "models"];

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let files = match args.example {
        None => MINIMAL,
        Some(Example::Shop) => SHOP,
        Some(Example::Travel) => TRAVEL,
    };
    let written = write(&args.folder, files)?;
    let folder = args.folder.display().to_string();
    let out = &context.out;
    if out.json {
        out.json(&Document::of(&Report { folder, files: written })?)?;
        return Ok(Answer::Yes);
    }
    out.line(format_args!("wrote {} files to {folder}; next:", written.len()))?;
    let quoted =
        if folder.contains([' ', '\'', '"', '$']) { format!("'{}'", folder.replace('\'', "'\\''")) } else { folder };
    out.line(format_args!("  evenkeel --dir {quoted} check"))?;
    out.line(format_args!("  evenkeel --dir {quoted} publish {quoted}/sample.ndjson"))?;
    out.line(format_args!("  evenkeel --dir {quoted} drift"))?;
    Ok(Answer::Yes)
}

/// Writes a project into a folder that has none, and the files' names.
///
/// # Errors
/// Where something of it is there already: then nothing was written. Where the folder cannot be written.
pub(crate) fn write<'f>(folder: &Path, files: &[(&'f str, &str)]) -> Result<Vec<&'f str>, Failure> {
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::usage(format!("{} is a file, not a folder", folder.display())));
    }
    let names = PROJECT.into_iter().chain(files.iter().map(|(name, _)| *name));
    let there: Vec<_> =
        names.filter(|name| *name != GITIGNORE && folder.join(name).symlink_metadata().is_ok()).collect();
    if let Some(first) = there.first() {
        let failure = Failure::usage(format!("{} has {first} already; nothing was written", folder.display()));
        return Err(failure.help("choose another folder, or move away what is there"));
    }
    let mut written = Vec::with_capacity(files.len());
    for (name, text) in files {
        let path = folder.join(name);
        let failed = |error: io::Error| Failure::usage(format!("{} cannot be written: {error}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match File::create_new(&path) {
            Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed)?,
            // The folder may have one for other things.
            Err(error) if *name == GITIGNORE && error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(failed(error)),
        }
        written.push(*name);
    }
    Ok(written)
}

/// Keeps the store out of a repository. Not necessary, so never in the way.
const GITIGNORE: &str = ".gitignore";

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel::project;

    fn names_in(folder: &Path, below: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let entry = entry.unwrap();
            let name = below.join(entry.file_name());
            if entry.path().is_dir() {
                names_in(folder, &name, found);
            } else {
                found.push(name.to_str().unwrap().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn everything_written_checks_without_a_warning() {
        for files in [MINIMAL, SHOP, TRAVEL] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), files).unwrap();
            let (project, _) = project::load(folder.path()).unwrap();
            assert!(project.warnings.is_empty(), "{}", project.warnings);
            assert!(!project.models.is_empty());
        }
    }

    #[test]
    fn the_examples_are_whole() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        for (name, files) in [("shop", SHOP), ("travel", TRAVEL)] {
            let mut there = Vec::new();
            names_in(&examples.join(name), Path::new(""), &mut there);
            there.retain(|file| !file.starts_with("evenkeel-data/") && !file.contains("__pycache__"));
            there.push(GITIGNORE.into());
            there.sort();
            there.dedup();
            let mut ours: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
            ours.sort();
            assert_eq!(ours, there, "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_a_gitignore_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gitignore"), "mine").unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        assert!(!write(folder.path(), MINIMAL).unwrap().contains(&".gitignore"));
        assert_eq!(fs::read_to_string(folder.path().join(".gitignore")).unwrap(), "mine");
        fs::remove_file(folder.path().join("evenkeel.toml")).unwrap();
        let failure = write(folder.path(), SHOP).unwrap_err();
        assert!(failure.code == 2 && failure.what.contains("contracts"), "{failure:?}");
        assert!(!folder.path().join("evenkeel.toml").exists(), "nothing may be written where something is there");
    }
}
