"""Manifests: every mistake with its file, line and path; and what is printed to install us."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime import documents
from kubenode.runtime.controller.rights import _WRITES, ENROL, rights
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.manifests import install, load_manifests, read_documents, review, to_yaml
from tests.strategies import objects

MISTAKES = """\
# A comment before everything.
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata:
  name: Kubelet
  labels: {tier: yes}
spec:
  selektor: {}
  name: kubelet
  component: kubelet-1.30
  state: runing
  rollout:
    batches: [1, "0%"]
    maxUnavailable: 0.5
    observation: 1d
    failureThreshold: -1
    excuse: {revision: 7, failures: 1}
---
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata:
  name: h1
spec:
  components:
    kubelet:
      set: kubelet
      component: kubelet-1.30
"""

FOUND = [
    (5, "metadata.name", "as in kubelet"),
    (6, "metadata.labels.tier", 'put it in quotes: "true"'),
    (8, "spec.selektor", "did you mean 'selector'?"),
    (11, "spec.state", "did you mean 'Running'?"),
    (13, "spec.rollout.batches[1]", "from '1%' to '100%'"),
    (14, "spec.rollout.maxUnavailable", "a number or a percentage, not the number 0.5"),
    (15, "spec.rollout.observation", "as in 1h30m"),
    (16, "spec.rollout.failureThreshold", "greater than or equal to 0"),
    (17, "spec.rollout.excuse.revision", 'put it in quotes: "7"'),
    (25, "spec.components.kubelet.revision", "is missing"),
]
"""Ten mistakes: line, path, and what the text says."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into a folder of this test."""

    def to(text: str | bytes, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to


def _problems(*paths: Path) -> tuple[Problem, ...]:
    with pytest.raises(InvalidObjectError) as raised:
        load_manifests(paths)
    assert all(problem.file in map(str, paths) for problem in raised.value.problems)
    return raised.value.problems


def test_ten_mistakes_are_ten_problems(write: Write) -> None:
    """All mistakes of all documents at once, in the order of the lines."""
    found = _problems(write(MISTAKES))
    assert [(problem.line, problem.where) for problem in found] == [(line, path) for line, path, _ in FOUND]
    for problem, (_, _, says) in zip(found, FOUND, strict=True):
        assert says in f"{problem.what} {problem.fix}"
    assert str(found[0]).startswith(f"{found[0].file}:5: metadata.name: ")


def test_problems_of_several_files_are_told_together(write: Write) -> None:
    """A file that is no YAML does not hide the mistakes of the next."""
    first, second = write("a: [\n---\nkind: Machin\n", "a.yaml"), write(MISTAKES, "b.yaml")
    found = _problems(first, second)
    assert [problem.where for problem in found[:3]] == ["YAML", "kind", "apiVersion"]
    assert [problem.file for problem in found] == [str(first)] * 3 + [str(second)] * 10


@pytest.mark.parametrize(("text", "line", "where", "says"), [
    ("a: 1\nb:\n\tc: 2\n", 3, "YAML", "indent with spaces"),
    ("# x\n---\na:\n  b: 1\n c: 2\n", 5, "YAML", "indentation"),
    ("a: b: c\n", 1, "YAML", "quote a value"),
    ("a: *x\n", 1, "YAML", "undefined alias"),
    ("a: 'x\n", 2, "YAML", "quotes"),
    ("a: 1\nb: \x01\n", 2, "YAML", "U+0001"),
    ("[" * 20_000, 1, "YAML", "nest"),
    ("a: {b: &b [*b]}\n", 1, "document", "nested deeper"),
    ("- a\n", 1, "document", "is a list"),
    ("\nhello\n", 2, "document", "plain text"),
    ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "b.c", "after line 3"),
    ("a: 1\n2: b\n", 2, "2", '"2":'),
    ("yes: b\n", 1, "yes", '"yes":'),
    ("? [a]\n: b\n", 1, "...", "the key is no string"),
    ("a: !secret x\n", 1, "a", "!secret"),
    ("a: 1\nb: .inf\n", 2, "b", "has no meaning"),
    ("a: {<<: 7}\n", 1, "a.<<", "must be a mapping"),
    ("", 0, "file", "holds no object"),
    ("# nothing\n---\n\n---\n", 0, "file", "holds no object"),
    (b"a: 1\nb: \xff\n", 2, "file", "not UTF-8"),
])  # fmt: skip
def test_a_file_that_is_no_manifest_is_told_where(
    write: Write, text: str, line: int, where: str, says: str
) -> None:
    """Syntax, duplicate keys, what is no object: a file and a line, never a traceback."""
    (found,) = _problems(write(text))
    assert (found.line, found.where) == (line, where)
    assert says in f"{found.what} {found.fix}"


