"""Bad input, from the file or the store to what is done about it: named, with the fix, and nothing unsafe happens."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

from kubenode import InvalidObjectError, load
from kubenode.core import model as m
from kubenode.core.errors import Refused
from kubenode.runtime.cli.app import app
from kubenode.runtime.embed import EmbeddedStore
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SICK = "n003"


def opened(story: str, machines: int, *changed: m.Object) -> Stage:
    """Play an example until all is at rest, with some of its objects changed or some more."""
    cast = Cast.read([examples() / f"{story}.yaml"])
    named = {(one.KIND, one.metadata.name): one for one in (*cast.objects, *changed)}
    stage = Stage(
        "bad input",
        attrs.evolve(cast, objects=tuple(named.values())).with_machines(machines),
        seed=0,
        tell=lambda _: None,
    )
    stage.open()
    stage.simulation.rest(limit=HOUR)
    return stage


def untouched(stage: Stage) -> bool:
    """Tell whether nothing was done to the sick host."""
    host = stage.simulation.hosts[SICK]
    return host.hung and host.boots == 1 and not host.journal


def condition(obj: Any, type_: str) -> tuple[str, str, str]:
    """Give a condition as (status, reason, message)."""
    (found,) = [one for one in obj.status.conditions if one.type == type_]
    return found.status.value, found.reason, found.message


def validated(path: Path) -> str:
    """Give what `validate` warns of in a file that is right, however its lines are broken."""
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0, result.output
    return " ".join(result.stderr.split())


# Two sets that select one machine's component.


def test_two_sets_of_one_component_both_say_so_and_its_entries_are_left_alone() -> None:
    """Neither gives way and neither takes over; with the overlap both conditions go."""
    stage = opened("upgrade", 4)
    (first,) = stage.all(m.MachineComponentSet)
    before = [one.spec.components for one in stage.all(m.Machine)]
    assert all(entries["node-exporter"].set == "node-exporter" for entries in before)
    other = m.MachineComponentSet(
        metadata=m.ObjectMeta(name="other"), spec=attrs.evolve(first.spec, component="node-exporter-1.9.0")
    )
    stage.simulation.create(other)
    stage.simulation.rest(limit=HOUR)
    assert [one.spec.components for one in stage.all(m.Machine)] == before
    entry = "spec.components.node-exporter of n001, n002, n003 and 1 more"
    assert condition(stage.read(m.MachineComponentSet, "node-exporter"), "Conflict") == (
        "True", "OtherSet", f"{entry} is wanted by other too; rename one set's spec.name, or make the selectors disjoint"
    )  # fmt: skip
    assert condition(stage.read(m.MachineComponentSet, "other"), "Conflict") == (
        "True", "OtherSet", f"{entry} names another set and is left alone"
    )  # fmt: skip
    stage.simulation.change(m.MachineComponentSet, "other", {"spec": {"selector": {"matchLabels": {"no": "machine"}}}})  # fmt: skip
    stage.simulation.rest(limit=HOUR)
    assert [one.spec.components for one in stage.all(m.Machine)] == before
    for one in stage.all(m.MachineComponentSet):
        assert [found.type for found in one.status.conditions] == ["Progressing"]


def test_a_set_that_is_deleted_is_no_rival_any_more() -> None:
    """What it had wanted is wanted by nobody else."""
    stage = opened("upgrade", 2)
    (first,) = stage.all(m.MachineComponentSet)
    stage.simulation.create(m.MachineComponentSet(metadata=m.ObjectMeta(name="other"), spec=first.spec))
    stage.simulation.rest(limit=HOUR)
    assert condition(stage.read(m.MachineComponentSet, "node-exporter"), "Conflict")[0] == "True"
    stage.simulation.change(m.MachineComponentSet, "other", {"metadata": {"finalizers": None}})
    now_or_never(stage.simulation.store.delete(m.MachineComponentSet.KIND, "other"))
    stage.simulation.rest(limit=HOUR)
    (left,) = stage.all(m.MachineComponentSet)
    assert [found.type for found in left.status.conditions] == ["Progressing"]


RIVALS = """\
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {{name: a}}
spec:
  component: c1
  name: k
  selector: {{matchLabels: {first}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {{name: b}}
spec:
  component: c2
  name: {name}
  selector: {{matchLabels: {second}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {{name: m, labels: {{x: y, z: "1"}}}}
spec: {{host: {{address: 1.2.3.4}}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineSet
metadata: {{name: w}}
spec:
  replicas: 1
  selector: {{matchLabels: {{pool: w}}}}
  template: {{labels: {{pool: w, tier: t}}, spec: {{infrastructure: {{provider: memory}}}}}}
"""


@pytest.mark.parametrize(
    ("name", "first", "second", "common"),
    [
        ("k", "{x: y}", "{x: y}", "Machine m"),
        ("k", "{x: y}", '{z: "1"}', "Machine m"),
        ("k", "{pool: w}", "{tier: t}", "the machines of MachineSet w"),
        ("k", '{"no": body}', '{"no": body}', "every machine that b selects"),
        ("k", '{"no": body}', '{"no": body, or: some}', "every machine that b selects"),
        ("k", '{"no": body, or: some}', '{"no": body}', "every machine that a selects"),
        ("k", "{x: y}", "{x: other}", ""),
        ("k", "{x: y}", "{tier: t}", ""),
        ("other", "{x: y}", "{x: y}", ""),
    ],
)  # fmt: skip
def test_sets_that_meet_on_a_machine_are_named_before_they_are_applied(
    name: str, first: str, second: str, common: str, tmp_path: Path
) -> None:
    """`validate` says which, where they meet and what to write instead; the order of labels and files says nothing."""
    path = tmp_path / "sets.yaml"
    path.write_text(RIVALS.format(name=name, first=first, second=second))
    said = validated(path)
    told = (
        f"14: spec.name: MachineComponentSet a has this name too, and both select {common}: "
        "the set that writes the entry first keeps it, and the other says Conflict "
        "fix: rename one set's spec.name, or make the selectors disjoint"
    )
    assert (told in said) is bool(common)
    assert ("Conflict" in said) is bool(common)


def test_a_set_that_the_files_have_twice_is_no_rival_of_itself(tmp_path: Path) -> None:
    """Of two of one name the last counts, as when the files are applied."""
    path = tmp_path / "sets.yaml"
    path.write_text(
        RIVALS.format(name="k", first="{x: y}", second="{x: y}").replace("{name: b}", "{name: a}")
    )
    assert "Conflict" not in validated(path)


# A policy that could never act, or that allows everything.


@pytest.mark.parametrize(
    ("spec", "reason", "what", "fix"),
    [
        ("{limits: [{scope: cluster, max: 0}]}", "NeverActs", "0 of scope cluster: no permit is ever given there", "write a number from 1"),
        ("{limits: [{scope: node, window: 24h, max: 0}]}", "NeverActs", "no remedy is ever tried", "write a number from 1"),
        ("{limits: [{scope: zone, max: 100%}]}", "AllowsEverything", "100% at once is everything", "write a limit that binds"),
        ("{}", "AllowsEverything", "says nothing, so it limits nothing", "write a limit that binds"),
    ],
)  # fmt: skip
def test_a_doubtful_policy_is_named_before_it_is_applied_and_after(
    spec: str, reason: str, what: str, fix: str, tmp_path: Path
) -> None:
    """By `validate` with file, line and fix; by its condition; and it widens nothing: the built-in limits hold."""
    path = tmp_path / "doubtful.yaml"
    path.write_text(
        f"apiVersion: kubenode.dev/v1alpha1\nkind: RiskPolicy\nmetadata: {{name: doubtful}}\nspec: {spec}\n"
    )
    said = validated(path)
    assert "doubtful.yaml:4:" in said.replace(" ", "")
    assert what in said
    assert fix in said
    (policy,) = load(path)
    stage = opened("hung", 6)
    now_or_never(stage.simulation.store.delete(m.RiskPolicy.KIND, "default"))
    stage.simulation.create(policy)
    stage.simulation.rest(limit=HOUR)
    status, said_by, message = condition(stage.read(m.RiskPolicy, "doubtful"), "Effective")
    assert (status, said_by) == ("False", reason)
    assert what in message
    assert fix in message
    for name in ("n001", "n002", SICK, "n004"):
        stage.simulation.hosts[name].hang(kernel_lines())
    at_once: list[int] = []
    stage.simulation.watch(lambda: at_once.append(len(stage.read(m.RiskLedger, "cluster").status.holds)))
    stage.simulation.rest(limit=2 * HOUR)
    assert max(at_once) <= (reason == "AllowsEverything")


# NaN, huge, negative and non-UTF-8 values.


def remedier(parameters: Any) -> m.Json:
    """Write a remedier whose second rung has parameters."""
    ladder = [{"action": "reboot"}, {"action": "restart-unit", "parameters": parameters}]
    return {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "NodeRemedier", "metadata": {"name": "r"},
        "spec": {"condition": {"type": "X"}, "ladder": ladder},
    }  # fmt: skip


def policy(**more: Any) -> m.Json:
    """Write a policy."""
    return {"apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskPolicy", "metadata": {"name": "p"}, "spec": {}, **more}  # fmt: skip


HUGE, ENDLESS = 10**400, 10**5000
STRANGE: dict[str, tuple[m.Json, str, str]] = {
    "nan in parameters": (remedier({"a": [{"b": float("nan")}]}), "spec.ladder[1].parameters.a[0].b", "nan is no number of JSON"),
    "inf in parameters": (remedier({"a": float("-inf")}), "spec.ladder[1].parameters.a", "-inf is no number of JSON"),
    "huge in parameters": (remedier({"a": HUGE}), "spec.ladder[1].parameters.a", "does not fit 64 bits"),
    "hugely negative in parameters": (remedier({"a": -(2**63) - 1}), "spec.ladder[1].parameters.a", "does not fit 64 bits"),
    "text in parameters": (remedier({"a": "\udcff"}), "spec.ladder[1].parameters.a", r"'\udcff' is not UTF-8"),
    "key in parameters": (remedier({"\udcff": 1}), r"spec.ladder[1].parameters.\udcff", "is not UTF-8"),
    "bytes in parameters": (remedier({"a": b"x"}), "spec.ladder[1].parameters.a", "is of type bytes, which is no JSON"),
    "number for a key": (remedier({7: "x"}), "spec.ladder[1].parameters", "has the number 7 for a key"),
    "nan for a limit": (policy(spec={"limits": [{"scope": "zone", "max": float("nan")}]}), "spec.limits[0].max", "nan is no number of JSON"),
    "negative limit": (policy(spec={"limits": [{"scope": "zone", "max": -1}]}), "spec.limits[0].max", "negative"),
    "endless limit": (policy(spec={"limits": [{"scope": "zone", "max": ENDLESS}]}), "spec.limits[0].max", "does not fit 64 bits"),
    "endless percentage": (policy(spec={"limits": [{"scope": "zone", "max": "1" * 5000 + "%"}]}), "spec.limits[0].max", "is not a percentage"),
    "endless window": (policy(spec={"limits": [{"scope": "zone", "max": 1, "window": "9" * 5000 + "h"}]}), "spec.limits[0].window", "is more than a year"),
    "negative window": (policy(spec={"limits": [{"scope": "zone", "max": 1, "window": "-1h"}]}), "spec.limits[0].window", "is not a duration"),
    "text of a freeze": (policy(spec={"freeze": [{"scope": "cluster", "reason": "\udcff"}]}), "spec.freeze[0].reason", "is not UTF-8"),
    "annotation": (policy(metadata={"name": "p", "annotations": {"a": "\udcff"}}), "metadata.annotations.a", "is not UTF-8"),
    "name": (policy(metadata={"name": "\udcff"}), "metadata.name", "is not UTF-8"),
    "generation": (policy(metadata={"name": "p", "generation": ENDLESS}), "metadata.generation", "does not fit 64 bits"),
    "kind": ({**policy(), "kind": ENDLESS}, "kind", "does not fit 64 bits"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_value_that_no_server_takes_is_named_by_its_place(name: str) -> None:
    """Wherever it stands, in a few words, and with what to write instead."""
    raw, where, says = STRANGE[name]
    with pytest.raises(InvalidObjectError) as caught:
        load(raw)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert says in problem.what
    assert problem.fix
    assert len(problem.what) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), HUGE, -HUGE])
def test_what_is_sent_to_the_store_all_the_same_is_refused(value: Any) -> None:
    """Nothing is stored of which a server could not have been told."""
    store = EmbeddedStore(cel=False)
    with pytest.raises((ValueError, Refused)):
        now_or_never(store.create(m.NodeRemedier.KIND, remedier({"a": value})))
    assert store.objects(m.NodeRemedier) == ()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (b"max: .nan", 5, "has no meaning"), (b"max: -.inf", 5, "has no meaning"), (b"max: -3", 5, "negative"),
        (b"max: 1" + b"0" * 5000, 5, ""), (b"max: \xff\xfe", 5, "not UTF-8"), (b"max: 1e999", 5, ""),
    ],
)  # fmt: skip
def test_in_a_file_it_has_its_line_too(text: bytes, line: int, says: str, tmp_path: Path) -> None:
    """`validate` says no, with file, line and what to do."""
    path = tmp_path / "p.yaml"
    head = b"apiVersion: kubenode.dev/v1alpha1\nkind: RiskPolicy\nmetadata: {name: p}\nspec: {limits: [{scope: zone,\n"
    path.write_bytes(head + text + b"}]}\n")
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 1, result.output
    said = "".join(result.stderr.split())
    assert f"p.yaml:{line}" in said
    assert says.replace(" ", "") in said
    assert "fix" in said or "write" in said


# A ledger that is corrupt, too large, missing, or of a newer format.

WIDE = m.RiskPolicy(
    metadata=m.ObjectMeta(name="default"),
    spec=m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(2000)),), repair_width=m.RepairWidth(first=2000)),
)  # fmt: skip
SHUT = m.RiskPolicy(
    metadata=m.ObjectMeta(name="shut"),
    spec=m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(0)),)),
)
ROW = {
    "opID": "o1",
    "machine": "x1",
    "machineUID": "u1",
    "cause": "Remedy",
    "scopes": ["cluster"],
    "since": 1,
}
MANY = [
    {**ROW, "opID": f"o{number}", "machine": f"x{number}", "machineUID": f"u{number}", "scopes": [f"set={letter * 250}" for letter in "abcd"]}
    for number in range(990)
]  # fmt: skip
REBUILT = "delete the ledger: it is rebuilt"
FORGED: dict[str, tuple[Any, str, str]] = {
    "one machine twice": ({"holds": [ROW, {**ROW, "opID": "o2"}]}, "LedgerSpoilt", "status.holds[1] has the machine of status.holds[0], x1"),
    "a grant of the future": ({"holds": [{**ROW, "since": 2**61}]}, "LedgerSpoilt", "status.holds[0].since is later than"),
    "a negative grant": ({"holds": [{**ROW, "since": -1}]}, "LedgerSpoilt", "status.holds[0].since is negative"),
    "a negative checkpoint": ({"checkpoint": -5}, "LedgerSpoilt", "status.checkpoint is negative"),
    "a huge checkpoint": ({"checkpoint": 2**70}, "NewerVersion", "(status.checkpoint)"),
    "a row without its opID": ({"holds": [{key: ROW[key] for key in ROW if key != "opID"}]}, "NewerVersion", "(status.holds[0].opID)"),
    "text for rows": ({"holds": "none"}, "NewerVersion", "(status.holds)"),
    "text for all": ("none", "NewerVersion", "(status)"),
    "a newer format": ({"epochs": {"a": 1}}, "NewerVersion", "let the newer kubenode run"),
    "a counter of a newer format": ({"closed": {"cluster": "v2/1,2"}}, "CountUnreadable", "take 'cluster' out of status.closed"),
    "too large": ({"holds": MANY}, "LedgerFull", "characters of 1000000"),
    "another's": ({"ledgerUID": "of-a-backup"}, "HistoryLost", "the ledger was lost"),
    "none of its own": ({"checkpoint": 0}, "HistoryLost", "the ledger was lost"),
}  # fmt: skip


def asking() -> tuple[Stage, list[tuple[str, str]]]:
    """Give a stage on which one remedy waits for its permit, by a limit of zero; and what is said of permits from now on."""
    windowed = attrs.evolve(
        WIDE.spec,
        limits=(*WIDE.spec.limits, m.Limit(scope=m.Scope.CLUSTER, window=HOUR, max=m.IntOrPercent(500))),
    )
    stage = opened("hung", 6, attrs.evolve(WIDE, spec=windowed), SHUT)
    simulation = stage.simulation
    simulation.hosts[SICK].hang(kernel_lines())
    assert simulation.run_until(
        lambda: any(job.status.attempts for job in stage.all(m.RemedyOperationJob)), limit=HOUR
    )
    said: list[tuple[str, str]] = []
    simulation.listen(
        lambda decided: said.extend((note.code, note.text) for note in decided.decision.notes)
        if decided.key.controller == "risk" else None
    )  # fmt: skip
    return stage, said


def let_go(stage: Stage) -> None:
    """Take the limit of zero away."""
    now_or_never(stage.simulation.store.delete(m.RiskPolicy.KIND, "shut"))
    stage.simulation.run_until(lambda: False, limit=timedelta(seconds=20))


def forge(stage: Stage, status: Any) -> None:
    """Write into the ledger what no schema of this version lets through."""
    table = stage.simulation.store._tables[m.RiskLedger.KIND.group, m.RiskLedger.KIND.plural]
    table.schema = table.status_schema = None
    body = MergePatch({"status": status})
    now_or_never(stage.simulation.store.patch(m.RiskLedger.KIND, "cluster", body, subresource="status"))


def test_with_a_sound_ledger_the_remedy_is_done() -> None:
    """Nothing else holds it up: what the tests below see is the ledger's doing."""
    stage, said = asking()
    let_go(stage)
    assert [hold.machine for hold in stage.read(m.RiskLedger, "cluster").status.holds] == [SICK]
    assert not untouched(stage)
    assert said == []


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_ledger_grants_nothing_and_is_named_with_the_fix(what: str) -> None:
    """Nothing is done to the host; the reason and where it is wrong are told to whoever waits."""
    status, code, says = FORGED[what]
    stage, said = asking()
    forge(stage, status)
    let_go(stage)
    assert untouched(stage)
    (job,) = stage.all(m.RemedyOperationJob)
    assert [attempt.state for attempt in job.status.attempts] == [m.AttemptState.WAITING]
    assert {found for found, _ in said} == {code}
    assert any(says in text for _, text in said)
    if code in {"LedgerSpoilt", "NewerVersion", "CountUnreadable"}:
        assert all(REBUILT in text for _, text in said)


@pytest.mark.parametrize(
    "what", ["one machine twice", "a newer format", "text for all", "a counter of a newer format"]
)
def test_the_fix_that_is_told_mends_it(what: str) -> None:
    """Deleted, the ledger is rebuilt; for a day windows count as full, and then the machine is healed."""
    stage, said = asking()
    forge(stage, FORGED[what][0])
    let_go(stage)
    now_or_never(stage.simulation.store.delete(m.RiskLedger.KIND, "cluster"))
    said.clear()
    stage.simulation.run_until(lambda: False, limit=HOUR)
    assert untouched(stage)
    assert {code for code, _ in said} <= {"LedgerMissing", "HistoryLost"}
    assert said
    stage.simulation.rest(limit=2 * DAY)
    assert not stage.simulation.hosts[SICK].hung
    assert [job.status.phase for job in stage.all(m.RemedyOperationJob)] == ["Succeeded"]


def test_a_ledger_that_is_missing_and_cannot_be_made_grants_nothing() -> None:
    """As without the right to create it: said, tried again, and nothing is done meanwhile."""
    stage, said = asking()
    store = stage.simulation.store
    create = store.create

    async def refuse(kind: m.Kind, obj: m.Json, **more: Any) -> m.Json:
        if kind is m.RiskLedger.KIND:
            raise Refused("riskledgers is forbidden", status={"code": 403, "reason": "Forbidden"})
        return await create(kind, obj, **more)

    store.create = refuse  # type: ignore[method-assign]
    now_or_never(store.delete(m.RiskLedger.KIND, "cluster"))
    let_go(stage)
    assert untouched(stage)
    assert ("LedgerMissing", "there is no RiskLedger; it is made, then permits are given") in said


@pytest.mark.parametrize(
    "status", [{"checkpoint": -5}, {"checkpoint": "soon"}, {"holds": [{**ROW, "since": -1}]}, {"holds": [{}]}]
)
def test_the_server_refuses_most_of_it_already(status: m.Json) -> None:
    """By its path; what is above came past an older schema, or around it."""
    stage, _ = asking()
    path = "status." + next(iter(status))
    with pytest.raises(Refused) as caught:
        now_or_never(
            stage.simulation.store.patch(
                m.RiskLedger.KIND, "cluster", MergePatch({"status": status}), subresource="status"
            )
        )
    assert path in str(caught.value)


# A plugin's parameters of the wrong type.

WRONG_UNIT: dict[str, tuple[m.Json, str]] = {
    "a number": ({"unit": 7}, "must be text, not a whole number @ $.unit"),
    "a negative number": ({"unit": -1}, "must be text, not a whole number @ $.unit"),
    "a list": ({"unit": ["a.service"]}, "must be text, not a list @ $.unit"),
    "none": ({}, "required field missing @ $.unit"),
    "a slip": ({"unit": "a.service", "unti": "b"}, "extra fields found (unti) @ $"),
    "a path": ({"unit": "../../etc/passwd"}, "unit: '../../etc/passwd' is not the name of a unit such as kubelet.service"),
    "a command": ({"unit": "a.service; reboot"}, "is not the name of a unit such as kubelet.service"),
    "a control character": ({"unit": "a\x00b"}, r"unit: 'a\x00b' is not the name of a unit"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_UNIT)
def test_wrong_parameters_of_a_remedy_are_a_condition_and_nothing_is_done(what: str) -> None:
    """No permit is taken, no operation written, no step of the ladder skipped."""
    parameters, says = WRONG_UNIT[what]
    stage = opened("hung", 6)
    rungs = [{"action": "restart-unit", "parameters": parameters, "timeout": "1m"}, {"action": "reboot", "timeout": "10m"}]  # fmt: skip
    stage.simulation.change(m.NodeRemedier, "hung-task", {"spec": {"ladder": rungs}})
    stage.simulation.hosts[SICK].hang(kernel_lines())
    stage.simulation.rest(limit=2 * HOUR)
    assert untouched(stage)
    (job,) = stage.all(m.RemedyOperationJob)
    status, reason, message = condition(job, "ParametersInvalid")
    assert (status, reason, job.status.attempts) == ("True", "ParametersInvalid", ())
    assert "NodeRemedier hung-task, rung restart-unit.parameters" in message
    assert says in message
    assert stage.read(m.RiskLedger, "cluster").status.holds == ()
    good = [
        {"action": "restart-unit", "parameters": {"unit": "containerd.service"}, "timeout": "1m"},
        rungs[1],
    ]
    stage.simulation.change(m.NodeRemedier, "hung-task", {"spec": {"ladder": good}})
    stage.simulation.rest(limit=2 * HOUR)
    assert not stage.simulation.hosts[SICK].hung, "mended, the episode goes on"


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"package": 7, "unit": "node-exporter.service"}, "must be text, not a whole number @ $.package"),
        ({"packag": "node-exporter"}, "required field missing @ $.package"),
        ({"package": "a b; reboot"}, "is not the name of a package"),
    ],
)
def test_wrong_parameters_of_a_component_are_told_by_the_agent_and_nothing_is_installed(
    parameters: m.Json, says: str
) -> None:
    """On the Machine, with the component's name and the path; no package, no unit."""
    (first, *_) = (
        one for one in Cast.read([examples() / "upgrade.yaml"]).objects if isinstance(one, m.MachineComponent)
    )
    stage = opened("upgrade", 2, attrs.evolve(first, spec=attrs.evolve(first.spec, parameters=parameters)))
    for machine in stage.all(m.Machine):
        report = machine.status.agent.components["node-exporter"]
        assert (report.reason, report.state) == ("ParametersInvalid", m.Running.ABSENT)
        assert f"MachineComponent {first.metadata.name}" in report.message
        assert says in report.message
        assert condition(machine, "Ready")[:2] == ("False", "ComponentFailed")
    for host in stage.simulation.hosts.values():
        assert "node-exporter" not in host.packages
        assert "node-exporter.service" not in host.units
