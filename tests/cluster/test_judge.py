"""The judge of runs on a real cluster finds what it is there to find, each in a log of its own making."""

import json
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.store.contract import JsonPatch, MergePatch
from kubenode.runtime.testing.servers import CONTROLLER_USER, SECOND_USER
from tests.cluster.faults.forked import Forked
from tests.cluster.faults.judge import acts_of, audited, hosts_of, judge, unled
from tests.cluster.faults.older import forget, forgotten
from tests.cluster.faults.plot import HUNG, SCARRED, STORIES, cast, embedded

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
UID = "3f0e6b1c-0000-4000-8000-000000000001"


def at(seconds: float) -> int:
    """Give a moment of the run, in nanoseconds since 1970."""
    return int((START.timestamp() + seconds) * 1e9)


def line(seconds: float, verb: str, resource: str, left: Any, *, code: int = 200, name: str = "") -> str:
    """Write one line of an audit log."""
    stamp = (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({
        "stage": "ResponseComplete", "verb": verb, "user": {"username": "c"}, "stageTimestamp": stamp,
        "objectRef": {"resource": resource, "name": name}, "responseStatus": {"code": code}, "responseObject": left,
    })  # fmt: skip


def ledger(seconds: float, version: int, *machines: str) -> str:
    """Write that the ledger was left with a hold for each of these machines."""
    holds = tuple(
        m.Hold(
            op_id=f"op-{machine}", machine=machine, machine_uid=UID, cause=m.Cause.REMEDY,
            scopes=("cluster", f"zone={machine[:2]}"), since=0,
        )
        for machine in machines
    )  # fmt: skip
    status = m.RiskLedgerStatus(holds=holds)
    whole = wire.dump(m.RiskLedger(metadata=m.ObjectMeta(name="cluster"), status=status))
    whole["metadata"]["resourceVersion"] = str(version)
    return line(seconds, "patch", "riskledgers", whole, name="cluster")


def running(machine: str) -> str:
    """Write that a machine was Running from the beginning."""
    left = {
        "metadata": {"name": machine, "uid": f"uid-{machine}"},
        "status": {"firstRunning": "2026-03-01T11:00:00Z"},
    }
    return line(0, "patch", "machines", left, name=machine)


def job(seconds: float, machine: str) -> str:
    """Write that a job was opened."""
    left = {
        "metadata": {"name": f"j-{seconds}"},
        "spec": {"machine": {"name": machine}, "remedier": "r", "episode": 0},
    }
    return line(seconds, "create", "remedyoperationjobs", left, code=201)


def span(machine: str, began: float, ended: float | None, op_id: str = "op") -> Any:
    """Give what a host did."""
    return machine, {
        "op_id": op_id, "steps": ["Reboot()"], "disruption": "reboot", "began": at(began),
        "ended": None if ended is None else at(ended),
    }  # fmt: skip


def failed(
    folder: Path, lines: list[str], spans: list[Any], *, repeats: tuple[str, ...] = (), expected: Any = None
) -> set[str]:
    """Judge a run, and name what was wrong with it."""
    audit, log = folder / "audit.log", folder / "hosts.json"
    machines = sorted({machine for machine, _ in spans})
    audit.write_text("\n".join([*map(running, machines), *lines]) + "\n")
    told = {
        name: {
            "zone": name[:2],
            "repeats": list(repeats),
            "spans": [one for machine, one in spans if machine == name],
        }
        for name in machines
    }
    log.write_text(json.dumps(told))
    hosts = hosts_of(log)
    stored = [{"metadata": {"name": name, "uid": f"uid-{name}"}} for name in machines]
    wanted = acts_of(hosts) if expected is None else expected
    return {check.name for check in judge(audited(audit), hosts, stored, wanted) if not check.passed}


def test_a_run_as_it_should_be_passes(tmp_path: Path) -> None:
    """A permit, the act under it, and its end."""
    lines = [job(0.5, "hu1"), ledger(1, 1, "hu1"), ledger(9, 2)]
    assert failed(tmp_path, lines, [span("hu1", 2, 5)]) == set()


def test_an_act_that_nobody_permitted_is_found(tmp_path: Path) -> None:
    """Before the permit, or after it."""
    lines = [ledger(1, 1, "hu1"), ledger(4, 2)]
    wrong = {"no disruptive act without a permit"}
    assert failed(tmp_path, lines, [span("hu1", 0.5, 0.9)]) == wrong
    assert failed(tmp_path, lines, [span("hu1", 5, 6)]) == wrong


def test_a_ledger_is_read_by_versions_not_by_lines(tmp_path: Path) -> None:
    """Answers are logged in the order in which they were given."""
    lines = [ledger(9, 2), ledger(1, 1, "hu1")]
    assert failed(tmp_path, lines, [span("hu1", 2, 5)]) == set()


def test_a_limit_that_was_exceeded_is_found(tmp_path: Path) -> None:
    """Two of a zone in flight, of which the policy of the cast allows one; and seven starts within ten seconds."""
    wrong = {"no limit exceeded"}
    both = [ledger(1, 1, "hu1"), ledger(2, 2, "hu1", "hu2"), ledger(9, 3)]
    assert failed(tmp_path, both, [span("hu1", 3, 5)]) == wrong
    names = [f"z{letter}1" for letter in "abcdefg"]
    moves = [(name, open_) for name in names for open_ in (True, False)]
    seven = [
        ledger(1 + at_ / 2, at_ + 1, *([name] if open_ else [])) for at_, (name, open_) in enumerate(moves)
    ]
    assert failed(tmp_path, seven, [span("za1", 1.1, 1.2)]) == wrong
    assert failed(tmp_path, seven[:12], [span("za1", 1.1, 1.2)]) == set()


def test_what_was_done_twice_is_found(tmp_path: Path) -> None:
    """Steps again under another op-id, or asked for again under the same; two acts at once; two jobs for one episode."""
    lines = [ledger(1, 1, "hu1")]
    once = Counter({("hu1", ("Reboot()",)): 1})
    others = "each act done as often as without faults"
    twice = [span("hu1", 2, 3, "a"), span("hu1", 4, 5, "b")]
    assert failed(tmp_path, lines, twice, expected=once) == {others}
    assert failed(tmp_path, lines, [span("hu1", 2, 3)], repeats=("op",)) == {"no act done twice"}
    assert failed(tmp_path, lines, [span("hu1", 2, 5, "a"), span("hu1", 4, 6, "b")]) == {
        "one act a machine at a time"
    }
    assert failed(tmp_path, lines, [], expected=once) == {others}
    assert failed(tmp_path, [*lines, job(1, "hu1"), job(2, "hu1")], [span("hu1", 2, 3)]) == {
        "one job an episode"
    }


def test_a_write_under_another_ones_lease_is_found(tmp_path: Path) -> None:
    """By whose write the Lease names a holder; a released one names nobody."""

    def lease(seconds: float, user: str, holder: str | None) -> str:
        left = {"metadata": {"name": "kubenode-controller"}, "spec": {"holderIdentity": holder}}
        return by(user, line(seconds, "patch", "leases", left, name="kubenode-controller"))

    def by(user: str, text: str) -> str:
        return json.dumps({**json.loads(text), "user": {"username": user}})

    def write(seconds: float, user: str, code: int = 200) -> str:
        return by(user, line(seconds, "patch", "machines", None, name=f"at-{seconds}", code=code))

    first, second = CONTROLLER_USER, SECOND_USER
    lines = [
        lease(1, first, "a"), write(2, first), write(3, second), lease(4, second, "b"), write(5, first, code=409),
        write(6, first), write(7, second), lease(8, second, None), write(9, second), write(9.5, "an agent"),
    ]  # fmt: skip
    log = tmp_path / "audit.log"
    log.write_text("\n".join(lines))
    assert [entry.name for entry in unled(audited(log))] == ["at-3", "at-6", "at-9"]


def test_what_a_host_refuses_may_be_tried_again(tmp_path: Path) -> None:
    """Only there, and only that: up3 never takes the new version."""
    machine, told = span("up3", 2, 3, "a")
    told["steps"] = ["InstallPackage(package='exporter', version='1.9.0')"]
    again = {**told, "op_id": "b", "began": at(4), "ended": at(5)}
    once = Counter({("up3", tuple(told["steps"])): 1})
    lines = [ledger(1, 1, "up3")]
    assert failed(tmp_path, lines, [(machine, told), (machine, again)], expected=once) == set()


def test_the_older_one_forgets() -> None:
    """In objects, in merge patches, in the values of JSON patches, and in each item of a list; nothing else."""
    hold = {"opID": "a", "joined": ["b"], "over": True}
    whole = {"metadata": {"name": "cluster"}, "status": {"holds": [hold, {"opID": "c"}], "closed": {}}}
    known = {
        "metadata": {"name": "cluster"},
        "status": {"holds": [{"opID": "a"}, {"opID": "c"}], "closed": {}},
    }
    assert forget("RiskLedger", json.loads(json.dumps(whole))) == known
    assert forgotten("RiskLedger", MergePatch(json.loads(json.dumps(whole)))) == MergePatch(known)
    steps = [{"action": "Repair", "component": "x"}]
    test = {"op": "test", "path": "/spec/operation", "value": None}
    asked = JsonPatch(
        (test, {"op": "add", "path": "/spec/operation", "value": {"opID": "o", "steps": steps}})
    )
    told = {"op": "add", "path": "/spec/operation", "value": {"opID": "o", "steps": [{"action": "Repair"}]}}
    assert forgotten("Machine", asked) == JsonPatch((test, told))
    assert forget("Machine", {"spec": None}) == {"spec": None}


def test_a_forked_program_is_the_program(tmp_path: Path) -> None:
    """What it says goes to its log, and its exit status is what the command's is; it can be killed."""
    done = Forked(["version"], tmp_path / "version")
    assert (done.wait(60), (tmp_path / "version").read_text().strip()) == (0, version("kubenode"))
    assert Forked(["no-such-word"], tmp_path / "wrong").wait(60) == 2
    assert "no-such-word" in (tmp_path / "wrong").read_text()
    killed = Forked(["controller", "--kubeconfig", str(tmp_path / "none")], tmp_path / "killed")
    killed.kill()
    assert killed.wait(60) == -signal.SIGKILL
    assert killed.poll() == -signal.SIGKILL


def test_the_end_that_runs_are_compared_with_is_a_good_one() -> None:
    """All machines run; who hung was rebooted once after a restart that failed; one upgrade is excused; nothing is held."""
    end = embedded()
    machines = {key: one["status"]["phase"] for key, one in end.state.items() if key.startswith("Machine/")}
    assert set(machines.values()) == {"Running"}
    assert {key.partition("/")[2] for key in machines} == {
        one for names in STORIES.values() for one in names if one[-1].isdigit()
    }
    jobs = {key: one["status"] for key, one in end.state.items() if key.startswith("RemedyOperationJob/")}
    assert {key.partition("/")[2].partition(".")[0] for key in jobs} == {*HUNG, *SCARRED}
    assert {status["phase"] for status in jobs.values()} == {"Succeeded"}
    attempts = {
        tuple((one["action"], one["state"]) for one in status["attempts"]) for status in jobs.values()
    }
    assert attempts == {(("restart-unit", "Failed"), ("reboot", "Succeeded"))}
    upgrade = end.state["MachineComponentSet/exporter"]["status"]
    assert (upgrade["phase"], upgrade["updated"], upgrade["excused"]) == ("Complete", 3, 1)
    ledger = end.state["RiskLedger/cluster"]["status"]
    assert (ledger["holds"], ledger["storms"], ledger["closed"]["cluster"]) == ([], [], 12)
    reboots = {machine: count for (machine, steps), count in end.acts.items() if steps == ("Reboot()",)}
    assert reboots == dict.fromkeys((*HUNG, *SCARRED), 1)
    zones = {one.metadata.labels["topology.kubernetes.io/zone"] for one in cast().of(m.Machine)}
    assert len(zones) == 10
