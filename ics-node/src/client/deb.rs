//! What a Debian package says of itself in its control file, read by dpkg-deb.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Name, version and architecture of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The field `Package`.
    pub package: String,
    /// The field `Version`.
    pub version: String,
    /// The field `Architecture`.
    pub architecture: String,
}

/// Why a package says nothing.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// dpkg-deb cannot be started.
    #[error("cannot run `dpkg-deb`, which reads Debian packages: {0}")]
    Program(std::io::Error),
    /// It refuses the file.
    #[error("`{path}` is not a Debian package: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What dpkg-deb says.
        reason: String,
    },
}

impl Control {
    /// Whether a file is named as Debian packages are.
    #[must_use]
    pub fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "deb")
    }

    /// Reads the control file of a package.
    ///
    /// # Errors
    /// When dpkg-deb is not there, or does not take the file.
    pub fn read(path: &Path) -> Result<Self, DebError> {
        let refused = |reason: String| DebError::File { path: path.to_owned(), reason };
        // One field a line; the file stands behind `--`, so that no name is an option.
        let format = "--showformat=${Package}\\n${Version}\\n${Architecture}\\n";
        let output = Command::new("dpkg-deb").args(["--show", format, "--"]).arg(path).output();
        let output = output.map_err(DebError::Program)?;
        let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut fields = text.lines().map(str::to_owned).filter(|field| !field.is_empty());
        match (output.status.success(), fields.next(), fields.next(), fields.next()) {
            (true, Some(package), Some(version), Some(architecture)) => Ok(Self { package, version, architecture }),
            (true, ..) => Err(refused("its control file lacks name, version or architecture".to_owned())),
            (false, ..) => Err(refused(said.lines().next().unwrap_or_default().to_owned())),
        }
    }

    /// The name as dpkg writes it where architectures are told apart: `hello:amd64`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.package, self.architecture)
    }
}
