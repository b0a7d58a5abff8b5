//! In which pages the system gives this process memory.

/// Memory for answers, in MiB, from which on a node fills huge pages, and looks things up faster in them.
const HUGE_PAGES_MIB: u32 = 512;

/// Has the system give small pages until it is known what runs. The allocator asks for huge ones, which it puts things of
/// every size into, so that a small node would hold four of them before it has read its configuration.
pub(super) fn begin() {
    allow_huge_pages(false);
}

/// A command that ends takes what there is.
pub(super) fn command() {
    allow_huge_pages(true);
}

/// A node takes huge pages if it fills them.
pub(super) fn node(memory_mib: u32) {
    allow_huge_pages(memory_mib >= HUGE_PAGES_MIB);
}

fn allow_huge_pages(allowed: bool) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(!allowed) {
        // It runs all the same.
        tracing::debug!(%error, "memory comes in pages as the allocator asks for them");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = allowed;
}
