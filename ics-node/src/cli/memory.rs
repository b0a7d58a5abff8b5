//! The page sizes in which the system gives this process memory.

use std::sync::OnceLock;

/// Whether whoever started the program has forbidden huge pages; then none are used, whatever runs.
static FORBIDDEN: OnceLock<bool> = OnceLock::new();

/// The memory for answers, in MiB, from which a node fills huge pages and looks things up faster in them.
const HUGE_PAGES_MIB: u32 = 512;

/// Makes the system give small pages until it is known which command runs. The allocator asks for huge ones and puts
/// things of every size into each, so a small node would hold four of them before it has read its configuration.
pub(super) fn begin() {
    FORBIDDEN.get_or_init(are_forbidden);
    allow_huge_pages(false);
}

/// Allows huge pages for a command that ends soon.
pub(super) fn command() {
    allow_huge_pages(true);
}

/// Allows a node huge pages if it fills them.
pub(super) fn node(memory_mib: u32) {
    allow_huge_pages(memory_mib >= HUGE_PAGES_MIB);
}

#[cfg(target_os = "linux")]
fn are_forbidden() -> bool {
    rustix::thread::transparent_huge_pages_are_disabled().unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
const fn are_forbidden() -> bool {
    false
}

fn allow_huge_pages(wanted: bool) {
    let allowed = wanted && !FORBIDDEN.get().is_some_and(|forbidden| *forbidden);
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(!allowed) {
        // Not fatal: the process is only slower, or takes more memory.
        tracing::debug!(%error, "memory comes in pages as the allocator asks for them");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = allowed;
}
