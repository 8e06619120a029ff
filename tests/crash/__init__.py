"""Power cuts: an installer killed at every system call that changes the disk, and writes that never arrived."""
