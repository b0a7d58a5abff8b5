//! Programs by other projects.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory of files in which programs are run.
pub(crate) struct Bench {
    directory: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().expect("a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a program in the directory.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.current_dir(self.path()).args(arguments);
        command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs a program that must succeed; returns what it prints.
    pub(crate) fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let text = said(&output);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    pub(crate) fn openssl(&self, arguments: &str) -> String {
        self.ok("openssl", &arguments.split(' ').collect::<Vec<_>>())
    }

    /// A certificate request in DER for a new key, with these further arguments. The key is in `name.key`.
    pub(crate) fn request(&self, name: &str, more: &[&str]) -> Vec<u8> {
        self.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
        self.request_again(name, more)
    }

    /// The same for the key in `name.key`.
    pub(crate) fn request_again(&self, name: &str, more: &[&str]) -> Vec<u8> {
        let (key, out) = (format!("{name}.key"), format!("{name}.csr"));
        let mut arguments = vec!["req", "-new", "-key", &key, "-outform", "DER", "-out", &out];
        if !more.contains(&"-subj") {
            arguments.extend(["-subj", "/"]);
        }
        arguments.extend(more);
        self.ok("openssl", &arguments);
        self.read(&out)
    }

    /// A request of the device with this seed for its own key, which is written to `own.key`.
    pub(crate) fn request_of(&self, seed: u8) -> Vec<u8> {
        // RFC 8410, 7: the seed after its fixed prefix.
        let before = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        self.file("own.der", &[&before[..], &[seed; 32]].concat());
        self.openssl("pkey -inform DER -in own.der -out own.key");
        self.request_again("own", &[])
    }
}

/// What a program printed.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
