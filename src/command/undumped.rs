//! Keys pass through this process's memory, and that stays here.

use std::io;

/// Has the kernel write no image of this process to a file, whatever ends it, and let no other process of the same user read
/// its memory (`PR_SET_DUMPABLE`, prctl(2)). What remains under `/proc` of it belongs to root.
///
/// # Errors
/// The kernel does not.
pub fn keep_memory_private() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}
