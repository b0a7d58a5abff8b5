//! Third-party programs that check what nodes serve. A missing program is a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn run(program: &str, arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("LC_ALL", "C.UTF-8").env("GNUPGHOME", directory);
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("`{program}` must be installed: {e}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The library that shows a program another time; in Debian its directory is named after the architecture.
pub(crate) fn faketime() -> String {
    let directories = fs::read_dir("/usr/lib").expect("a directory").flatten();
    let found = directories.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("faketime must be installed").to_str().expect("text").to_owned()
}

/// Status and body of a GET by curl; the status is 0 if nobody answers.
pub(crate) fn fetch(url: &str, headers: &[&str]) -> (u16, Vec<u8>) {
    call(url, &headers.iter().flat_map(|header| ["-H", header]).collect::<Vec<_>>())
}

/// Status and body of a POST of a file by curl.
pub(crate) fn post(url: &str, media_type: &str, file: &str) -> (u16, Vec<u8>) {
    let (header, data) = (format!("content-type: {media_type}"), format!("@{file}"));
    call(url, &["-H", &header, "--data-binary", &data])
}

fn call(url: &str, more: &[&str]) -> (u16, Vec<u8>) {
    let fixed = ["--silent", "--max-time", "30", "--write-out", "%{http_code}"];
    let output = run("curl", &[&fixed, more, &[url]].concat(), Path::new("."));
    let (body, status) = output.stdout.split_at(output.stdout.len().saturating_sub(3));
    (String::from_utf8_lossy(status).parse().unwrap_or(0), body.to_vec())
}

/// A directory with a keyring of its own, for openssl, gpg and sq; gpg's agents end with it.
pub(crate) struct Bench(TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let private = fs::Permissions::from_mode(0o700);
        Self(tempfile::Builder::new().permissions(private).tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs a program that must succeed; returns its output.
    #[track_caller]
    pub(crate) fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = run(program, arguments, self.path());
        let said = text(&output);
        assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
        said
    }

    /// Runs a program that must fail; returns its output.
    #[track_caller]
    pub(crate) fn fails(&self, program: &str, arguments: &[&str]) -> String {
        let output = run(program, arguments, self.path());
        assert!(!output.status.success(), "{program} {}: {}", arguments.join(" "), text(&output));
        text(&output)
    }

    pub(crate) fn gpg(&self, arguments: &[&str]) -> String {
        self.ok("gpg", &[&["--batch", "--no-tty", "--yes"], arguments].concat())
    }

    /// A P-256 key as made by a secure element: only its public half in PEM leaves it.
    pub(crate) fn bare_key(&self, name: &str) -> String {
        let (secret, public) = (format!("{name}.key"), format!("{name}.pem"));
        self.ok("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &secret]);
        self.ok("openssl", &["ec", "-in", &secret, "-pubout", "-out", &public]);
        self.path().join(public).to_str().expect("text").to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = run("gpgconf", &["--kill", "all"], self.path());
    }
}
