"""Per-node values in parameters: a table, then properties over all texts."""

import json
import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.core.host.decide import decide
from kubenode.core.host.variables import KNOWN, faults, filled, values
from kubenode.core.machine.conditions import components_claim
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.policy import Policy
from tests.core.host.seen import entry, seen
from tests.strategies import free_form

WHERE = "spec.parameters"
KEYS: dict[str, str] = {
    "machine.name": "n7", "node.address": "10.0.0.7", "zone": "b", "label.rack": "r-9", "label.example.org/role": "db",
}  # fmt: skip


def put(text: str, known: dict[str, str] | None = None) -> str | Problem:
    """Fill one text."""
    made = filled({"a": text}, KEYS if known is None else known, WHERE)
    return made if isinstance(made, Problem) else made["a"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${machine.name}", "n7"),
        ("--hostname-override=${machine.name}", "--hostname-override=n7"),
        ("${node.address}:10250 in ${zone}", "10.0.0.7:10250 in b"),
        ("${label.rack}/${label.example.org/role}", "r-9/db"),
        ("${zone}${zone}", "bb"),
        ("$${zone}", "${zone}"),
        ("$${HOME}", "${HOME}"),
        ("$${", "${"),
        ("$$${zone}", "$${zone}"),
        ("$zone $ $$ {zone} }", "$zone $ $$ {zone} }"),
        ("a\n${zone}\n", "a\nb\n"),
        ("é${zone}日", "éb日"),
    ],
)
def test_what_is_put_in(text: str, wanted: str) -> None:
    """Variables, the escape, and what only looks like one."""
    assert put(text) == wanted


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("${zoen}", "${zoen} is no variable", "did you mean 'zone'?"),
        ("${Zone}", "${Zone} is no variable", "did you mean 'zone'?"),
        ("${}", "${} is no variable", "known: machine.name, node.address, zone, label.KEY"),
        ("${ zone }", "${ zone } is no variable", "did you mean 'zone'?"),
        ("${zone:-a}", "${zone…} is no variable", ""),
        ("${PASSWORD:-hunter2}", "${PASSWORD…} is no variable", ""),
        ("${PASSWORD-hunter2}", "${PASSWORD…} is no variable", ""),
        ("${#hunter2}", "${…} is no variable", ""),
        (f"${{{'n' * 64}}}", f"${{{'n' * 64}}} is no variable", ""),
        (f"${{{'n' * 65}}}", f"${{{'n' * 64}…}} is no variable", ""),
        (f"${{label.{'/' * 58}}}", f"${{label.{'/' * 58}}} is no variable", ""),
        (f"${{label.{'/' * 59}}}", f"${{label.{'/' * 58}…}} is no variable", ""),
        ("${machine.uid}", "${machine.uid} is no variable", "did you mean 'machine.name'?"),
        ("${label.}", "${label.} is no variable", ""),
        ("${label.a b}", "${label.a b} is no variable", ""),
        ("${label.-a}", "${label.-a} is no variable", ""),
        ("${label.a/b/c}", "${label.a/b/c} is no variable", ""),
        ("x ${zone", "${ begins a variable that does not end", "add }"),
        ("${${zone}}", "${ begins a variable that does not end", "add }"),
        ("${zone}\n\n${rack}", "${rack} is no variable", ""),
    ],
)
def test_what_is_no_variable_is_named_with_its_fix(text: str, what: str, fix: str) -> None:
    """At `validate` as it is, with its path; at run time as ParametersInvalid. What a script gives a variable of its own may be a secret."""
    (problem,) = faults({"files": [{"content": text}]}, WHERE)[:1]
    assert (problem.where, problem.what) == ("spec.parameters.files[0].content", what)
    assert fix in problem.fix
    assert "write $${ where the text itself is meant" in problem.fix
    found = filled({"files": [{"content": text}]}, KEYS, WHERE)
    assert found == attrs.evolve(problem, what=f"ParametersInvalid: {what}")