def test_aliases_are_expanded_only_so_far(write: Write) -> None:
    """A few lines cannot stand for a billion values."""
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise(names)]
    (found,) = _problems(write("\n".join(lines)))
    assert (found.where, found.line) == ("document", 1)
    assert "200000 values" in found.what


def _refuse() -> bytes:
    raise PermissionError(13, "Permission denied")


def test_files_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """Missing, too large, or nothing in a folder."""
    (missing,) = _problems(tmp_path / "none.yaml")
    assert missing.what == "does not exist"
    (empty,) = _problems(tmp_path)
    assert empty.what == "holds no object"
    file = write("a: 1\n")
    monkeypatch.setattr(Path, "read_bytes", lambda _: _refuse())
    (closed,) = _problems(file)
    assert closed.what == "cannot be read: Permission denied"
    monkeypatch.undo()
    monkeypatch.setattr(documents, "MAX_BYTES", 3)
    (large,) = _problems(write("a: 1\n"))
    assert "more than 3 bytes" in large.what


@pytest.mark.parametrize(("text", "line", "says"), [
    ('{"a": 1,}', 1, "property name"),
    ('{\n"a": 1,\n"a": 2}', 3, "after line 2"),
    ('{"a": NaN}', 1, "NaN"),
    ("[" * 200_000, 1, "too deep"),
    (" ", 0, "holds no object"),
])  # fmt: skip
def test_json_is_judged_as_json(write: Write, text: str, line: int, says: str) -> None:
    """What YAML would take, but JSON is not, is refused."""
    (found,) = _problems(write(text, "a.json"))
    assert found.line == line
    assert says in found.what


def test_json_has_lines_too(write: Write) -> None:
    """Tabs, escapes and surrogates of JSON are understood."""
    text = '{\n\t"a": "\\ud83d\\ude00\\/\\\\ud83d",\n\t"b": {"c.d": [\n1]}}'
    (document,) = read_documents([write(text, "a.json")])
    assert document.raw == {"a": "\N{GRINNING FACE}/\\ud83d", "b": {"c.d": [1]}}
    assert [document.line(path) for path in ("", "a", "b.c.d[0]", "b.c.d[0].e", "b.x", "x")] == [
        1,
        2,
        4,
        4,
        3,
        1,
    ]


def test_yaml_is_read_as_kubectl_reads_it(write: Write) -> None:
    """Times and `12:30` are text; yes is true; numbers have their bases; merge keys bring what is not there."""
    text = (
        "x: &x {a: 1, b: [c]}\ny:\n  <<: *x\n  a: 2\nlist: {<<: [*x, {d: e}]}\ntime: 2026-03-02T09:00:00Z\n"
        "day: 2026-03-02\nclock: 12:30\non_: on\nnothing: ~\nempty:\noctal: 010\nhex: 0xff\nminus: -1_000\n"
        "half: .5\nthousand: 1e3\nquoted: '7'\ntagged: !!str 7\n"
    )
    (document,) = read_documents([write(text)])
    assert document.raw == {
        "x": {"a": 1, "b": ["c"]}, "y": {"a": 2, "b": ["c"]}, "list": {"a": 1, "b": ["c"], "d": "e"},
        "time": "2026-03-02T09:00:00Z", "day": "2026-03-02", "clock": "12:30", "on_": True, "nothing": None,
        "empty": None, "octal": 8, "hex": 255, "minus": -1000, "half": 0.5, "thousand": 1000.0, "quoted": "7",
        "tagged": "7",
    }  # fmt: skip
    assert (document.line("y.a"), document.line("y.b")) == (4, 1)


def test_documents_of_a_folder_are_read_by_name(write: Write, tmp_path: Path) -> None:
    """YAML and JSON files, in order; anything else is left alone."""
    write("b: 1\n---\nb: 2\n", "2.yml")
    write('{"a": 1}', "1.json")
    write("not read", "0.txt")
    assert [document.raw for document in read_documents([tmp_path])] == [{"a": 1}, {"b": 1}, {"b": 2}]
    with pytest.raises(InvalidObjectError):
        read_documents([tmp_path / "0.txt"])


