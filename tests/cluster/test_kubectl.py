"""kubectl, as people type it: `docs/reference/kubectl.md` is typed from top to bottom, and every output compared.

`python -m tests.cluster.test_kubectl` types it and writes anew what the page shows.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest

from kubenode.runtime.testing import ControlPlane, install
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.build import control_plane_binaries
from tests.cluster.waiting import until
from tests.docs.console import CONSOLE, Step, steps

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "kubectl.md"
KUBENODE = Path(sys.executable).with_name("kubenode")
SHOWN = re.compile(r"^`([\w.-]+)`\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOOKS = re.compile(r"(.*\| )?kubectl (get|describe|diff) ")
"""Commands that change nothing: what they show may be a moment away."""
PATIENCE = 60.0
SELECTED = "kubectl get mcs -o jsonpath='{.items[*].status.selected}'"
EVENTS = "Events:\n"
ON_THE_WAY = ("Initializing",)
"""Reasons of Events that another run may not tell, or tell otherwise: what is still missing when somebody looks is chance."""

UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MASKS = (
    (UID, "01234567-89ab-cdef-0123-456789abcdef"),
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+]00:00)"), r"2026-01-02T03:04:05\1"),
    (re.compile(r"(?<=pool-)[0-9a-f]{8}\b"), "01234567"),
    (re.compile(r"\b(m2|remedy)-[0-9a-f]{16}\b"), r"\1-0123456789abcdef"),
    (re.compile(r"(Resource Version:  |resourceVersion: \")\d+"), r"\g<1>7"),
    (re.compile(r"^(diff -u -N|---|\+\+\+) /tmp/\w+-\d+/(\S+).*$", re.MULTILINE), r"\1 \2"),
)
AGE = re.compile(r"(\d+[smhd])+")
EVENT = re.compile(r"  (Normal|Warning) +(\w+) +(?:\d+[smhd])+(?: \(x\d+ over \w+\))? +(\S+) +(.+)")
PROBLEMS = re.compile(r"(?:^\* .*\n)+", re.MULTILINE)


def stable(text: str) -> str:
    """Mask what differs from run to run, and draw tables anew, for their columns are as wide as what was masked."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    head, title, tail = text.partition(EVENTS)
    text = "\n\n".join(_table(part) for part in head.split("\n\n"))
    # The server tells the problems of an object in any order.
    text = PROBLEMS.sub(lambda found: "".join(sorted(found[0].splitlines(keepends=True), key=_place)), text)
    lines = [*text.splitlines(), *((title.strip(), *_events(tail)) if title else ())]
    return "\n".join(line.rstrip() for line in lines).strip()


def _place(problem: str) -> tuple[bool, str]:
    return "<nil>" in problem, problem


def _table(text: str) -> str:
    """Draw what `kubectl get` prints without its ages; anything else is as it was."""
    head, *rows = text.splitlines() or [""]
    found = list(re.finditer(r"\S+(?: \S+)*", head))
    ages = [at for at, one in enumerate(found) if one[0] in ("AGE", "CLOSED")]
    if not ages:
        return text
    ends = [*(one.start() for one in found[1:]), None]
    cells = [[line[one.start() : end].strip() for one, end in zip(found, ends, strict=True)] for line in rows]
    for row in cells:
        for at in ages:
            row[at] = AGE.sub("1m", row[at])
    return "\n".join(_aligned([[one[0] for one in found], *cells], between="   "))


def _events(text: str) -> list[str]:
    """Draw the events of a description without their ages; what is drawn already stays. What is chance is left out."""
    found = [list(row) for row in EVENT.findall(text) if row[1] not in ON_THE_WAY]
    return _aligned(
        [["  Type", "Reason", "From", "Message"], *([f"  {row[0]}", *row[1:]] for row in found)], between="  "
    )


def _aligned(rows: list[list[str]], *, between: str) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [between.join(map(str.ljust, row, widths)).rstrip() for row in rows]


def shows(output: str, said: str) -> bool:
    """Tell whether an output is the one that the page has; of events, all that it has, and perhaps more."""
    head, _, told = stable(output).partition(EVENTS)
    wanted, _, named = said.strip().partition(EVENTS)
    return head.strip() == wanted.strip() and _words(named) <= _words(told)


def _words(events: str) -> set[str]:
    return {" ".join(line.split()) for line in events.splitlines()}


