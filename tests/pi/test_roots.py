"""The root file systems and machines that the other tests here stand on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pi_rootfs
import pytest
from pi_rootfs import cache
from pi_rootfs.ssh import inside

NATIVE = "amd64-bookworm"
EMULATED = [name for name, recipe in pi_rootfs.ROOTS.items() if recipe.architecture != "amd64"]


@pytest.fixture(scope="module", params=list(pi_rootfs.ROOTS))
def machine(request, tmp_path_factory):
    """One of every root, kept for the module: tests leave nothing that the next one minds."""
    with pi_rootfs.Machine.open(request.param, tmp_path_factory.mktemp(request.param)) as machine:
        yield machine


@pytest.fixture
def native(tmp_path):
    with pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:
        yield machine


@pytest.fixture(scope="module", params=[NATIVE, "arm64-bookworm", "armhf-bookworm"])
def booted(request, tmp_path_factory):
    with pi_rootfs.BootedMachine.open(request.param, tmp_path_factory.mktemp("booted")) as machine:
        yield machine


def gone(pid):
    """Has this process ended? A zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_until(condition):
    """However slow the computer is; a minute of nothing is a failure."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestRoots:
    def test_each_is_what_its_recipe_says(self, machine):
        recipe = machine.recipe
        code = "import platform; print(platform.machine(), '.'.join(platform.python_version_tuple()[:2]))"
        assert machine.run(["uname", "-m"]).stdout.strip() == recipe.machine
        assert machine.run(["python3", "-c", code]).stdout.split() == [recipe.machine, recipe.python]
        assert machine.run(["dpkg", "--print-architecture"]).stdout.strip() == recipe.architecture
        assert f"VERSION_CODENAME={recipe.suite}" in (machine.path / "etc/os-release").read_text()

    def test_every_package_is_configured_and_none_of_another_processor(self, machine):
        listed = machine.run(["dpkg-query", "-W", "-f=${Architecture} ${db:Status-Status}\n"]).stdout
        assert set(listed.splitlines()) == {f"{machine.recipe.architecture} installed", "all installed"}
        assert machine.run(["dpkg", "--audit"]).stdout == ""
        assert not (machine.path / "run/native").exists()
        if machine.recipe.architecture != "amd64":
            assert not (machine.path / "usr/lib/x86_64-linux-gnu").exists()

    def test_files_are_those_of_the_packages(self, machine):
        """This machine's programs stood in for some while it was being built; none of them stays."""
        broken = [
            line
            for line in machine.run(["dpkg", "--verify"], check=False).stdout.splitlines()
            if not line.startswith("missing") and " c " not in line
        ]
        assert broken == []

    def test_32_bit_has_numpy_from_its_system(self, machine):
        done = machine.run(["python3", "-c", "import numpy; print(numpy.__version__)"], check=False)
        assert (done.returncode == 0) == (machine.recipe.architecture == "armhf")

    def test_virtual_environments_can_be_made(self, machine):
        machine.run(["python3", "-m", "venv", "--without-pip", "/tmp/venv"])
        prefix = machine.run(["/tmp/venv/bin/python", "-c", "import sys; print(sys.prefix)"]).stdout
        assert prefix.strip() == "/tmp/venv"
        machine.run(["python3", "-m", "ensurepip", "--version"])

    def test_pi_may_do_everything_without_a_password(self, machine):
        assert machine.run(["id", "-un"], user="pi").stdout.strip() == "pi"
        assert machine.run(["sudo", "-n", "id", "-u"], user="pi").stdout.strip() == "0"
        assert machine.run(["cat", "/etc/shadow"], user="pi", check=False).returncode != 0

    def test_login_over_ssh(self, machine):
        with machine.sshd() as server:
            assert server.ssh("uname -m").stdout.strip() == machine.recipe.machine
            assert server.ssh("id -un; sudo -n id -un").stdout.split() == ["pi", "root"]
            assert server.ssh("id -un", user="root").stdout.strip() == "root"


