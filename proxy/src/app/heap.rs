/// Reading a configuration takes some times the memory that it leaves in use; the heap keeps it unless told.
#[expect(unsafe_code, reason = "the C library's own call has no safe wrapper")]
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers are passed, and the heap's own lock guards it against other threads.
    unsafe {
        libc::malloc_trim(0);
    }
}
