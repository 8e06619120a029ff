"""File systems: kinds, options, room, and a real write."""

import errno
import subprocess
from pathlib import Path

import pytest

from edge_ad.runtime.doctor.disks import Space, disks, judge_space, space_of
from edge_ad.runtime.doctor.mounts import mount_of
from edge_ad.runtime.doctor.writing import judge_write, write_time_s, writing
from tests.runtime.doctor.trees import Tree, by_check, pi

CARD = "/dev/mmcblk0p2 / ext4 {} 0 0"


@pytest.mark.parametrize(
    ("line", "level", "words", "fix"),
    [
        (CARD.format("rw,noatime"), "ok", "/dev/mmcblk0p2 (ext4", None),
        (CARD.format("ro,noatime,errors=remount-ro"), "fail", "read-only", "sudo dmesg"),
        (CARD.format("rw,data=writeback"), "warn", "data=writeback", "sudoedit /etc/fstab"),
        (CARD.format("rw,nobarrier"), "warn", "nobarrier", "sudo mount -o remount,barrier=1 /"),
        (CARD.format("rw,barrier=0"), "warn", "barrier=0", "sudo mount -o remount,barrier=1 /"),
        ("tmpfs / tmpfs rw,size=100k 0 0", "warn", "memory", "sudo mkdir -p"),
        ("overlay / overlay rw,lowerdir=/lower,upperdir=/upper/data 0 0", "warn", "/upper/data", "findmnt"),
        ("/dev/sda1 / vfat rw 0 0", "warn", "no journal", "df"),
        ("nas:/pi / nfs4 rw 0 0", "warn", "another machine", "df"),
    ],
)
def test_mounts(tmp_path, line, level, words, fix):
    tree = pi(tmp_path)
    tree.write("/proc/self/mounts", f"{line}\nproc /proc proc rw 0 0\n")
    finding = by_check(disks(tree.machine(), {"store": tmp_path}))["mount"]
    assert finding.level == level
    assert words in finding.text
    if fix is None:
        assert finding.fix == ()
    else:
        assert finding.fix[0].startswith(fix)


def test_an_overlay_that_raspi_config_made(tmp_path):
    tree = pi(tmp_path)
    tree.write("/proc/self/mounts", "overlay / overlay rw,upperdir=/upper/data 0 0\n")
    tree.write("/usr/bin/raspi-config")
    finding = by_check(disks(tree.machine(), {"store": tmp_path}))["mount"]
    assert finding.fix[0].startswith("sudo raspi-config nonint do_overlayfs 1")


def test_the_innermost_mount_counts_and_of_two_on_one_point_the_last(tmp_path):
    folder = tmp_path / "with blank" / "spool"
    folder.mkdir(parents=True)
    point = str(tmp_path / "with blank").replace(" ", "\\040")
    tree = Tree(tmp_path / "tree")
    tree.write(
        "/proc/self/mounts",
        f"/dev/a / ext4 rw 0 0\n/dev/b {point} ext4 rw 0 0\n/dev/c {point} xfs rw 0 0\n"
        f"/dev/d {point}/spoo ext4 rw 0 0\n/dev/e / ext4 rw 0 0\nshort line\n",
    )
    mount = mount_of(tree.machine(), folder)
    assert (mount.device, mount.kind, mount.point) == ("/dev/c", "xfs", str(tmp_path / "with blank"))
    assert mount_of(tree.machine(), tmp_path).device == "/dev/e"


def test_folders_on_one_file_system_are_looked_at_once(tmp_path):
    found = list(disks(pi(tmp_path).machine(), {"store": tmp_path, "spool": tmp_path / "not" / "there"}))
    assert [finding.check for finding in found] == ["mount", "disk-space"]


def test_mounts_that_are_not_known(tmp_path):
    tree = pi(tmp_path)
    tree.remove("/proc/self/mounts")
    found = by_check(disks(tree.machine(), {"store": tmp_path}))
    assert found["mount"].level == "skip"
    assert found["disk-space"].level in ("ok", "warn")


MB = 1_000_000