@settings(max_examples=30)
@given(data=st.data())
def test_what_is_printed_is_read_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Objects written as YAML or as JSON are read as the same objects, in order."""
    kinds = data.draw(st.lists(st.sampled_from(m.KINDS), min_size=1, max_size=3))
    written = [data.draw(objects(kind, fresh=True)) for kind in kinds]
    folder = tmp_path_factory.mktemp("printed")
    (folder / "a.yaml").write_text(to_yaml([wire.dump(obj) for obj in written]), encoding="utf-8")
    (folder / "b.json").write_text(json.dumps(wire.dump(written[0]), indent="\t"), encoding="utf-8")
    assert load_manifests([folder / "a.yaml", folder / "b.json"]) == (*written, written[0])


def test_a_set_without_its_component_is_a_warning(write: Write) -> None:
    """The component may be in the cluster already, so it is no error."""
    head = "apiVersion: kubenode.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"
    one = head.format("MachineComponentSet", "a") + "  name: a\n  component: there\n"
    two = head.format("MachineComponentSet", "b") + "  name: b\n  component: elsewhere\n"
    component = head.format("MachineComponent", "there") + "  version: '1'\n  driver: binary\n"
    path = write("---\n".join([one, two, component]))
    found = review([path])
    assert [obj.metadata.name for obj in found.objects] == ["a", "b", "there"]
    (warning,) = found.warnings
    assert (warning.file, warning.line, warning.where) == (str(path), 13, "spec.component")
    assert "'elsewhere'" in warning.what


def test_a_remedier_that_could_never_begin_is_a_warning(write: Write) -> None:
    """At the line of its limit; a dry run is none."""
    head = "apiVersion: kubenode.dev/v1alpha1\nkind: NodeRemedier\nmetadata: {name: r}\nspec:\n"
    spec = "  condition: {type: X}\n  ladder: [{action: reboot}]\n"
    found = review([write(f"{head}{spec}  dryRun: true\n  limits:\n  - {{scope: zone, max: 0}}\n")])
    (warning,) = found.warnings
    assert (warning.where, warning.line) == ("spec.limits[0].max", 9)
    assert "none ever gets a permit" in warning.what
    assert not review([write(f"{head}{spec}  dryRun: true\n")]).warnings


HEAD = "apiVersion: kubenode.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"


def pair(name: str, component: str, spec: str) -> str:
    """Write a set and its component, four lines of head each."""
    owner = HEAD.format("MachineComponentSet", name) + f"  name: {name}\n  component: {component}\n"
    return (
        owner
        + "---\n"
        + HEAD.format("MachineComponent", component)
        + f"  version: '1'\n  driver: file\n{spec}"
    )


def test_what_is_no_variable_is_an_error_with_its_line(write: Write) -> None:
    """Every one, with its path and its fix; the escape and what is a variable are none."""
    text = (
        '  parameters:\n    path: "/etc/${machine.name}"\n    content: |\n      $${HOME} ${label.rack}\n'
        '    hosts:\n    - "${zone}"\n    - "${zoen}"\n    unit: "${HOME"\n'
    )
    path = write(pair("conf", "conf-1", text))
    found = review([path]).problems
    assert [(problem.file, problem.line, problem.where) for problem in found] == [
        (str(path), 20, "spec.parameters.hosts[1]"), (str(path), 21, "spec.parameters.unit"),
    ]  # fmt: skip
    assert "did you mean 'zone'?" in found[0].fix


def test_a_component_that_its_set_makes_wait_for_itself_is_an_error(write: Write) -> None:
    """The name of the set's component is among its dependencies; neither object alone shows it."""
    path = write(pair("kubelet", "kubelet-1", "  dependencies: [containerd, kubelet]\n"))
    (problem,) = review([path]).problems
    assert (problem.file, problem.line, problem.where) == (str(path), 6, "spec.component")
    assert problem.what == "kubelet-1 depends on kubelet, and this set installs it as kubelet"


@pytest.mark.parametrize(
    ("kubelet", "containerd", "warnings"),
    [
        ("", "", []),
        ("  dependencies: [containerd]\n", "", []),
        ("  dependencies: [containers]\n", "", ["'kubelet-1' depends on 'containers', which no set of these files installs"]),
        (
            "  dependencies: [containerd]\n", "  dependencies: [kubelet]\n",
            ["kubelet -> containerd -> kubelet depend on each other", "containerd -> kubelet -> containerd depend on each other"],
        ),
    ],
)  # fmt: skip
def test_an_order_that_is_doubtful_is_a_warning(
    write: Write, kubelet: str, containerd: str, warnings: list[str]
) -> None:
    """What is missing may be in the cluster, and two sets may select different machines, so it is no error."""
    text = pair("kubelet", "kubelet-1", kubelet) + "---\n" + pair("containerd", "containerd-1", containerd)
    found = review([write(text)]).warnings
    assert len(found) == len(warnings)
    assert all(one.what.startswith(what) and one.fix for one, what in zip(found, warnings, strict=True))
    assert all(one.where == "spec.component" and one.line for one in found)


