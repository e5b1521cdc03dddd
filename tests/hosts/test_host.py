"""A test host is a real Debian, alone in its namespaces, and does what is done to it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.hosts.host import HostError
from tests.hosts.network import GATEWAY
from tests.hosts.stage import Stage

pytestmark = pytest.mark.hosts

_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
_FETCH = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


class _Serves(BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self) -> None:
        """Say what was asked for."""
        said = f"what the test serves at {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing of it."""


def test_a_host_boots_and_is_running(stage: Stage) -> None:
    """It is Debian with systemd as its first process, has its name and address, and neither the machine's network nor its kernel log."""
    with stage.host("boots") as host:
        host.power_on()
        assert host.run("systemctl", "is-system-running").strip() == "running"
        assert "VERSION_CODENAME=bookworm" in host.read("/etc/os-release")
        assert host.run("readlink", "/proc/1/exe").strip() == "/usr/lib/systemd/systemd"
        assert host.run("hostname").strip() == "boots"
        assert f"inet {host.address}/24" in host.run("ip", "-4", "address", "show")
        assert host.run("ip", "-o", "route", "show", "default").split()[2] == GATEWAY
        assert host.run("ls", "/sys/class/net").split() == ["host0", "lo"]
        assert host.run("cat", "/dev/kmsg") == ""
        assert host.run("systemctl", "is-active", "containerd", "ssh").split() == ["active", "active"]


def test_a_command_has_the_rights_of_the_host_and_not_of_the_machine(stage: Stage) -> None:
    """Root of a host cannot set the machine's clock, load modules into its kernel, or reach its devices, whether systemd or a test starts it."""
    of_the_machine = {"CAP_SYS_MODULE": 16, "CAP_SYS_RAWIO": 17, "CAP_SYS_TIME": 25, "CAP_MAC_ADMIN": 33}
    with stage.host("rights") as host:
        host.power_on()
        rights = host.run("grep", "^Cap", "/proc/self/status")
        assert rights == host.run("grep", "^Cap", "/proc/1/status")
        for line in rights.splitlines():
            held = int(line.split()[1], 16)
            assert [name for name, bit in of_the_machine.items() if held >> bit & 1] == []


def test_a_test_breaks_what_it_wants_to_break(stage: Stage) -> None:
    """A disk that is full, a folder that is read-only, and a server of the test's own for the host to fetch from."""
    with stage.host("breaks") as host:
        host.power_on()
        host.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", "/srv")
        with pytest.raises(HostError, match="No space left on device"):
            host.run("dd", "if=/dev/zero", "of=/srv/large", "bs=1M", "count=8")
        host.run("mount", "--bind", "/usr/local", "/usr/local")
        host.run("mount", "-o", "remount,bind,ro", "/usr/local")
        with pytest.raises(HostError, match="Read-only file system"):
            host.write("/usr/local/bin/new", "")
        with ThreadingHTTPServer((GATEWAY, 0), _Serves) as server:
            Thread(target=server.serve_forever).start()
            try:
                url = f"http://{GATEWAY}:{server.server_port}/artifact"
                assert host.run("python3", "-c", _FETCH, url) == "what the test serves at /artifact"
            finally:
                server.shutdown()


def test_a_power_cut_ends_all_and_leaves_the_files(stage: Stage) -> None:
    """After it nothing runs and nothing was shut down; the next boot is another one on the same machine, with what was written."""
    with stage.host("cut") as host:
        host.power_on()
        boot, machine = host.boot_id, host.read("/etc/machine-id")
        host.write("/etc/kubenode/kept", "as it was\n", mode=0o600)
        host.power_cut()
        assert not host.is_on
        with pytest.raises(HostError, match="cut is off"):
            host.run("true")
        host.power_on()
        assert host.boot_id != boot
        assert host.read("/etc/machine-id") == machine
        assert host.read("/etc/kubenode/kept") == "as it was\n"
        assert host.run("stat", "-c", "%a", "/etc/kubenode/kept").strip() == "600"
        assert "Shutting down" not in host.run("journalctl", "-b", "-1", "--no-pager")


