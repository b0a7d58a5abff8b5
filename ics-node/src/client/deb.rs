//! What a Debian package states in its control file, read by dpkg-deb.

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

/// Why nothing could be read from a package.
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
        /// The message of dpkg-deb.
        reason: String,
    },
}

impl Control {
    /// Whether a file has the extension of Debian packages.
    #[must_use]
    pub fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "deb")
    }

    /// Reads the control file of a package.
    ///
    /// # Errors
    /// When dpkg-deb is missing or does not accept the file.
    pub fn read(path: &Path) -> Result<Self, DebError> {
        let refused = |reason: String| DebError::File { path: path.to_owned(), reason };
        // One field on each line; the file follows `--`, so that no file name is taken for an option.
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

    /// The name with its architecture as dpkg writes it: `hello:amd64`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.package, self.architecture)
    }
}
