"""The command line on a running cluster: every word against what a controller left behind, and then obeyed by it."""

import asyncio
import itertools
import json
from datetime import datetime
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import Conflict, Forbidden, ObjectNotFound, Refused, Unreachable
from kubenode.core.policy import Policy
from kubenode.core.wish.freeze import POLICY
from kubenode.runtime.cli.live import Cluster, completes
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.contract import JsonPatch, MergePatch
from kubenode.runtime.store.embedded import now_or_never
from tests.runtime.stages import HOUR, SET, Shell, hung, owner, rolling, shell, spoken, staged


def machines(stage: Any, component: str) -> list[str]:
    """Name the machines that are asked to run a component."""
    found = (
        (one.metadata.name, one.spec.components[SET].component)
        for one in stage.all(m.Machine)
        if SET in one.spec.components
    )
    return sorted(name for name, runs in found if runs == component)


def test_status_says_where_it_stands_and_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by a failure: exit status 1, the machine and why, and the words that would help; complete is 0."""
    stage = rolling(refusing=("n004",))
    run = shell(stage.simulation.store, monkeypatch)
    screen = run.run("rollout", "status", SET)
    assert screen.exit_code == 1
    first, *_, last = screen.stdout.splitlines()
    assert first.split(maxsplit=1) == [
        SET, "Paused: FailureThreshold  4 of 12 updated, 1 failed    revision 2 <- 1",
    ]  # fmt: skip
    assert (
        last
        == f"next: kubenode rollout resume {SET} | kubenode rollout undo {SET} | kubenode explain set {SET}"
    )
    told = run.said("rollout", "status", SET, code=1)
    assert (told["failures"], told["failed"][0]["machine"], told["failed"][0]["reason"]) == (1, "n004", "InstallFailed")  # fmt: skip
    run.said("rollout", "resume", SET)
    stage.simulation.rest(limit=24 * HOUR)
    told = run.said("rollout", "status", SET)
    assert (told["phase"], told["excused"], told["updated"], told["next"]) == ("Complete", 1, 11, [])


def test_status_of_a_spec_that_nobody_looked_at_is_could_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after an apply the old status says Complete, which would be a lie."""
    stage = staged()
    run = shell(stage.simulation.store, monkeypatch)
    stage.change()
    result = run.run("rollout", "status", SET)
    assert result.exit_code == 3
    assert "not looked at yet" in result.stdout
    assert "no controller has looked at generation" in result.stderr


def test_resume_writes_the_word_that_the_condition_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision and the number of failures that were seen; a dry run says the same and changes nothing."""
    stage = rolling(refusing=("n004",))
    run = shell(stage.simulation.store, monkeypatch)
    before = owner(stage)
    dry = run.said("rollout", "resume", SET, "--dry-run")
    assert owner(stage) == before
    done = run.said("rollout", "resume", SET)
    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    assert dry["changes"] == done["changes"]
    assert done["changes"][0]["did"] == "1 failure of revision 2 excused"
    excuse = owner(stage).spec.rollout.excuse
    assert excuse == m.Excuse(revision="2", failures=1)


def test_pause_holds_and_resume_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused before the change: nothing begins in a day. Then it goes to its end; a second pause is no change."""
    stage = staged()
    run = shell(stage.simulation.store, monkeypatch)
    assert run.said("rollout", "pause", SET)["changes"][0]["changed"]
    assert not run.said("rollout", "pause", SET)["changes"][0]["changed"]
    stage.simulation.change(m.MachineComponentSet, SET, {"spec": {"component": "node-exporter-1.9.0"}})
    stage.simulation.rest(limit=24 * HOUR)
    assert machines(stage, "node-exporter-1.9.0") == []
    assert run.said("rollout", "status", SET, code=1)["reason"] == "Paused"
    assert run.said("rollout", "resume", SET)["changes"][0]["did"] == "no longer paused"
    stage.simulation.rest(limit=24 * HOUR)
    assert len(machines(stage, "node-exporter-1.9.0")) == 12
    error = run.refused("rollout", "resume", SET)
    assert (error["code"], error["fix"]) == ("Unwished", f"kubenode rollout status {SET} says what it waits for")  # fmt: skip


