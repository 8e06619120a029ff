"""Power cuts: an installer killed at every call that changes the disk, and writes that never arrived."""