class Shell:
    """A shell of somebody who has kubectl and kubenode, and the credentials of an admin."""

    def __init__(self, plane: ControlPlane, binaries: Path, folder: Path) -> None:
        self._folder = folder
        (folder / "docs").symlink_to(ROOT / "docs")
        (folder / "home").mkdir()
        path = f"{binaries}:{KUBENODE.parent}:{os.environ['PATH']}"
        self._environ = {
            "PATH": path, "KUBECONFIG": str(plane.admin_kubeconfig), "HOME": str(folder / "home"), "LC_ALL": "C.UTF-8"
        }  # fmt: skip

    def write(self, page: str) -> None:
        """Make the files that a page shows."""
        for name, text in SHOWN.findall(page):
            (self._folder / name).write_text(text, encoding="utf-8")

    def type(self, command: str) -> str:
        """Run one command, and give what it prints on both streams."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, env=self._environ, check=False, text=True, timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    def settled(self, command: str, said: str) -> str:
        """Run a command that looks, until it shows what is said, or patience is at its end."""
        end = time.monotonic() + PATIENCE
        while not shows(output := self.type(command), said) and time.monotonic() < end:
            time.sleep(0.5)
        return output


@attrs.frozen(kw_only=True)
class Stage:
    """A cluster with our kinds, a controller, and two hosts whose agents and kubelets have yet to `begin`."""

    shell: Shell
    controller: subprocess.Popen[bytes]
    begin: Callable[[], None]

    def typed(self, page: str) -> Iterator[tuple[Step, str]]:
        """Type a page; give each command, and what it shows.

        The hosts begin after its first command, once the controller has seen the sets: one that saw a machine run before
        would give it nothing without a permit.
        """
        self.shell.write(page)
        for number, step in enumerate(steps(page)):
            looks = LOOKS.match(step.command) is not None
            yield (
                step,
                self.shell.settled(step.command, step.output) if looks else self.shell.type(step.command),
            )
            if not number:
                until("3 machines of each set", lambda: self.shell.type(SELECTED) == "3 3", PATIENCE)
                self.begin()


@contextmanager
def staged(binaries: Path, folder: Path) -> Iterator[Stage]:
    """Run it."""
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane.start(binaries))
        install(plane)

        def run(name: str, *words: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen([KUBENODE, *words], stdout=log, stderr=subprocess.STDOUT)
            stack.callback(process.wait, timeout=60)
            stack.callback(process.send_signal, signal.SIGTERM)
            return process

        config = str(plane.kubeconfig(CONTROLLER_USER))
        controller = run(
            "controller", "controller", "--kubeconfig", config, "--lease-seconds", "3", "--listen", "none"
        )

        def begin() -> None:
            for machine, zone in (("m1", "a"), ("m2", "b")):
                agent = plane.kubeconfig(f"kubenode:agent:{machine}", ("kubenode:agents",))
                kubelet = plane.kubeconfig(f"system:node:node-{machine}", ("system:nodes",))
                run(
                    machine, "sim", "agent", machine, "--zone", zone, "--kubeconfig", str(agent),
                    "--kubelet-kubeconfig", str(kubelet), "--kmsg", str(folder / f"{machine}.kmsg"),
                )  # fmt: skip

        yield Stage(shell=Shell(plane, binaries, folder), controller=controller, begin=begin)


@pytest.fixture(scope="module")
def stage(control_plane_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster of this module's own: what its page shows is all that there is."""
    with staged(control_plane_folder, tmp_path_factory.mktemp("kubectl")) as made:
        yield made


def test_kubectl_shows_what_the_page_says(stage: Stage) -> None:
    """Columns, descriptions, explanations, waits, scale, apply, edit, replace, diff, delete and refusals."""
    for step, output in stage.typed(PAGE.read_text(encoding="utf-8")):
        if not shows(output, step.output):
            assert stable(output) == step.output.strip(), f"$ {step.command}"


WAITED = """
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {name: waited}
spec: {host: {address: 10.0.0.99}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineSet
metadata: {name: waited}
spec:
  replicas: 0
  selector: {matchLabels: {pool: waited}}
  template: {labels: {pool: waited}, spec: {infrastructure: {provider: memory}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponent
metadata: {name: waited}
spec: {version: "1", driver: package, parameters: {package: waited}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {name: waited}
spec: {name: waited, component: waited, selector: {matchLabels: {pool: waited}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: NodeRemedier
metadata: {name: waited}
spec: {condition: {type: None}, ladder: [{action: reboot}]}
---
apiVersion: kubenode.dev/v1alpha1
kind: RiskPolicy
metadata: {name: waited}
spec: {limits: [{scope: cluster, max: 100}]}
"""
CONDITIONS = {
    "machine": ("Ready=False", {"labels": {"example.com/a": "b"}}),
    "machineset": ("Scaled", {"deleteOrder": "Oldest"}),
    "machinecomponentset": ("Progressing", {"rollout": {"minReadySeconds": 11}}),
    "noderemedier": ("Accepted", {"relapse": "2h"}),
    "riskpolicy": ("Accepted", {"limits": [{"scope": "cluster", "max": 99}]}),
}
"""By kind a condition that is met, and a change of the spec that does not change it."""


def test_wait_is_not_met_by_what_was_said_of_an_older_spec(stage: Stage) -> None:
    """While nobody has looked at the newest spec, no condition counts; then each does."""
    shell, controller = stage.shell, stage.controller

    def waits(kind: str, seconds: int) -> str:
        return shell.type(
            f"kubectl wait --for=condition={CONDITIONS[kind][0]} {kind}/waited --timeout={seconds}s"
        )

    shell.type(f"kubectl apply -f - <<'END'{WAITED}END")
    for kind in CONDITIONS:
        assert waits(kind, 30).endswith("/waited condition met\n"), kind
    controller.send_signal(signal.SIGSTOP)
    try:
        for kind, (_, change) in CONDITIONS.items():
            patch = json.dumps({"spec": change})
            assert shell.type(f"kubectl patch {kind} waited --type=merge -p '{patch}'").endswith("patched\n")
            assert waits(kind, 1).startswith("error: timed out"), kind
    finally:
        controller.send_signal(signal.SIGCONT)
    for kind in CONDITIONS:
        assert waits(kind, 30).endswith("/waited condition met\n"), kind


def test_no_block_of_the_page_goes_untested() -> None:
    """A block is a console or a file."""
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```") == 2 * (len(CONSOLE.findall(page)) + len(SHOWN.findall(page)))


def _drawn(page: str) -> str:
    """Give the page with what its commands show once all is at rest, or do after a minute."""
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(control_plane_binaries(), Path(folder)) as stage,
    ):
        typed = stage.typed(page)

        def block(found: re.Match[str]) -> str:
            text = ""
            for step, (_, output) in zip(steps(found[0]), typed, strict=False):
                shown = step.output.strip("\n") if shows(output, step.output) else stable(output)
                text += f"$ {step.command}\n{shown}\n" if shown else f"$ {step.command}\n"
            return f"```console\n{text}```"

        return CONSOLE.sub(block, page)


if __name__ == "__main__":
    PAGE.write_text(_drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
