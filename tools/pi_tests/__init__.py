"""What `make test-pi` runs: the device's tests and decisions where only a device's packages are.

Some environments are of this machine, the others lie in root file systems as on a Raspberry Pi (`pi_rootfs`).
Each is made by pip from the package index, as a device makes it; measured; tested with tests/device; and
asked for its decisions on the SKAB recordings, which are held against the workstation's. Then come the tests
of tests/pi.

`python tools/pi_tests --help`. `decide.py` runs inside and has nothing but what a device has.
"""
