"""A rack daemon as a process of its own: the provider behind a controller, with a log that is nobody's report.

    python -m tests.cluster.faults.rack LOG SEED

Says its port, then serves JSON over HTTP; each line of LOG is one request that it has done, and what that changed. Of
the answers it loses a share, when told so by `PUT /lose`: the connection ends, and what was asked is done.
"""

import json
import random
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.instance.seen import MACHINE_UID_TAG
from tests.third_party.kubenode_rack.rackd import FakeRack

ROOT: Final = Path(__file__).parents[3]


@attrs.frozen(kw_only=True)
class Done:
    """One request that the daemon did.

    Attributes:
        made: id of the machine that it made, empty if none.
        gone: id of the machine that it gave back, empty if none.
        uid: of the Machine that the tags of either name.
    """

    method: str
    path: str
    status: int
    lost: bool
    made: str
    gone: str
    uid: str


class Daemon(FakeRack):
    """The rack, its log, and how many of its answers get lost."""

    def __init__(self, log: Path, seed: int) -> None:
        super().__init__()
        self._log = log
        self._drawn = random.Random(seed)
        self._share = 0.0
        self._one = threading.Lock()

    def do(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        """Do one request and write it down; None when its answer is lost."""
        with self._one:
            if path == "/lose":
                self._share = body["share"]
                return 200, {}
            known, host = set(self.hosts), self.hosts.get(path.rpartition("/")[2])
            made, gone = "", ""
            if method == "DELETE" and host is not None:  # what was given back is still shown, as such
                gone = host["id"] if host["power"] != "gone" else ""
                host["power"] = "gone"
                status, answer = 200, {}
            else:
                status, answer = self.send(method, path, body)
                made = "".join(self.hosts.keys() - known)
            uid = self.hosts[made or gone]["tags"][MACHINE_UID_TAG] if made or gone else ""
            lost = self._drawn.random() < self._share
            done = Done(method=method, path=path, status=status, lost=lost, made=made, gone=gone, uid=uid)
            with self._log.open("a") as log:
                log.write(json.dumps(attrs.asdict(done)) + "\n")
            return None if lost else (status, answer)


def _serve(log: Path, seed: int) -> None:
    daemon = Daemon(log, seed)

    class Handler(BaseHTTPRequestHandler):
        """Answers with JSON."""

        def handle_one_request(self) -> None:
            """Read one request of any method and answer it, or end the connection."""
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            answer = daemon.do(self.command, self.path, body)
            self.close_connection = True
            if answer is None:
                return
            raw = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the log is the daemon's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


class Rack:
    """The process, as a test sees it.

    Attributes:
        options: of a controller that uses it.
        path: of a controller: the folders in which the plugin is installed.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, seed: int) -> None:
        self._log = folder / "rack.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.faults.rack", str(self._log), str(seed)],
            stdout=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip
        stack.callback(self._end)
        self._address = f"127.0.0.1:{int(self._process.stdout.readline())}"
        settings = folder / "kubenode.toml"
        settings.write_text(f'[rack]\naddress = "{self._address}"\n')
        told = folder / "site" / "kubenode_rack-0.3.0.dist-info"
        told.mkdir(parents=True)
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: kubenode-rack\nVersion: 0.3.0\n")
        (told / "entry_points.txt").write_text("[kubenode]\nrack = tests.cluster.faults.rack_plugin\n")
        self.options = ["--settings", str(settings)]
        self.path = [str(told.parent), str(ROOT)]

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def lose(self, share: float) -> None:
        """Lose so many of the answers from now on."""
        connection = HTTPConnection(self._address, timeout=20)
        connection.request("PUT", "/lose", json.dumps({"share": share}))
        assert connection.getresponse().status == 200
        connection.close()

    def done(self) -> list[Done]:
        """Read the log."""
        text = self._log.read_text() if self._log.exists() else ""
        return [Done(**json.loads(line)) for line in text.splitlines()]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