def test_a_power_off_is_a_shutdown(stage: Stage) -> None:
    """Units are stopped in order, which is what a power cut is not."""
    with stage.host("off") as host:
        host.power_on()
        host.power_off()
        assert not host.is_on
        host.power_on()
        assert "Stopped containerd.service" in host.run("journalctl", "-b", "-1", "--no-pager")


def test_hosts_do_not_disturb_each_other(stage: Stage) -> None:
    """Each systemd has its own units: what one stops or loses runs on at the other; and they reach each other."""
    with stage.host("one") as one, stage.host("two") as two:
        one.power_on()
        two.power_on()
        # Of another's process in its cgroup a systemd would read 0, and never see the unit end.
        processes = two.run(
            "find", "/sys/fs/cgroup", "-path", "*/containerd.service/cgroup.procs", "-exec", "cat", "{}", "+"
        )
        assert processes.split()
        assert "0" not in processes.split()
        containerd = two.run("systemctl", "show", "-P", "MainPID", "containerd")
        assert one.read("/etc/machine-id") != two.read("/etc/machine-id")
        assert one.read("/etc/ssh/ssh_host_ed25519_key.pub") != two.read("/etc/ssh/ssh_host_ed25519_key.pub")
        one.run("python3", "-c", _CONNECT, two.address, "22")
        one.run("systemctl", "stop", "containerd")
        one.power_cut()
        assert two.run("systemctl", "is-system-running").strip() == "running"
        assert two.run("systemctl", "show", "-P", "MainPID", "containerd") == containerd


def test_a_network_that_is_cut_loses_everything_of_one_host(stage: Stage) -> None:
    """The host times out, its link stays up, the other host reaches the API server; restored, both do."""
    api = stage.control_plane.url.removeprefix("https://").split(":")
    with stage.host("lone") as lone, stage.host("other") as other:
        lone.power_on()
        other.power_on()
        lone.run("python3", "-c", _CONNECT, *api)
        lone.cut_network()
        with pytest.raises(HostError, match="TimeoutError"):
            lone.run("python3", "-c", _CONNECT, *api)
        assert "state UP" in lone.run("ip", "link", "show", "host0")
        other.run("python3", "-c", _CONNECT, *api)
        lone.restore_network()
        lone.run("python3", "-c", _CONNECT, *api)


def test_a_command_that_fails_says_what_it_said(stage: Stage) -> None:
    """Code, standard error and the command are in the error; without check, its output is the answer."""
    with stage.host("says") as host:
        host.power_on()
        with pytest.raises(HostError, match=r"cat -- /none ended with code 1:\ncat: /none: No such file"):
            host.read("/none")
        assert host.run("sh", "-c", "cat; exit 3", input="heard", check=False) == "heard"


def test_a_host_that_cannot_boot_says_why(stage: Stage) -> None:
    """A unit that fails at boot is named, with its host."""
    with stage.host("broken") as host:
        unit = "/etc/systemd/system/broken.service"
        host.write(unit, "[Service]\nType=oneshot\nExecStart=/bin/false\n")
        host.link("/etc/systemd/system/multi-user.target.wants/broken.service", unit)
        with pytest.raises(HostError, match=r"broken is degraded:\n.*broken\.service"):
            host.power_on()


def test_a_host_without_a_program_to_boot_says_what_its_console_said(stage: Stage) -> None:
    """It ends by itself, and its end is noticed at once, not after a minute."""
    with stage.host("empty") as host:
        systemd = "/usr/lib/systemd/systemd"
        host.write(systemd, "", mode=0o644)
        with pytest.raises(HostError, match=r"empty ended with code 1; its console ends:\n(?s:.*)systemd"):
            host.power_on()
        host.power_cut()
        assert not host.is_on


def test_what_is_written_while_it_is_off_hides_no_link(stage: Stage) -> None:
    """/lib is a link to /usr/lib; a folder in its place would take all programs from the host."""
    with stage.host("links") as host, pytest.raises(HostError, match="/lib is a link"):
        host.write("/lib/systemd/system/x.service", "")