def test_approve_lets_one_batch_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manual: each batch waits; approve by name of the one that waits, or ahead by --batch; without need it is refused."""
    stage = staged()
    run = shell(stage.simulation.store, monkeypatch)
    assert run.refused("rollout", "approve", SET)["message"].endswith("needs no approval")
    spoken(stage, approval="Manual")
    stage.simulation.change(m.MachineComponentSet, SET, {"spec": {"component": "node-exporter-1.9.0"}})
    stage.simulation.rest(limit=24 * HOUR)
    assert run.said("rollout", "status", SET, code=1)["next"][0] == f"kubenode rollout approve {SET}"
    assert run.refused("rollout", "resume", SET)["fix"] == f"kubenode rollout approve {SET}"
    run.said("rollout", "approve", SET)
    stage.simulation.rest(limit=24 * HOUR)
    assert len(machines(stage, "node-exporter-1.9.0")) == 6
    run.said("rollout", "approve", SET, "--batch", "3")
    assert not run.said("rollout", "approve", SET, "--batch", "2")["changes"][0]["changed"]
    stage.simulation.rest(limit=24 * HOUR)
    assert run.said("rollout", "status", SET)["phase"] == "Complete"


def test_skip_leaves_machines_alone_and_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second word joins the first of the same revision; what is no machine is refused, before anything is written."""
    stage = rolling(refusing=("n004",))
    run = shell(stage.simulation.store, monkeypatch)
    assert "there are: n001" in run.refused("rollout", "skip", SET, "n005", "no-such")["message"]
    assert owner(stage).spec.rollout.skip is None
    run.said("rollout", "skip", SET, "n005")
    run.said("rollout", "skip", SET, "n002", "n005")
    skip = owner(stage).spec.rollout.skip
    assert skip == m.Skip(revision="2", machines=("n005", "n002"))
    late = run.said("rollout", "skip", SET, "n004")["changes"][0]["next"]
    assert late.startswith("n004 began already and comes to its own end")
    run.said("rollout", "resume", SET)
    stage.simulation.rest(limit=24 * HOUR)
    assert machines(stage, "node-exporter-1.8.2") == ["n002", "n005"]


def test_undo_goes_back_to_what_was_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback brings every machine back; after a complete revision it is the one before; or a revision by number."""
    stage = rolling(refusing=("n004",))
    run = shell(stage.simulation.store, monkeypatch)
    change = run.said("rollout", "undo", SET)["changes"][0]
    assert change["did"].startswith("spec.component is node-exporter-1.8.2 (revision 1)")
    assert "a rollback" in change["next"]
    stage.simulation.rest(limit=24 * HOUR)
    assert len(machines(stage, "node-exporter-1.8.2")) == 12
    assert run.refused("rollout", "undo", SET, "--to-revision", "9")["fix"].startswith("known: 1 (node-exporter-1.8.2), 2 (")  # fmt: skip
    assert "as any other" in run.said("rollout", "undo", SET, "--to-revision", "2")["changes"][0]["next"]
    assert owner(stage).spec.component == "node-exporter-1.9.0"


def test_a_word_of_somebody_else_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between read and write another person pauses: nothing is written, and the error says to look again."""
    stage = rolling(refusing=("n004",))
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    plain = store.get

    async def overtaken(kind: m.Kind, name: str) -> m.Json:
        raw = await plain(kind, name)
        await store.patch(kind, name, MergePatch({"spec": {"rollout": {"paused": True}}}))
        return raw

    monkeypatch.setattr(store, "get", overtaken)
    error = run.refused("rollout", "resume", SET)
    assert error["code"] == "Overtaken"
    assert "look again" in error["message"]
    monkeypatch.undo()
    assert (owner(stage).spec.rollout.paused, owner(stage).spec.rollout.excuse) == (True, None)


