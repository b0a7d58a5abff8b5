//! Compiles `shim.c` once for all tests, and says how a program is started with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The file in the watched directory through which the shim gets its commands.
pub(crate) const CONTROL: &str = "shim-control";

/// The path of the shared object, which stays until the tests end.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let build = || {
        let directory = tempfile::tempdir().expect("a directory");
        let library = directory.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/shim.c");
        let arguments = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
        let compiled = Command::new("cc").args(arguments).args([&library, &source]).output();
        let compiled = compiled.expect("a C compiler must be installed");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        (directory, library)
    };
    &LIBRARY.get_or_init(build).1
}

/// The environment in which calls below `directory` are recorded, and fail as requested.
pub(crate) fn environment(directory: &Path, trace: Option<&Path>, fail: Option<String>) -> Vec<(&'static str, String)> {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut environment = vec![("LD_PRELOAD", text(library())), ("ICS_SHIM_DIR", text(directory))];
    environment.extend(trace.map(|trace| ("ICS_SHIM_TRACE", text(trace))));
    environment.extend(fail.map(|fail| ("ICS_SHIM_FAIL", fail)));
    environment
}