def test_every_fault_is_told_at_once() -> None:
    """Each with its place."""
    wrong = {"a": "${x} ${y}", "b": {"c": ["${zone}", "${z"]}, "d": 1, "${no}": "a key is no text value"}
    assert [(one.where, one.what[:8]) for one in faults(wrong, WHERE)] == [
        ("spec.parameters.a", "${x} is "), ("spec.parameters.a", "${y} is "), ("spec.parameters.b.c[1]", "${ begin"),
    ]  # fmt: skip
    found = filled(wrong, KEYS, WHERE)
    assert isinstance(found, Problem)
    assert (found.where, found.what[:25]) == ("spec.parameters.a", "ParametersInvalid: ${x} i"), "the first"


def test_values_are_put_in_at_any_depth() -> None:
    """Texts in lists and in fields of fields; keys, numbers and the like stay as they are."""
    written = {
        "files": [{"path": "/etc/${zone}", "mode": 420}],
        "env": {"of": {"NODE": "${machine.name}", "$${": True}},
    }
    wanted = {"files": [{"path": "/etc/b", "mode": 420}], "env": {"of": {"NODE": "n7", "$${": True}}}
    assert filled(written, KEYS, WHERE) == wanted


HOST = m.Host(address="10.0.0.7")
MADE = m.Infrastructure(provider="memory")
ZONE = "topology.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("labels", "spec", "address", "wanted"),
    [
        ({}, {"host": HOST}, "", {"machine.name": "n7", "node.address": "10.0.0.7"}),
        ({}, {"host": HOST}, "192.0.2.1", {"machine.name": "n7", "node.address": "10.0.0.7"}),
        ({}, {"infrastructure": MADE}, "192.0.2.1", {"machine.name": "n7", "node.address": "192.0.2.1"}),
        ({}, {"infrastructure": MADE}, "", {"machine.name": "n7"}),
        (
            {"rack": "1", "empty": "", ZONE: "a"}, {"host": HOST}, "",
            {"machine.name": "n7", "node.address": "10.0.0.7", "zone": "a", "label.rack": "1", f"label.{ZONE}": "a"},
        ),
        (
            {"rack": "1", ZONE: "a"}, {"host": HOST, "labels": {"rack": "2", ZONE: ""}}, "",
            {"machine.name": "n7", "node.address": "10.0.0.7", "label.rack": "2"},
        ),
    ],
)  # fmt: skip
def test_where_values_come_from(
    labels: dict[str, str], spec: dict[str, Any], address: str, wanted: dict[str, str]
) -> None:
    """The Node's labels go before the Machine's; what is empty is no value."""
    machine = m.Machine(metadata=m.ObjectMeta(name="n7", labels=labels), spec=m.MachineSpec(**spec))
    assert values(machine, address) == wanted


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("zone", f"label the Machine, or write spec.labels: {ZONE}"),
        ("label.rack", "label the Machine, or write spec.labels: rack"),
        ("node.address", "its agent has not told an address, and spec.host gives none"),
    ],
)
def test_a_value_that_is_not_there_is_waited_for(name: str, fix: str) -> None:
    """It is named with its path and where it comes from; nothing empty is put in."""
    found = filled({"a": ["x", f"-${{{name}}}-"]}, {"machine.name": "n7"}, WHERE)
    assert found == Problem(
        where=f"{WHERE}.a[1]", what=f"WaitingForValue: ${{{name}}} has no value yet", fix=fix
    )


def test_who_waits_for_a_value_has_not_failed() -> None:
    """The report keeps its revision, so that no rollout takes it for a failure; the machine's condition says why."""
    problem = filled({"a": "${zone}"}, {}, WHERE)
    assert isinstance(problem, Problem)
    before = m.AgentStatus(components={"kubelet": m.ComponentReport(component="kubelet-1.1", revision="1")})
    snapshot = seen(entries={"kubelet": entry()}, plans={"kubelet": problem}, before=before)
    decision = decide(snapshot, Policy())
    assert decision.effects == ()
    assert decision.status is not None
    report = decision.status.components["kubelet"]
    assert (report.component, report.revision, report.reason) == ("kubelet-1.1", "1", "WaitingForValue")
    assert report.config is m.ConfigState.UNKNOWN
    machine = attrs.evolve(snapshot.machine, status=m.MachineStatus(agent=decision.status))
    claim = components_claim(MachineSnapshot(machine=machine, now=snapshot.now))
    assert claim.reason == "Progressing"
    assert "WaitingForValue: spec.parameters.a: ${zone} has no value yet" in claim.message