def test_a_status_that_moves_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy controller writes the status all the time: words do not fail for that."""
    stage = rolling(refusing=("n004",))
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    plain = store.get

    async def busy(kind: m.Kind, name: str) -> m.Json:
        raw = await plain(kind, name)
        await store.patch(kind, name, MergePatch({"status": {"unavailable": 7}}), subresource="status")
        return raw

    monkeypatch.setattr(store, "get", busy)
    assert run.said("rollout", "resume", SET)["changes"][0]["changed"]


def test_watch_tells_each_state_and_ends_when_it_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object a line, the last alone is done; the exit status is of the end."""
    stage = staged(refusing=("n004",))
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    stage.change()

    async def later() -> None:
        await asyncio.sleep(0.05)
        stage.simulation.rest(limit=24 * HOUR)

    plain = store.watch

    async def watching(kind: m.Kind, **more: Any) -> Any:
        watch = await plain(kind, **more)
        tasks.append(asyncio.create_task(later()))
        return watch

    tasks: list[asyncio.Task[None]] = []
    monkeypatch.setattr(store, "watch", watching)
    result = run.run("rollout", "status", SET, "--watch", "--timeout", "60", "-o", "json")
    assert result.exit_code == 1, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["reason"] == "FailureThreshold"
    assert len(lines) > 3
    assert all(one != other for one, other in itertools.pairwise(lines))


def test_watch_tells_people_each_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status that moves without what is shown of it moves no screen."""
    stage = staged()
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    stage.change()
    plain = store.watch

    async def busy(kind: m.Kind, **more: Any) -> Any:
        watch = await plain(kind, **more)
        for count in (7, 8):
            await store.patch(kind, SET, MergePatch({"status": {"held": count}}), subresource="status")
        return watch

    monkeypatch.setattr(store, "watch", busy)
    result = run.run("rollout", "status", SET, "--watch", "--timeout", "1")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)


def test_watch_of_what_goes_on_gives_up_as_could_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody moves it: after the time limit, 3. One that is deleted meanwhile is 1."""
    stage = staged()
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    stage.change()
    result = run.run("rollout", "status", SET, "--watch", "--timeout", "1")
    assert (result.exit_code, "after 1 s; it goes on" in result.stderr) == (3, True)
    plain = store.watch

    async def deleted(kind: m.Kind, **more: Any) -> Any:
        watch = await plain(kind, **more)
        await store.delete(kind, SET)
        return watch

    monkeypatch.setattr(store, "watch", deleted)
    result = run.run("rollout", "status", SET, "--watch")
    assert (result.exit_code, "was deleted" in result.stderr) == (1, True)


def frozen(stage: Any) -> list[tuple[str, str, str]]:
    """Give what is frozen, by policy."""
    return [
        (policy.metadata.name, one.scope.value, one.name)
        for policy in stage.all(m.RiskPolicy)
        for one in policy.spec.freeze
    ]


