"""What a look at the host tells: its counter, its file systems, and whether services answer."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.core.detect.facts import Service
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.detector import look
from kubenode.runtime.detector.look import HostLook, answers, hung, readonly

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 253:0 / /var rw,relatime shared:2 master:3 - ext4 /dev/mapper/var ro
24 22 8:17 / /srv ro,relatime - xfs /dev/sdb1 rw
25 22 0:40 / /cd ro - iso9660 /dev/sr0 ro,nojoliet
26 22 259:2 / /data rw - ext4 /dev/nvme0n1p2 rw,emergency_ro
27 22 8:33 / /a\\040b rw - ext4 /dev/sdc1 rw,errors=ro-ish
not a mount
28 - ro
"""


def test_what_cannot_be_written(tmp_path: Path) -> None:
    """By the kernel's names; of a mount that is read-only for whoever mounted it so, nothing."""
    (tmp_path / "mounts").write_text(MOUNTS)
    blocks = tmp_path / "block"
    blocks.mkdir()
    (blocks / "253:0").symlink_to("../../devices/virtual/block/dm-0")
    (blocks / "259:2").symlink_to("../../devices/pci/nvme/nvme0n1/nvme0n1p2")
    assert readonly(tmp_path / "mounts", blocks) == {"dm-0", "0:40", "nvme0n1p2"}
    assert readonly(tmp_path / "none", blocks) is None


def test_this_machine_tells() -> None:
    """Whatever it is."""
    assert readonly(Path("/proc/self/mountinfo"), Path("/sys/dev/block")) is not None


@pytest.mark.parametrize(("text", "count"), [("0\n", 0), ("41\n", 41), ("", None), ("x", None)])
def test_the_counter(tmp_path: Path, text: str, count: int | None) -> None:
    """None where the kernel has none."""
    (tmp_path / "count").write_text(text)
    assert hung(tmp_path / "count") == count
    assert hung(tmp_path / "none") is None


class Answer(http.server.BaseHTTPRequestHandler):
    """Says of each path what it is called."""

    def do_GET(self) -> None:
        """Answer with the status that the path is."""
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A server that answers."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def service(**more: str) -> Service:
    """One that is so."""
    return Service(condition="C", reason="R", unit="c.service", **more)


@pytest.mark.parametrize(("code", "well"), [(200, True), (204, False), (500, False)])
def test_a_service_that_answers(server: str, code: int, well: bool) -> None:
    """With 200, and nothing else."""
    assert answers(service(url=f"{server}/{code}")) is well


def test_a_service_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither refuses, nor accepts and is silent, nor says what is no HTTP."""
    monkeypatch.setattr(look, "PATIENCE", 0.1)
    assert not answers(service(url="http://127.0.0.1:1/healthz"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(service(url=f"http://127.0.0.1:{silent.getsockname()[1]}/healthz"))
    assert not answers(service(socket=str(tmp_path / "none")))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as held:
        held.bind(str(tmp_path / "s"))
        assert not answers(service(socket=str(tmp_path / "s"))), "nobody listens"
        held.listen()
        assert not answers(service(socket=str(tmp_path / "s"))), "it takes connections, and hangs"


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ([b"\0\0\6\4\0\0\0\0\0" + b"\0\5\0\0\x40\0"], True), ([b"\0\0\0\4", b"\0\0\0\0\0"], True),
        ([b"\0\0\0\4\0\0\0\0"], False), ([b"\0\0\0\7\0\0\0\0\0"], False), ([], False), ([b"HTTP/1.1 400 Bad Request"], False),
    ],
)  # fmt: skip
def test_a_server_of_grpc_answers_a_greeting(tmp_path: Path, said: list[bytes], well: bool) -> None:
    """With its settings, whole, and with nothing else."""
    path = str(tmp_path / "s")
    heard: list[bytes] = []
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as held:
        held.bind(path)
        held.listen()

        def serve() -> None:
            with held.accept()[0] as connection:
                heard.append(connection.recv(100))
                for part in said:
                    connection.sendall(part)
                    time.sleep(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        assert answers(service(socket=path)) is well
        thread.join()
    assert heard[0].startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4")


def test_systemd_is_asked_only_of_what_does_not_answer(server: str, tmp_path: Path) -> None:
    """What cannot be asked is missing, and hides nothing else."""
    asked: list[str] = []

    def state(unit: str) -> str | None:
        asked.append(unit)
        if unit == "b.service":
            raise StepFailed("nobody can tell")
        return "failed"

    services = (
        Service(condition="A", reason="A", unit="a.service", url=f"{server}/200"),
        Service(condition="B", reason="B", unit="b.service", url=f"{server}/500"),
        Service(condition="C", reason="C", unit="c.service", socket=str(tmp_path / "none")),
    )
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / look.COUNTER).write_text("7\n")
    facts = HostLook(tmp_path, state, services)()
    assert (facts.hung, facts.readonly) == (7, None)
    assert facts.ailing == {"A": "", "C": "c.service has failed"}
    assert asked == ["b.service", "c.service"]
