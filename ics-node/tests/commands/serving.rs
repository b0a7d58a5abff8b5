//! The node as a process.

use crate::stage::Stage;

/// In huge pages a small node takes three times the memory that it fills; a large one finds things faster in them.
#[test]
#[cfg(target_os = "linux")]
fn a_small_node_takes_memory_in_small_pages_and_a_large_one_in_huge_ones() {
    for (memory_mib, huge) in [(256, false), (512, true)] {
        let stage = node_of(memory_mib);
        assert_eq!(may_have_huge_pages(stage.process()), huge, "{memory_mib}");
        // Two may be there before the program can say anything.
        let held = huge_kib(stage.process());
        assert!(huge || held <= 4_096, "{memory_mib}: {held} KiB in huge pages");
    }
    // A process hands down that it has none.
    rustix::thread::disable_transparent_huge_pages(true).expect("forbidden");
    let stage = node_of(512);
    rustix::thread::disable_transparent_huge_pages(false).expect("allowed");
    assert!(!may_have_huge_pages(stage.process()), "what was forbidden to it a node does not allow itself");
}

/// A node that has so much memory for answers, running.
#[cfg(target_os = "linux")]
fn node_of(memory_mib: u32) -> Stage {
    let mut stage = Stage::new();
    let path = stage.path("home/ics.toml");
    let config = std::fs::read_to_string(&path).expect("read");
    let sized = config.replace("[node]", &format!("[node]\nmemory_mib = {memory_mib}"));
    assert_ne!(sized, config);
    std::fs::write(path, sized).expect("written");
    stage.start();
    stage
}

#[cfg(target_os = "linux")]
fn may_have_huge_pages(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    assert!(status.contains("THP_enabled:"), "{status}");
    status.contains("THP_enabled:\t1")
}

/// What a process holds in huge pages, in KiB.
#[cfg(target_os = "linux")]
fn huge_kib(process: u32) -> u32 {
    let smaps = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("its memory");
    let line = smaps.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