def test_freeze_stops_a_rollout_and_unfreeze_lets_it_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins in the zone in a day, all else goes on; lifted, it comes to its end. Both are repeatable."""
    stage = staged()
    run = shell(stage.simulation.store, monkeypatch)
    done = run.said("freeze", "--scope", "zone=b", "--reason", "power")["changes"][0]
    assert done["did"] == "zone b frozen until a person ends it"
    run.said("freeze", "--scope", "zone=b", "--for", "48h", "--reason", "power, longer")
    assert frozen(stage) == [(POLICY, "zone", "b")]
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    zones = {one.metadata.name: one.metadata.labels["topology.kubernetes.io/zone"] for one in stage.all(m.Machine)}  # fmt: skip
    assert {zones[name] for name in machines(stage, "node-exporter-1.9.0")} <= {"a", "c"}
    assert "power, longer" in run.run("explain", "node", "n004").stdout
    run.said("unfreeze", "--scope", "zone=b")
    assert frozen(stage) == []
    stage.simulation.rest(limit=24 * HOUR)
    assert len(machines(stage, "node-exporter-1.9.0")) == 12
    error = run.refused("unfreeze", "--scope", "zone=b")
    assert (error["message"], error["fix"]) == ("scope zone=b: is not frozen", "frozen is: nothing")


def test_unfreeze_takes_it_out_of_every_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also out of one that a person wrote; what is frozen elsewhere stays, and unknown scopes are refused."""
    stage = staged()
    freeze = [{"scope": "cluster", "reason": "stop"}, {"scope": "node", "name": "n1", "reason": "vendor"}]
    stage.simulation.change(m.RiskPolicy, "default", {"spec": {"freeze": freeze}})
    run = shell(stage.simulation.store, monkeypatch)
    run.said("freeze", "--scope", "cluster", "--reason", "stop")
    assert [change["name"] for change in run.said("unfreeze", "--scope", "cluster")["changes"]] == ["default", POLICY]  # fmt: skip
    assert frozen(stage) == [("default", "node", "n1")]
    assert run.refused("unfreeze", "--scope", "cluster")["fix"] == "frozen is: node=n1"
    for scope in ("zone", "cluster=a", "rack=1", "set=", ""):
        error = run.refused("freeze", "--scope", scope, "--reason", "x")
        assert "is no scope" in error["message"], scope


def test_the_policy_of_the_switch_limits_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lax where defaults of a policy would narrow: a rollout with it goes exactly as without."""
    plain, switched = staged(), staged()
    run = shell(switched.simulation.store, monkeypatch)
    run.said("freeze", "--scope", "node=elsewhere", "--reason", "none of ours")
    traces = []
    for stage in (plain, switched):
        stage.change()
        stage.simulation.rest(limit=24 * HOUR)
        traces.append([(one.number, one.size, one.updated) for one in owner(stage).status.batches])
    assert traces[0] == traces[1]
    spec = switched.read(m.RiskPolicy, POLICY).spec
    assert (spec.limits, spec.success_gate) == ((), None)
    assert spec.zone_breaker.min_not_ready == 10_000
    assert Policy(risk=(switched.read(m.RiskPolicy, POLICY),)).limits[-1].metadata.name == "built-in"


def test_history_lists_every_act_with_its_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The episode with its time and verdict, by op-id of the ledger; the rollout by the op-ids that were granted."""
    stage = staged("hung", machines=6)
    granted: dict[str, str] = {}
    stage.simulation.watch(lambda: granted.update(_holds(stage)))
    hung(stage)
    run = shell(stage.simulation.store, monkeypatch)
    acts = run.said("history")["acts"]
    assert {act["op_id"]: act["machine"] for act in acts if act["cause"] == "Remedy"} == granted
    first, act = [act for act in acts if act["cause"] == "Remedy"]
    assert (first["action"], first["state"], first["verdict"]) == (
        "restart-unit",
        "Failed",
        "not clear and Ready within 60 s",
    )
    assert (act["machine"], act["action"], act["state"], act["permit_open"]) == ("n003", "reboot", "Succeeded", False)  # fmt: skip
    assert "KernelDeadlock" in act["why"]
    assert any(limit.startswith("zone ") for limit in act["limits"])
    assert run.said("machine", "history", "n003")["acts"] == [one for one in acts if one["machine"] == "n003"]
    assert run.said("machine", "history", "no-such")["acts"] == []
    table = run.run("machine", "history", "n003").stdout.splitlines()
    assert table[0].split() == ["SINCE", "MACHINE", "CAUSE", "ACTION", "STATE", "PERMIT", "OP-ID", "COUNTS", "IN", "WHY"]  # fmt: skip
    assert act["op_id"] in table[2]
    # The story's clock shows January: within the last hour there is nothing, within a year's hours all.
    assert run.said("machine", "history", "n003", "--since", "1h")["acts"] == []
    assert run.run("history", "--since", "1 day").exit_code == 2


