use std::fs;

/// Reading a configuration takes some times the memory that it leaves in use; the heap keeps it unless told.
#[expect(unsafe_code, reason = "the C library's own call has no safe wrapper")]
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers are passed, and the heap's own lock guards it against other threads.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The start touches most of the program once: flags, files, whole configurations. What serves needs a part of it, and takes that from the
/// page cache again when it runs the next time.
pub(super) fn give_back_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    maps.lines().filter_map(code).for_each(|(from, length)| forget(from, length));
}

/// Where a mapping of the program's code is, and how long. Pages of code are as they are in the file: what may be written, or was
/// before (relocations), has other permissions.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    let (from, to) = range.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    (permissions == "r-xp" && is_of_file).then_some((from, to.checked_sub(from)?))
}

#[expect(unsafe_code, reason = "advice about memory by its address has no safe wrapper")]
fn forget(from: usize, length: usize) {
    let address = std::ptr::without_provenance_mut(from);
    // SAFETY: the range is a private mapping of a file that was never writable, so its pages are those of the file, and come from there
    // again. What the kernel refuses changes nothing.
    let _refused = unsafe { libc::madvise(address, length, libc::MADV_DONTNEED) } != 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let line = "55d0c0a00000-55d0c1500000 r-xp 002d9000 fe:00 131 /usr/bin/ninon-proxy";
        assert_eq!(code(line), Some((0x55d0_c0a0_0000, 0xb0_0000)));
        for other in ["r--p", "rw-p", "rwxp", "r-xs"] {
            assert_eq!(code(&line.replace("r-xp", other)), None, "{other}");
        }
        assert_eq!(code("7ffd4a5f0000-7ffd4a5f2000 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(code("7f0000000000-7f0000001000 r-xp 00000000 00:00 0"), None);
        assert_eq!(code("nonsense"), None);
    }
}