def test_a_value_that_is_lost_later_is_no_failure_either() -> None:
    """A label taken away from a machine at target: it cannot be judged, and nothing is done to it."""
    problem = filled({"a": "${zone}"}, {}, WHERE)
    assert isinstance(problem, Problem)
    whole = m.ComponentReport(component="kubelet-1.2", revision="2", config=m.ConfigState.CURRENT)
    before = m.AgentStatus(components={"kubelet": whole})
    decision = decide(seen(entries={"kubelet": entry()}, plans={"kubelet": problem}, before=before), Policy())
    assert decision.effects == ()
    assert decision.status is not None
    report = decision.status.components["kubelet"]
    assert (report.revision, report.reason, report.config) == ("2", "", m.ConfigState.UNKNOWN)
    assert "${zone} has no value yet" in report.message


# Properties.

PIECES = st.sampled_from(
    (
        "$",
        "{",
        "}",
        "$$",
        "${",
        "$${",
        "zone",
        "${zone}",
        "$${zone}",
        "${label.rack}",
        "${x}",
        "a",
        " ",
        "\n",
        "é",
        "label.",
        "",
    )
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12)
VALUES = st.fixed_dictionaries(
    {}, optional={name: st.text(min_size=1, max_size=8) | TEXTS.filter(bool) for name in KEYS}
)


@given(parameters=free_form | st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS), max_size=3), known=VALUES)
def test_total_and_of_the_same_form(parameters: dict[str, Any], known: dict[str, str]) -> None:
    """Whatever is written, the answer is parameters with the same keys and the same other values, or a Problem with a fix."""
    before = json.dumps(parameters)
    made = filled(parameters, known, WHERE)
    assert json.dumps(parameters) == before
    if isinstance(made, Problem):
        assert made.what.startswith(("ParametersInvalid: ", "WaitingForValue: "))
        assert made.where.startswith(WHERE)
        assert made.fix
        return
    assert not faults(parameters, WHERE)
    assert form(made) == form(parameters)


def form(value: Any) -> Any:
    """Give a value with every text that is no key replaced by a mark."""
    if isinstance(value, dict):
        return {key: form(part) for key, part in value.items()}
    if isinstance(value, list):
        return [form(part) for part in value]
    return str if isinstance(value, str) else value


@given(given=st.fixed_dictionaries({name: TEXTS.filter(bool) for name in KEYS}), data=st.data())
def test_what_was_put_in_is_not_looked_at_again(given: dict[str, str], data: st.DataObject) -> None:
    """Each value stands there letter for letter, though it looks like a variable or an escape itself."""
    names = data.draw(st.lists(st.sampled_from(sorted(given)), max_size=5))
    between = data.draw(
        st.lists(st.text(alphabet="ab {}", max_size=3), min_size=len(names) + 1, max_size=len(names) + 1)
    )
    text = between[0] + "".join(f"${{{name}}}{after}" for name, after in zip(names, between[1:], strict=True))
    wanted = between[0] + "".join(given[name] + after for name, after in zip(names, between[1:], strict=True))
    assert put(text, given) == wanted


@given(text=TEXTS)
def test_what_is_escaped_comes_out_as_it_was(text: str) -> None:
    """Any text can be written: a dollar sign before each `${`, unless dollar signs stand before that already."""
    plain = re.sub(r"\$+\{", "${", text)
    assert put(plain.replace("${", "$${")) == plain


@given(text=TEXTS, known=VALUES)
def test_nothing_empty_is_ever_put_in(text: str, known: dict[str, str]) -> None:
    """Without a value there is a Problem, never a shorter text."""
    made = put(text, known)
    used = re.findall(r"(?<!\$)\$\{([^{}]*)\}", text)
    if not isinstance(made, Problem):
        assert all(known[name] in made for name in used)


def test_the_known_variables_are_those_of_the_design() -> None:
    """Fixed: `${machine.name}`, `${node.address}`, `${zone}`, labels."""
    assert KNOWN == ("machine.name", "node.address", "zone", "label.KEY")