def _holds(stage: Any) -> dict[str, str]:
    found = stage.all(m.RiskLedger)
    return {op_id: hold.machine for one in found for hold in one.status.holds for op_id in hold.op_ids}


def test_history_of_a_rollout_names_the_granted_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the ledger ever granted, under the same op-ids; a failed one says why."""
    stage = staged(refusing=("n004",))
    granted: dict[str, str] = {}
    stage.simulation.watch(lambda: granted.update(_holds(stage)))
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    run = shell(stage.simulation.store, monkeypatch)
    acts = run.said("history")["acts"]
    assert {act["op_id"]: act["machine"] for act in acts} == granted
    assert {act["machine"]: act["state"] for act in acts}["n004"] == "Failed"
    assert f"set {SET}: 1 unavailable (maxUnavailable)" in acts[0]["limits"]
    assert run.said("history", "--since", "1h")["acts"] == []


def test_history_lists_every_permit_that_the_ledger_ever_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upgraded, brought back, one machine deleted and its instance terminated: with `--since` and without; as they were bound."""
    base = Cast.read([examples() / "upgrade.yaml"])
    (cloud,) = Cast.read([examples() / "machineset.yaml"]).of(m.MachineSet)
    pool = attrs.evolve(cloud, spec=attrs.evolve(cloud.spec, replicas=2))
    cast = attrs.evolve(base, objects=(*base.objects, pool)).with_machines(6)
    stage = Stage("test", cast, seed=0, tell=lambda _: None)
    shown: dict[str, m.Hold] = {}
    stage.simulation.watch(lambda: shown.update(_rows(stage)))
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    run = shell(stage.simulation.store, monkeypatch)
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    first = set(shown)
    assert len(first) == len(stage.all(m.Machine)) == 8
    tight = [{"scope": "cluster", "max": 2}]
    stage.simulation.change(m.RiskPolicy, "default", {"spec": {"limits": tight}})
    run.said("rollout", "undo", SET)
    stage.simulation.rest(limit=24 * HOUR)
    stage.simulation.change(m.MachineSet, "general", {"spec": {"replicas": 1}})
    stage.simulation.rest(limit=24 * HOUR)
    assert len(stage.all(m.Machine)) == 7
    assert sum(stage.simulation.cloud.terminated.values()) == 1
    acts = {act["op_id"]: act for act in run.said("history")["acts"]}
    assert acts.keys() == shown.keys()
    assert {word.partition("-")[0] for word in acts} == {"rollout", "delete"}
    assert len(acts) == 8 + 8 + 1
    (left,) = (act for word, act in acts.items() if word.startswith("delete-"))
    assert (left["action"], left["state"], left["cause"], left["why"]) == ("deletion", "Ended", "Rollout", "deletion of the machine")  # fmt: skip
    for word, act in acts.items():
        assert (act["machine"], act["permit_open"]) == (shown[word].machine, False)
        assert act["limits"] == shown[word].limits.split("; ")
        assert (act["limits"][0] == "cluster: 40 in flight (default)") is (word in first)
        assert (act["limits"][0] == "cluster: 2 in flight (default)") is (word not in first)
        assert act["began"] < act["ended"]
    monkeypatch.setattr("kubenode.runtime.cli.history.SystemClock", lambda: stage.simulation.time)
    told = run.said("history", "--since", "1000h")
    assert ({act["op_id"] for act in told["acts"]}, told["without_time"], told["dropped"]) == (
        acts.keys(),
        0,
        0,
    )
    age = stage.simulation.time.now().wall - datetime.fromisoformat(left["since"])
    assert run.said("history", "--since", f"{int(age.total_seconds()) + 1}s")["acts"] == [left]
    assert {act["op_id"] for act in run.said("machine", "history", left["machine"])["acts"]} >= {
        left["op_id"]
    }
    table = run.run("history").stdout
    assert all(word in table for word in acts)
    assert "limits when they were granted:\n  cluster: " in table