@pytest.mark.parametrize(
    ("free", "total", "free_inodes", "total_inodes", "level"),
    [
        (20_000 * MB, 32_000 * MB, 10**6, 10**6, "ok"),
        (49 * MB, 32_000 * MB, 10**6, 10**6, "fail"),
        (50 * MB, 32_000 * MB, 10**6, 10**6, "warn"),
        (499 * MB, 4_000 * MB, 10**6, 10**6, "warn"),
        (500 * MB, 4_000 * MB, 10**6, 10**6, "ok"),
        (1_500 * MB, 32_000 * MB, 10**6, 10**6, "warn"),
        (20_000 * MB, 32_000 * MB, 999, 10**6, "warn"),
        (20_000 * MB, 32_000 * MB, 0, 10**6, "fail"),
        (20_000 * MB, 32_000 * MB, 0, 0, "ok"),  # btrfs has no fixed number
        (0, 0, 0, 0, "fail"),
    ],
)
def test_room(free, total, free_inodes, total_inodes, level):
    finding = judge_space(Path("/var/lib"), Space(free, total, free_inodes, total_inodes))
    assert finding.level == level
    assert bool(finding.fix) == (level != "ok")


def test_room_as_df_has_it(tmp_path):
    answer = subprocess.run(
        ["df", "--output=size,itotal", "-B1", tmp_path], capture_output=True, text=True, check=True
    )
    size, inodes = map(int, answer.stdout.splitlines()[1].split())
    space = space_of(tmp_path)
    assert (space.total_bytes, space.total_inodes) == (size, inodes)
    assert space_of(tmp_path / "none") is None


def test_a_write_leaves_nothing(tmp_path):
    machine = pi(tmp_path / "pi").machine()
    folder = tmp_path / "store"
    folder.mkdir()
    (finding,) = writing(machine, {"store": folder})
    assert finding.level == "ok"
    assert "safe on the disk after" in finding.text
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("outcome", "level", "words"),
    [
        (0.004, "ok", "4.0 ms"),
        (1.5, "warn", "1500.0 ms: the card is slow"),
        (None, "fail", "not on the disk after 5 s"),
        (OSError(errno.ENOSPC, "No space left on device"), "fail", "full"),
        (OSError(errno.EIO, "Input/output error"), "fail", "Input/output error"),
        (OSError(errno.EROFS, "Read-only file system"), "fail", "Read-only file system"),
        (OSError(errno.EACCES, "Permission denied"), "fail", "pi may not write there"),
    ],
)
def test_outcomes_of_a_write(tmp_path, outcome, level, words):
    finding = judge_write(pi(tmp_path).machine(), "spool", Path("/var/lib/edge-ad/agent"), outcome)
    assert finding.level == level
    assert words in finding.text
    assert bool(finding.fix) == (level != "ok")


def test_whoever_only_reads_the_store_may_do_without_writing(tmp_path):
    refused = OSError(errno.EACCES, "Permission denied")
    assert judge_write(pi(tmp_path).machine(), "store", tmp_path, refused).level == "skip"


def test_folders_that_are_not_there_yet(tmp_path):
    (finding,) = writing(pi(tmp_path).machine(), {"spool": tmp_path / "a" / "b"})
    assert finding.level == "skip"
    assert not (tmp_path / "a").exists()


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system in memory; skips where that is not allowed."""
    points = []

    def mount(options):
        point = tmp_path / f"mount-{len(points)}"
        point.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", point],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            pytest.skip(f"needs the right to mount: {made.stderr.strip()}")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", point], check=True)


def test_a_real_read_only_disk(mounted):
    point = mounted("ro,size=1m")
    outcome = write_time_s(point)
    assert isinstance(outcome, OSError)
    assert outcome.errno == errno.EROFS
    from edge_ad.runtime.doctor.machine import Machine

    finding = by_check(disks(Machine(), {"store": point}))["mount"]
    assert finding.level == "fail"
    assert "read-only" in finding.text


def test_a_real_full_disk(mounted, tmp_path):
    point = mounted("size=1m")
    (point / "filler").write_bytes(b"x" * (1 << 20))
    (finding,) = writing(pi(tmp_path / "pi").machine(), {"spool": point})
    assert finding.level == "fail"
    assert "full" in finding.text
    assert [path.name for path in point.iterdir()] == ["filler"]


def test_a_real_disk_without_room_for_another_file(mounted):
    space = space_of(mounted("size=1m,nr_inodes=3"))
    assert space.free_inodes < 3
    assert judge_space(Path("/x"), Space(10**12, 10**12, space.free_inodes, space.total_inodes)).level != "ok"
