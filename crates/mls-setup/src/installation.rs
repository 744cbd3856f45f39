//! Finds the tools: in an installed package, or in a source tree from which setup installs them
//! below `/usr/local`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::OnFile;

use crate::file::{FileContent, NewFile, Readers};

/// From where this program runs.
pub(crate) enum Installation {
    Package { programs: PathBuf },
    SourceTree { tree: PathBuf, programs: PathBuf },
}

const INSTALLED_PROGRAMS: &str = "/usr/local/bin";

impl Installation {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let programs = program.parent().unwrap_or(Path::new("/")).to_owned();
        let tree = programs.join("../..");
        let is_source = tree.join("systemd/maillogsentinel.service").exists();
        if !is_source {
            return Ok(Self::Package { programs });
        }
        let tree = tree.canonicalize().context("finding the source tree")?;
        Ok(Self::SourceTree { tree, programs })
    }

    /// The path of a tool that can run now, before the setup is done.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let (Self::Package { programs } | Self::SourceTree { programs, .. }) = self;
        programs.join(name)
    }

    /// The path of a tool after the setup.
    pub(crate) fn installed_program(&self, name: &str) -> PathBuf {
        match self {
            Self::Package { programs } => programs.join(name),
            Self::SourceTree { .. } => Path::new(INSTALLED_PROGRAMS).join(name),
        }
    }

    /// The example configuration, which has comments and every default.
    pub(crate) fn example_configuration(&self) -> PathBuf {
        match self {
            Self::Package { .. } => "/etc/maillogsentinel.conf.example".into(),
            Self::SourceTree { tree, .. } => tree.join("crates/mls-config/maillogsentinel.conf"),
        }
    }

    /// The files to install from a source tree.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<NewFile>> {
        let Self::SourceTree { tree, programs } = self else { return Ok(vec![]) };
        let mut files = Vec::new();
        for entry in fs::read_dir(programs).context("looking for the tools")? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_program = fs::metadata(&path)?.permissions().mode() & 0o111 != 0;
            if name.starts_with("mls-") && !name.contains('.') && path.is_file() && is_program {
                files.push(copy(path, Path::new(INSTALLED_PROGRAMS).join(name), Readers::Runnable));
            }
        }
        let front_end = tree.join("scripts/maillogsentinel");
        let target = Path::new(INSTALLED_PROGRAMS).join("maillogsentinel");
        files.push(copy(front_end, target, Readers::Runnable));
        // Also without systemd, the front end reads the pipelines in the units.
        copy_tree(&tree.join("systemd"), Path::new("/usr/local/lib/systemd/system"), &mut files)?;
        files.retain(|file| {
            !file.path.ends_with("sysusers.conf") && !file.path.ends_with("tmpfiles.conf")
        });
        let rules = tree.join("crates/mls-block/block.nft");
        let target = "/usr/share/maillogsentinel/block.nft".into();
        files.push(copy(rules, target, Readers::Everybody));
        for directory in ["man", "bash-completion", "zsh"] {
            let made = tree.join("target/share").join(directory);
            if made.is_dir() {
                copy_tree(&made, &Path::new("/usr/local/share").join(directory), &mut files)?;
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }
}

/// The files that an earlier setup installed from a source tree, below `root`.
pub(crate) fn installed_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in ["bin", "lib/systemd/system", "share"] {
        collect(&root.join("usr/local").join(directory), &mut found);
    }
    // The package and a source tree install `block.nft` at the same path. If only the source tree
    // has installed the unit of this file, the file is from the source tree.
    let unit = "lib/systemd/system/maillogsentinel-block-nft.service";
    let is_packaged = root.join("usr").join(unit).exists();
    let rules = root.join("usr/share/maillogsentinel/block.nft");
    if rules.exists() && root.join("usr/local").join(unit).exists() && !is_packaged {
        found.push(rules);
    }
    found.sort();
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_directory = path.is_dir() && !path.is_symlink();
        if is_directory {
            collect(&path, found);
        } else if is_ours(&path) {
            found.push(path);
        }
    }
}

/// The programs that setup installs from a source tree.
const PROGRAMS: &str = "maillogsentinel mls-abuse mls-alert mls-anonymize mls-block mls-csv \
    mls-enrich mls-ipdb mls-mail mls-parse mls-report mls-setup mls-sql mls-status mls-tail";

fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS.split(' ')
}

/// Manual pages that do not have the name of a program.
const OTHER_PAGES: [&str; 2] = ["maillogsentinel.conf", "mls-event"];

/// Whether a file below `/usr/local` is one that setup installs: a program, its completion, a manual
/// page, or a unit with its drop-ins. The administrator's own files may have similar names.
fn is_ours(path: &Path) -> bool {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let (name, directory) = (text(path.file_name()), text(path.parent().and_then(Path::file_name)));
    if path.iter().any(|part| part == "systemd") {
        let is_unit = |name: &str| {
            ["maillogsentinel", "ipinfo-update."].iter().any(|start| name.starts_with(start))
        };
        return is_unit(&name) || is_unit(&directory);
    }
    if !directory.starts_with("man") {
        return programs().any(|program| program == name.trim_start_matches('_'));
    }
    let page = name.strip_suffix(".gz").unwrap_or(&name);
    let page = page.rsplit_once('.').map_or(page, |(page, _)| page);
    let is_subcommand = |program: &str| {
        page.strip_prefix(program).is_some_and(|rest| rest.starts_with('-'))
            && program.starts_with("mls-")
    };
    let mut pages = programs().chain(OTHER_PAGES);
    pages.any(|name| name == page) || programs().any(is_subcommand)
}

fn copy(from: PathBuf, path: PathBuf, readers: Readers) -> NewFile {
    NewFile { path, content: FileContent::CopyOf(from), readers }
}

fn copy_tree(from: &Path, to: &Path, files: &mut Vec<NewFile>) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).on_file("reading", from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&path, &target, files)?;
        } else if kind.is_symlink() {
            let content = FileContent::LinkTo(fs::read_link(&path)?);
            files.push(NewFile { path: target, content, readers: Readers::Everybody });
        } else {
            files.push(copy(path, target, Readers::Everybody));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_files_are_ours() {
        for path in [
            "bin/mls-tail",
            "bin/maillogsentinel",
            "share/man/man1/mls-ipdb-update.1",
            "share/man/man5/mls-event.5.gz",
            "share/man/man7/maillogsentinel.7",
            "share/zsh/vendor-completions/_mls-csv",
            "lib/systemd/system/maillogsentinel-.service.d/sandbox.conf",
        ] {
            assert!(is_ours(&Path::new("/usr/local").join(path)), "{path}");
        }
        for path in [
            "bin/mls-nightly-backup",
            "bin/mls-tail-old",
            "share/mls-notes/letter.txt",
            "share/maillogsentinel/mls-tail.txt",
            "share/man/man1/mls-notes.1",
        ] {
            assert!(!is_ours(&Path::new("/usr/local").join(path)), "{path}");
        }
    }

    #[test]
    fn every_program_of_the_source_tree_is_listed() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut programs: Vec<String> = fs::read_dir(crates)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("src/main.rs").exists())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("mls-"))
            .collect();
        programs.push("maillogsentinel".into());
        programs.sort();
        assert_eq!(programs.join(" "), PROGRAMS);
    }
}