def test_history_says_when_older_permits_are_no_longer_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many, beside what other objects still tell of them."""
    monkeypatch.setattr("kubenode.core.risk.record.ACT_LIMIT", 5)
    stage = rolling()
    run = shell(stage.simulation.store, monkeypatch)
    told = run.said("history")
    assert (len(told["acts"]), told["dropped"]) == (12, 7)
    assert sum(bool(act["limits"]) for act in told["acts"]) == 5
    assert "note: 7 older permits of the cluster are no longer kept" in run.run("history").stderr
    monkeypatch.setattr("kubenode.runtime.cli.history.SystemClock", lambda: stage.simulation.time)
    told = run.said("history", "--since", "1000h")
    assert (len(told["acts"]), told["without_time"]) == (5, 7)


def _rows(stage: Any) -> dict[str, m.Hold]:
    return {
        op_id: hold for one in stage.all(m.RiskLedger) for hold in one.status.holds for op_id in hold.op_ids
    }


def test_history_reads_the_one_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another name, as an older server may hold, is nobody's: its holds are no permits."""
    stage = staged("hung", machines=6)
    hung(stage)
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    said = run.said("history")
    plain = store.find
    hold = m.Hold(op_id="remedy-x", machine="n001", machine_uid="u", cause=m.Cause.REMEDY, scopes=("cluster",), since=1)  # fmt: skip
    copy = m.RiskLedger(metadata=m.ObjectMeta(name="a-copy"), status=m.RiskLedgerStatus(holds=(hold,)))

    async def two(kind: m.Kind, **more: Any) -> Any:
        found = await plain(kind, **more)
        return attrs.evolve(found, items=(wire.dump(copy), *found.items)) if kind is m.RiskLedger.KIND else found  # fmt: skip

    monkeypatch.setattr(store, "find", two)
    assert run.said("history") == said