@pytest.mark.parametrize(("most", "what"), [
    ("0", "no permit is ever given"), ("100%", "limits nothing"), ("2", None),
])  # fmt: skip
def test_a_policy_that_cannot_be_meant_is_a_warning(write: Write, most: str, what: str | None) -> None:
    """A policy that never lets anything act, or limits nothing, is named with its line and the fix, and is no error."""
    head = "apiVersion: kubenode.dev/v1alpha1\nkind: RiskPolicy\nmetadata: {name: p}\nspec:\n"
    found = review([write(head + f"  limits:\n  - scope: zone\n    max: {most}\n")])
    assert len(found.objects) == 1
    assert [
        what is not None and what in warning.what and bool(warning.fix) for warning in found.warnings
    ] == [True] * (what is not None)
    assert all(warning.line in {5, 7} for warning in found.warnings)


def policy(limits: str) -> str:
    """Write a policy with a list of limits, from its sixth line on."""
    return f"apiVersion: kubenode.dev/v1alpha1\nkind: RiskPolicy\nmetadata: {{name: p}}\nspec:\n  limits:\n{limits}"


BROKEN = "---\nkind: Machin\n"
UNREAD = "---\na: [\n"
NEVER_ACTS = policy("  - {scope: zone, max: 0}\n")


@pytest.mark.parametrize("broken", [BROKEN, UNREAD])
def test_what_is_wrong_hides_no_doubt(write: Write, broken: str) -> None:
    """A policy that never acts is named beside a document that is refused, and beside one that is no YAML."""
    path = write(NEVER_ACTS + broken)
    found = review([path])
    assert found.problems
    (doubt,) = found.warnings
    assert (doubt.file, doubt.line) == (str(path), 6)
    assert "no permit is ever given" in doubt.what
    with pytest.raises(InvalidObjectError) as raised:
        load_manifests([path])
    assert raised.value.problems == found.problems


def test_what_is_wrong_hides_no_circle(write: Write) -> None:
    """A set that waits for itself is told beside a document that is refused."""
    text = pair("kubelet", "kubelet-1", "  dependencies: [kubelet]\n") + BROKEN
    problems = review([write(text)]).problems
    assert [problem.where for problem in problems] == ["spec.component", "kind", "apiVersion"]


@pytest.mark.parametrize(
    "broken", [BROKEN, UNREAD, "---\n" + HEAD.format("MachineComponent", "gone") + "  driver: 5\n"]
)
def test_what_a_broken_document_may_bring_is_not_called_missing(write: Write, broken: str) -> None:
    """The component of a set may be the very document that cannot be read."""
    lone = HEAD.format("MachineComponentSet", "one") + "  name: one\n  component: gone\n"
    assert review([write(lone)]).warnings
    found = review([write(lone + broken)])
    assert found.problems
    assert not found.warnings


@pytest.mark.parametrize("number", ["99999999999999999999", "-0x" + "f" * 5000])
def test_a_number_beyond_64_bits_hides_nothing(write: Write, number: str) -> None:
    """It is one problem, and all others of its document are told with it, each once."""
    text = policy(
        f"  - scope: zone\n    max: {number}\n  - scope: zone\n    max: -1\n"
        '  - scope: zone\n    max: "1000%"\n    extra: 1\n'
    )
    found = _problems(write(text.replace("name: p", f"name: {number}, generation: {number}")))
    assert [(problem.line, problem.where) for problem in found] == [
        (3, "metadata.name"), (3, "metadata.generation"), (7, "spec.limits[0].max"), (9, "spec.limits[1].max"),
        (11, "spec.limits[2].max"), (12, "spec.limits[2].extra"),
    ]  # fmt: skip
    assert [number_is_told.what for number_is_told in found[:3]] == [
        "is a number that does not fit 64 bits"
    ] * 3


# What `kubenode manifests` prints.


