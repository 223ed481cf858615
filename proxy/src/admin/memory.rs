//! Memory of this process, as far as the kernel and the C library tell.

use serde_json::{Map, Value};

/// What the heap holds.
struct Heap {
    allocated: u64,
    size: u64,
}

/// `envoy.admin.v3.Memory`, numbers as strings as protobuf's JSON has them. What only Envoy's allocator counts is left out, and
/// what this system does not tell.
pub(super) fn json() -> Value {
    let heap = heap();
    let known = [
        ("allocated", heap.as_ref().map(|heap| heap.allocated)),
        ("heap_size", heap.as_ref().map(|heap| heap.size)),
        ("total_physical_bytes", resident()),
    ];
    let known = known.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), Value::String(bytes?.to_string()))));
    Value::Object(Map::from_iter(known))
}

/// Bytes in memory, as the kernel counts them.
pub(super) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_kilobytes(&status).map(|kilobytes| kilobytes.saturating_mul(1024))
}

/// Source: proc_pid_status(5), `VmRSS`.
fn resident_kilobytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Source: mallinfo(3). Blocks of their own mappings are in use, or they would have been given back.
#[cfg(target_env = "gnu")]
fn heap() -> Option<Heap> {
    #[expect(unsafe_code, reason = "the C library's own call has no safe wrapper")]
    // SAFETY: no pointers are passed, and the heap's own locks guard it against other threads.
    let info = unsafe { libc::mallinfo2() };
    let sum = |one: usize, other: usize| u64::try_from(one.saturating_add(other)).ok();
    Some(Heap { allocated: sum(info.uordblks, info.hblkhd)?, size: sum(info.arena, info.hblkhd)? })
}

#[cfg(not(target_env = "gnu"))]
fn heap() -> Option<Heap> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str) -> u64 {
        json()[name].as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn resident_memory_is_read_from_the_kernels_text() {
        assert_eq!(resident_kilobytes("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n"), Some(1234));
        assert_eq!(resident_kilobytes("VmPeak:\t 9 kB\n"), None);
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_is_allocated_is_counted() {
        let before = number("allocated");
        // One block of a mapping of its own, and many of the heap. Other tests allocate and free at the same time, but less.
        let block = vec![1_u8; 128 << 20];
        let blocks: Vec<Vec<u8>> = (0..8192).map(|_| vec![1; 16 << 10]).collect();
        let with = number("allocated");
        assert!(with >= before + (192 << 20), "{before} {with}");
        assert!(number("heap_size") >= 256 << 20);
        assert!(number("total_physical_bytes") >= 256 << 20);
        drop((block, blocks));
        assert!(number("allocated") <= with - (192 << 20), "{with}");
    }
}