def test_machine_get_is_the_object_or_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the wire by name, a List without; the table says what is wrong."""
    stage = rolling(refusing=("n004",))
    run = shell(stage.simulation.store, monkeypatch)
    assert run.said("machine", "get", "n004") == now_or_never(
        stage.simulation.store.get(m.Machine.KIND, "n004")
    )
    assert [one["metadata"]["name"] for one in run.said("machine", "get")["items"]][:2] == ["n001", "n002"]
    rows = {line.split()[0]: line for line in run.run("machine", "get").stdout.splitlines()}
    assert rows["n004"].split()[1:3] == ["Running", "False"]
    assert "ComponentFailed" in rows["n004"]
    error = run.refused("machine", "get", "no-such")
    assert error["fix"].startswith("there are: n001")


def test_explain_decides_the_cluster_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words as of a run; by machine or by Node; nothing is written; what is nowhere is could not tell."""
    stage = rolling(refusing=("n004",))
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    before = now_or_never(store.find(m.MachineComponentSet.KIND)).resource_version
    first = run.said("explain", "set", SET)["decisions"][0]
    assert (first["verdict"], first["code"], first["observed"], first["limit"]) == ("defer", "FailureThreshold", 1, 0)  # fmt: skip
    assert first["at_seconds"] is None
    told = run.said("explain", "node", "node-n004")["decisions"]
    assert told == run.said("machine", "explain", "n004")["decisions"]
    assert now_or_never(store.find(m.MachineComponentSet.KIND)).resource_version == before
    assert run.refused("explain", "node", "no-such", code=3)["message"] == "nothing was decided about node no-such in this cluster"  # fmt: skip
    assert run.run("explain", "node", "n004", "--at", "+1:00").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unreachable("no answer"), 3), (Forbidden("machines is forbidden"), 1), (Conflict("moved"), 1)],
)
def test_a_server_that_does_not_answer_is_told_by_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """3 when it cannot be told, and the error is one document."""
    stage = staged(machines=2)
    run = shell(stage.simulation.store, monkeypatch)

    async def failing(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr(stage.simulation.store, "get", failing)
    assert run.refused("rollout", "status", SET, code=code)["code"] == type(error).__name__


def test_what_the_server_lacks_or_does_not_grant_has_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right, our kinds, and a CRD that would drop what is said."""
    stage = staged(machines=2)
    store = stage.simulation.store
    run = shell(store, monkeypatch)
    error: Exception = Forbidden("machines is forbidden")

    async def failing(*_: object, **__: object) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(store, "find", failing)
        assert run.refused("machine", "get")["fix"].startswith("have it granted to you")
        error = ObjectNotFound("HTTP 404: 404 page not found", status={"kind": "Status", "code": 404})
        told = run.refused("machine", "get")
        assert (told["code"], told["fix"]) == ("NotInstalled", "kubenode manifests | kubectl apply -f -")
    monkeypatch.setattr(store, "create", failing)
    error = Refused('RiskPolicy in version "v1alpha1" cannot be handled: strict decoding error: unknown field "spec.freeze"')  # fmt: skip
    told = run.refused("freeze", "--scope", "cluster", "--reason", "x")
    assert (told["code"], told["where"]) == ("NotInstalled", "crd riskpolicies.kubenode.dev")
    assert "it does not know spec.freeze, so nothing was written" in told["message"]
    error = Refused("spec.freeze: too many")
    assert run.refused("freeze", "--scope", "cluster", "--reason", "x")["code"] == "Refused"


def test_names_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cluster; when it cannot be asked there are none, and no error."""

    class Ctx:
        params = {"kubeconfig": None, "context": "prod"}

    stage = staged(machines=2)
    run: Shell = shell(stage.simulation.store, monkeypatch)
    assert completes(m.Machine)(Ctx()) == ["n001", "n002"]  # type: ignore[arg-type]
    assert run.run("rollout", "status", SET).exit_code == 0

    def failing(*_: object) -> Any:
        raise Unreachable("no answer")

    monkeypatch.setattr(Cluster, "ask", failing)
    assert completes(m.Machine)(Ctx()) == []  # type: ignore[arg-type]


def test_a_mass_delete_is_acknowledged_by_unfreeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number that stands in the status, and no more than that."""
    stage = staged(machines=2)
    store = stage.simulation.store
    labels = {"pool": "a"}
    spec = m.MachineSpec(infrastructure=m.Infrastructure(provider="memory"))
    pool = m.MachineSet(
        metadata=m.ObjectMeta(name="pool"),
        spec=m.MachineSetSpec(replicas=0, selector=m.Selector(match_labels=labels), template=m.MachineTemplate(labels=labels, spec=spec)),
    )  # fmt: skip
    stage.simulation.create(pool)
    now_or_never(store.patch(m.MachineSet.KIND, "pool", MergePatch({"status": {"lost": 7}}), subresource="status"))  # fmt: skip
    run = shell(store, monkeypatch)
    assert run.said("unfreeze", "--scope", "set=pool")["changes"][0]["did"].startswith("7 lost machines")
    assert stage.read(m.MachineSet, "pool").spec.acknowledged_losses == 7
    run.refused("unfreeze", "--scope", "set=pool")


def test_words_are_tested_operations() -> None:
    """Every write is a JSON patch that tests the uid and the value it replaces: the law that the others rely on."""
    from kubenode.core.wish import rollout as wish

    stage = rolling(refusing=("n004",))
    raw = now_or_never(stage.simulation.store.get(m.MachineComponentSet.KIND, SET))
    for each in (wish.pause(raw), wish.resume(raw), wish.skip(raw, ["n1"]), wish.undo(raw)):
        ops = [(one["op"], one["path"]) for one in JsonPatch(each.operations).operations]
        assert ops[0] == ("test", "/metadata/uid")
        assert ops[1][0] == "test"
        assert ops[2:] == [("add", ops[1][1])]