def test_definitions_are_installed_first() -> None:
    """CRDs, then the namespace, then roles; the text reads back as the objects, without anchors."""
    made = install()
    kinds = [obj["kind"] for obj in made]
    assert kinds[: len(m.KINDS)] == ["CustomResourceDefinition"] * len(m.KINDS)
    assert kinds.index("Namespace") < kinds.index("ServiceAccount")
    text = to_yaml(made)
    assert tuple(yaml.safe_load_all(text)) == made
    assert to_yaml(install()) == text
    assert "&id" not in text


STATUSES = (
    "machines", "machinesets", "machinecomponentsets", "noderemediers", "remedyoperationjobs", "riskledgers",
    "riskpolicies",
)  # fmt: skip


def test_the_controller_may_do_what_it_does_and_no_more() -> None:
    """A table of who may do what to which resource."""
    grants = {
        obj["metadata"]["name"]: {
            (group, resource): set(rule["verbs"])
            for rule in obj["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
        }
        for obj in _split(install()) if obj["kind"] == "ClusterRole"
    }  # fmt: skip
    read, ours = {"get", "list", "watch"}, "kubenode.dev"
    assert grants["kubenode-agent"] == {
        (ours, "machines"): read, (ours, "machinecomponents"): {"get"}, (ours, "machines/status"): {"patch"},
    }  # fmt: skip
    follow = {"list", "watch"}
    assert grants["kubenode-controller"] == {
        **{(ours, kind.KIND.plural): follow for kind in m.KINDS},
        (ours, "machines"): follow | {"create", "delete", "patch"},
        (ours, "machinesets"): follow | {"patch"},
        (ours, "remedyoperationjobs"): follow | {"create"},
        (ours, "riskledgers"): follow | {"create"},
        **{(ours, f"{plural}/status"): {"patch"} for plural in STATUSES},
        ("", "nodes"): follow | {"delete", "patch"},
        ("", "nodes/status"): {"patch"},
        ("", "pods"): {"list"},
        ("", "pods/eviction"): {"create"},
        ("policy", "poddisruptionbudgets"): {"list"},
        ("apiextensions.k8s.io", "customresourcedefinitions"): {"get"},
    }


def test_what_is_limited_to_names_is_not_granted_for_all() -> None:
    """Of definitions only ours are read, and of Leases only two are; a Lease of any name may be created, in one namespace."""
    named = {
        (obj["kind"], resource, verb): tuple(rule.get("resourceNames", ()))
        for obj in install() if obj["kind"] in ("Role", "ClusterRole")
        for rule in obj["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }  # fmt: skip
    ours = tuple(sorted(f"{kind.KIND.plural}.kubenode.dev" for kind in m.KINDS))
    assert {key: names for key, names in named.items() if names} == {
        ("ClusterRole", "customresourcedefinitions", "get"): ours,
        ("Role", "leases", "get"): ("kubenode-controller", "kubenode-observer"),
        ("Role", "leases", "patch"): ("kubenode-controller", "kubenode-observer"),
    }
    assert ("Role", "leases", "create") in named
    assert {obj["metadata"]["namespace"] for obj in install() if obj["kind"] == "Role"} == {
        "default",
        "kubenode-system",
    }


def test_every_controller_has_its_rights() -> None:
    """The table of rights names the controllers that there are, and those together have all."""
    assert set(_WRITES) == set(NAMES)
    assert set(rights()) == {right for name in NAMES for right in rights((name,))}
    assert {right.verb for right in rights(observes=True)} == {"get", "list", "watch"}
    assert {right.verb for right in rights((*NAMES, ENROL), observes=True)} == {"get", "list", "watch"}


def test_to_enrol_takes_rights_of_its_own() -> None:
    """Nobody has them who does not enrol: to answer requests for certificates, and to delete tokens."""
    more = {str(right) for right in set(rights((*NAMES, ENROL))) - set(rights())}
    assert more == {
        "list certificatesigningrequests", "watch certificatesigningrequests", "patch certificatesigningrequests/approval",
        "approve signers kubernetes.io/kube-apiserver-client", "delete secrets in kube-system",
    }  # fmt: skip


def _split(objs: tuple[m.Json, ...]) -> list[m.Json]:
    """Give roles one rule a resource, verbs of several rules together."""
    made = []
    for obj in objs:
        verbs: dict[tuple[str, str], set[str]] = {}
        for rule in obj.get("rules", ()):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    verbs.setdefault((group, resource), set()).update(rule["verbs"])
        rules = [
            {"apiGroups": [group], "resources": [name], "verbs": sorted(all_)}
            for (group, name), all_ in verbs.items()
        ]
        made.append({**obj, "rules": rules} if "rules" in obj else obj)
    return made