class TestRun:
    def test_input_output_and_exit_code(self, native):
        done = native.run(["sh", "-c", "cat; echo problem >&2; exit 3"], input="text", check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("text", "problem\n", 3)

    def test_a_failure_says_what_was_printed(self, native):
        with pytest.raises(pi_rootfs.RootError, match=r"sh -c .* ended with 4\nno space"):
            native.run(["sh", "-c", "echo no space; exit 4"])

    def test_folder_and_variables(self, native):
        done = native.run(
            ["sh", "-c", 'pwd; echo "$COLOUR $HOME"'], cwd="/tmp", env={"COLOUR": "red"}, user="pi"
        )
        assert done.stdout.split() == ["/tmp", "red", "/home/pi"]

    def test_variables_of_this_side_stay_outside(self, native, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "/nowhere")
        assert "PYTHONPATH" not in native.run(["env"]).stdout

    def test_a_timeout_ends_all_that_was_started(self, native):
        before = set(inside(native.pid))
        with pytest.raises(subprocess.TimeoutExpired):
            native.run(["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.5)
        wait_until(lambda: set(inside(native.pid)) == before)

    def test_signals_reach_the_program(self, native):
        program = "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        with native.popen(["sh", "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.stdout.read() == "told\n"
        assert process.returncode == 7

    def test_unknown_user(self, native):
        with pytest.raises(pi_rootfs.RootError, match="no user 'nobody'"):
            native.run(["id"], user="nobody")


class TestIsolation:
    def test_what_one_machine_writes_no_other_sees(self, native, tmp_path):
        native.run(["sh", "-c", "echo mine > /etc/hostname; rm /etc/debian_version; mkdir /opt/mine"])
        with pi_rootfs.Machine.open(NATIVE, tmp_path / "other") as other:
            assert other.run(["cat", "/etc/hostname"]).stdout == "raspberrypi\n"
            assert (other.path / "etc/debian_version").exists()
            assert not (other.path / "opt/mine").exists()
        cached = pi_rootfs.ensure(NATIVE)
        assert (cached / "etc/debian_version").exists()

    def test_processes_and_mounts_are_the_machines_own(self, native):
        numbers = {entry.name for entry in native.path.joinpath("proc").iterdir() if entry.name.isdigit()}
        assert str(os.getpid()) not in numbers or len(numbers) < 10
        points = [line.split()[1] for line in native.run(["cat", "/proc/mounts"]).stdout.splitlines()]
        assert points[0] == "/"
        assert not [point for point in points if point.startswith(str(cache.folder()))]

    def test_the_hosts_settings_cannot_be_changed(self, native):
        for file in ("/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/sys/kernel/mm/ksm/run"):
            done = native.run(["sh", "-c", f"echo x > {file}"], check=False)
            assert done.returncode != 0, file
            assert "Read-only file system" in done.stderr

    def test_host_name(self, native):
        assert native.run(["hostname"]).stdout.strip() == "raspberrypi"
        assert os.uname().nodename != "raspberrypi"

    def test_opened_again_it_is_the_same_machine_after_a_power_cut(self, tmp_path):
        with pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:
            machine.run(["sh", "-c", "echo kept > /home/pi/file; echo forgotten > /run/file"])
            identity = (machine.path / "etc/machine-id").read_text()
            boot = (machine.path / "proc/sys/kernel/random/boot_id").read_text()
        with pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:
            assert machine.run(["cat", "/home/pi/file"]).stdout == "kept\n"
            assert not (machine.path / "run/file").exists()
            assert (machine.path / "etc/machine-id").read_text() == identity
            assert (machine.path / "proc/sys/kernel/random/boot_id").read_text() != boot

    def test_a_small_disk_fills(self, tmp_path):
        with pi_rootfs.Machine.open(NATIVE, tmp_path, size_mb=24) as machine:
            free = machine.run(["df", "--output=avail", "-BM", "/"]).stdout.split()[1]
            assert 15 <= int(free.rstrip("M")) <= 24
            done = machine.run(["dd", "if=/dev/zero", "of=/home/pi/big", "bs=1M", "count=64"], check=False)
            assert "No space left on device" in done.stderr
            machine.run(["rm", "/home/pi/big"])
            machine.run(["dd", "if=/dev/zero", "of=/home/pi/small", "bs=1M", "count=8"])

    def test_where_no_overlay_goes_a_copy_is_taken(self, tmp_path):
        """An overlay cannot lie on another one. That one is of a namespace of its own, so nothing stays."""
        code = f"""
import sys
sys.path[:0] = {sys.path!r}
import pi_rootfs
from pathlib import Path
with pi_rootfs.Machine.open({NATIVE!r}, Path("/mnt/scratch")) as machine:
    print((Path("/mnt/scratch") / "copy").is_dir(), machine.run(["cat", "/etc/hostname"]).stdout)
"""
        layers = "".join(f"mkdir {tmp_path}/{name};" for name in ("lower", "upper", "work"))
        options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
        script = f'{layers} mount -t overlay overlay -o {options} /mnt && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True", "raspberrypi"]


class TestEnding:
    def test_daemons_end_with_the_machine(self, tmp_path):
        with pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:
            machine.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
            daemons = inside(machine.pid)
            assert len(daemons) == 2
        assert all(gone(pid) for pid in daemons)

    def test_an_exception_ends_it(self, tmp_path):
        with pytest.raises(ZeroDivisionError), pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:  # noqa: PT012
            pid = machine.pid
            1 / 0  # noqa: B018
        assert gone(pid)

    @pytest.mark.parametrize("kind", ["Machine", "BootedMachine"])
    @pytest.mark.parametrize("victim", ["opener", "watcher"])
    def test_it_ends_when_it_is_forgotten(self, tmp_path, kind, victim):
        """The program that opened it is killed, or the one that watches over it."""
        code = f"""
import sys, time
sys.path[:0] = {sys.path!r}
import pi_rootfs
from pathlib import Path
with pi_rootfs.{kind}.open({NATIVE!r}, Path({str(tmp_path)!r})) as machine:
    machine.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    print(machine.pid, flush=True)
    time.sleep(1000)
"""
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as opener:
            first = int(opener.stdout.readline())
            processes = inside(first)
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{first}/status").read_text().splitlines()
            )
            watcher = int(status["PPid"])
            assert len(processes) >= 2
            os.kill(opener.pid if victim == "opener" else watcher, signal.SIGKILL)
            wait_until(lambda: all(gone(pid) for pid in processes))
            opener.kill()
        wait_until(lambda: gone(watcher))
        with pi_rootfs.Machine.open(NATIVE, tmp_path) as machine:  # its disk is in order
            machine.run(["true"])


class TestSsh:
    def test_another_key_is_refused(self, native, tmp_path):
        other = tmp_path / "other_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        with native.sshd() as server:
            config = server.ssh_config_file.read_text().replace(str(server.identity_file), str(other))
            server.ssh_config_file.write_text(config)
            done = server.ssh("true", check=False)
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr

    def test_a_key_of_the_callers(self, native, tmp_path):
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        with native.sshd(key=key) as server:
            assert server.identity_file == key
            assert server.ssh("echo in").stdout == "in\n"

    def test_another_host_key_is_noticed(self, native):
        with native.sshd() as server:
            server.ssh("true")
            server.change_host_key()
            done = server.ssh("true", check=False)
            assert done.returncode == 255
            assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
            server.trust_host_key()
            server.ssh("true")

    def test_a_broken_connection_leaves_the_command_running(self, native):
        with native.sshd() as server:
            command = ["ssh", "-F", server.ssh_config_file, "board"]
            script = "echo started; while ! test -e /tmp/go; do sleep 0.05; done; touch /tmp/went-on"
            with subprocess.Popen([*command, script], stdout=subprocess.PIPE, text=True) as client:
                assert client.stdout.readline() == "started\n"
                assert server.kill_sessions() >= 1
                assert client.wait() == 255
            assert server.greets()
            native.run(["touch", "/tmp/go"])
            wait_until((native.path / "tmp/went-on").exists)

    def test_a_stopped_server_refuses_and_keeps_its_sessions(self, native):
        with native.sshd() as server:
            command = ["ssh", "-F", server.ssh_config_file, "board", "echo started; read line; echo $line"]
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            with subprocess.Popen(command, text=True, **streams) as client:
                assert client.stdout.readline() == "started\n"
                server.stop()
                assert not server.greets()
                assert client.communicate("still here\n")[0] == "still here\n"
            server.start()
            server.ssh("true")

    def test_it_listens_on_loopback_alone(self, native):
        with native.sshd() as server:
            rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
            rows += Path("/proc/net/tcp6").read_text().splitlines()[1:]
            listening = [row.split()[1] for row in rows if row.split()[3] == "0A"]
            assert [a for a in listening if a.endswith(f":{server.port:04X}")] == [
                f"0100007F:{server.port:04X}"
            ]


NOTIFYING = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh /usr/local/bin/notifying
WatchdogSec=5
Restart=always
RestartSec=0
[Install]
WantedBy=multi-user.target
"""
NOTIFYING_PROGRAM = """\
echo "started with a watchdog of $WATCHDOG_USEC"
systemd-notify --ready --status='at work'
while ! test -e /run/hang; do systemd-notify WATCHDOG=1; sleep 0.2; done
sleep 1000
"""


class TestBooted:
    def test_systemd_runs_without_failed_units(self, booted):
        assert booted.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
        assert booted.run(["systemctl", "is-system-running"]).stdout.strip() == "running"
        assert booted.run(["uname", "-m"]).stdout.strip() == booted.recipe.machine

    def test_over_ssh_as_pi(self, booted):
        done = booted.server.ssh("systemctl is-system-running; sudo -n systemctl is-active ssh")
        assert done.stdout.split() == ["running", "active"]

    def test_a_service_that_notifies_and_is_watched(self, booted):
        """Started on boot, ready when it says so, killed by the watchdog when it hangs, and started again."""
        (booted.path / "usr/local/bin/notifying").write_text(NOTIFYING_PROGRAM)
        (booted.path / "etc/systemd/system/notifying.service").write_text(NOTIFYING)
        (booted.path / "run/hang").unlink(missing_ok=True)
        server = booted.server
        server.ssh("sudo systemctl daemon-reload && sudo systemctl enable --now notifying")
        shown = server.ssh("systemctl show -p ActiveState,StatusText notifying").stdout.split("\n")
        assert {"ActiveState=active", "StatusText=at work"} <= set(shown)
        restarts = "systemctl show -p NRestarts --value notifying"
        before = server.ssh(restarts).stdout
        booted.run(["touch", "/run/hang"])
        wait_until(lambda: server.ssh(restarts).stdout != before)
        booted.run(["rm", "/run/hang"])
        wait_until(lambda: server.ssh("systemctl is-active notifying", check=False).returncode == 0)
        server.ssh("sudo systemctl disable --now notifying")
        journal = server.ssh("sudo journalctl --no-pager -u notifying").stdout
        assert "started with a watchdog of 5000000" in journal
        assert "Watchdog timeout (limit 5s)!" in journal

    def test_a_broken_connection_leaves_the_command_and_the_server(self, booted):
        server = booted.server
        command = ["ssh", "-F", server.ssh_config_file, "board"]
        script = (
            "rm -f /tmp/go; echo started; while ! test -e /tmp/go; do sleep 0.05; done; touch /tmp/went-on"
        )
        with subprocess.Popen([*command, script], stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout.readline() == "started\n"
            server.restart()  # the session outlives the process it came from
            assert server.kill_sessions() >= 1
            assert client.wait() == 255
        server.ssh("touch /tmp/go")
        wait_until((booted.path / "tmp/went-on").exists)

    def test_another_host_key_is_noticed(self, booted):
        booted.server.change_host_key()
        done = booted.server.ssh("true", check=False)
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
        booted.server.trust_host_key()
        booted.server.ssh("true")

    def test_after_a_power_cut_enabled_services_start(self, tmp_path):
        unit = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"
        with pi_rootfs.BootedMachine.open(NATIVE, tmp_path) as machine:
            (machine.path / "etc/systemd/system/sleeper.service").write_text(unit)
            machine.run(["systemctl", "enable", "sleeper"])
            assert (
                machine.run(["systemctl", "is-active", "sleeper"], check=False).stdout.strip() == "inactive"
            )
        with pi_rootfs.BootedMachine.open(NATIVE, tmp_path) as machine:
            assert machine.run(["systemctl", "is-active", "sleeper"]).stdout.strip() == "active"
            assert "-1 " in machine.run(["journalctl", "--no-pager", "--list-boots"]).stdout

    def test_nothing_is_left_of_it(self, tmp_path):
        with pi_rootfs.BootedMachine.open(NATIVE, tmp_path) as machine:
            processes = inside(machine.pid)
            groups = Path(f"/proc/{machine.pid}/cgroup").read_text()
            assert len(processes) >= 4
            assert "pi-rootfs-" in groups
        assert all(gone(pid) for pid in processes)
        name = next(part for part in groups.split("/") if part.startswith("pi-rootfs-"))
        hierarchies = [
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " - cgroup2 " in line
        ]
        assert not [folder for folder in hierarchies if Path(folder, name).exists()]


class TestCache:
    built = pi_rootfs.cache.place(pi_rootfs.ROOTS[NATIVE])

    @pytest.fixture
    def empty(self, tmp_path, monkeypatch):
        monkeypatch.setenv("EDGE_AD_PI_ROOTS", str(tmp_path / "roots"))
        return tmp_path / "roots"

    def test_there_is_no_such_root(self):
        with pytest.raises(
            pi_rootfs.RootError, match="there is no root 'arm64-sid'; there are arm64-bookworm, "
        ):
            pi_rootfs.ensure("arm64-sid")

    def test_a_failed_build_says_why_and_is_begun_anew(self, empty, monkeypatch):
        monkeypatch.setattr("pi_rootfs.host.mirror", lambda: "http://127.0.0.1:9/debian")
        for _ in range(2):
            with pytest.raises(pi_rootfs.RootError, match="debootstrap for amd64-bookworm failed"):
                pi_rootfs.ensure(NATIVE)
        assert not cache.place(pi_rootfs.ROOTS[NATIVE]).exists()

    def test_a_killed_build_ends_whole_and_its_remains_are_swept(self, empty):
        code = f"import sys; sys.path[:0] = {sys.path!r}\nimport pi_rootfs; pi_rootfs.ensure({NATIVE!r})"
        recipe = pi_rootfs.ROOTS[NATIVE]
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as builder:
            for line in builder.stderr:
                if "extracting" in line:
                    break
            builders = [pid for pid in _all_processes() if str(empty) in _command_line(pid)]
            assert builders
            builder.kill()
        wait_until(lambda: all(gone(pid) for pid in builders))
        assert cache.partial(recipe).exists()
        assert not cache.place(recipe).exists()
        cli = [sys.executable, Path(pi_rootfs.__file__).parent, "clean"]
        subprocess.run(cli, check=True, capture_output=True)
        assert not cache.partial(recipe).exists()

    def test_a_root_in_use_is_not_removed(self, empty, tmp_path):
        path = cache.place(pi_rootfs.ROOTS[NATIVE])
        empty.mkdir()
        if subprocess.run(["cp", "-al", self.built, path], capture_output=True, check=False).returncode != 0:
            shutil.rmtree(path)  # another file system
            subprocess.run(["cp", "-a", self.built, path], check=True)
        cli = [sys.executable, Path(pi_rootfs.__file__).parent, "clean", NATIVE]
        with pi_rootfs.Machine.open(NATIVE, tmp_path / "machine"):
            done = subprocess.run(cli, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert "is in use" in done.stderr
            assert path.exists()
        subprocess.run(cli, capture_output=True, check=True)
        assert list(empty.iterdir()) == []

    def test_listed_and_run_from_the_command_line(self):
        cli = [sys.executable, Path(pi_rootfs.__file__).parent]
        listed = subprocess.run([*cli, "list"], capture_output=True, text=True, check=True).stdout
        assert [line.split()[0] for line in listed.splitlines()] == list(pi_rootfs.ROOTS)
        done = subprocess.run(
            [*cli, "run", NATIVE, "--user", "pi", "--", "sh", "-c", "id -un; pwd; exit 5"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.split(), done.returncode) == (["pi", "/home/pi"], 5)

    def test_what_is_missing_is_named(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        assert "apt-get install" in pi_rootfs.unavailable()
        assert {"qemu-user-static", "openssh-client", "util-linux"} <= set(pi_rootfs.missing_packages())

    def test_without_root(self):
        code = f"import sys; sys.path[:0] = {sys.path!r}\nimport os, pi_rootfs; os.setuid(65534); "
        code += "print(pi_rootfs.unavailable())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "needs root" in done.stdout


def _all_processes():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
