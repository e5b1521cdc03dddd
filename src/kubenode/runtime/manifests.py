"""Manifests: the files that people write as objects, and what `kubenode manifests` prints to install us."""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from kubenode.core import wire
from kubenode.core.accept.doubts import doubts, doubts_of_remedier
from kubenode.core.crd import crds, remediation_crds
from kubenode.core.enrol.identity import AGENTS, BOOTSTRAPPERS, UID, user_of
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.host.dependencies import circle_of
from kubenode.core.host.variables import faults
from kubenode.core.lease import CONTROLLER, NAMESPACE
from kubenode.core.model import (
    Json,
    KubenodeRemediation,
    KubenodeRemediationTemplate,
    Machine,
    MachineComponent,
    MachineComponentSet,
    NodeRemedier,
    Object,
    RiskPolicy,
)
from kubenode.core.model.meta import GROUP, MACHINE_LABEL
from kubenode.core.reading import near
from kubenode.runtime.controller.rights import (
    CSR_GROUP,
    ENROL,
    ENROLS,
    EVENTS,
    EXTERNAL,
    TELLS_TOKENS,
    rights,
)
from kubenode.runtime.documents import Document, read_documents, scan, to_yaml
from kubenode.runtime.engine.apply import TOKENS
from kubenode.runtime.fitting import misfits, strangers
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.policies import AGENTS_NAMESPACE, agent_policies, enrolment_policies, user_data_policies
from kubenode.runtime.rivals import FIX, rivals
from kubenode.runtime.store.rights import LEASES, Right, lease_events, lease_rights

AGENT: Final = "kubenode-agent"
BOOTSTRAP: Final = "kubenode-bootstrap"
ASKERS: Final = "kubenode-remediation-askers"

_RBAC: Final = "rbac.authorization.k8s.io"
_CONTROLLER: Final = {"kind": "ServiceAccount", "name": CONTROLLER, "namespace": NAMESPACE}
_READ: Final = ("get", "list", "watch")
_Found: TypeAlias = tuple[Object, Document]


class Reads(enum.StrEnum):
    """Which Machines an agent may read."""

    OWN = "own"
    """Each its own, by a role of its own. Every role that there is makes each request of everybody a little slower."""
    ANY = "any"


@attrs.frozen(kw_only=True)
class Manifests:
    """What files hold.

    Attributes:
        objects: those that could be read, in the order of the documents.
        problems: what is wrong, by file and line.
        warnings: what is odd and no error.
    """

    objects: tuple[Object, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def load_manifests(paths: Sequence[Path]) -> tuple[Object, ...]:
    """Read the objects of files and folders, in order.

    Raises:
        InvalidObjectError: with every problem of every document, its file, line and path.
    """
    found = review(paths)
    if found.problems:
        raise InvalidObjectError(found.problems)
    return found.objects


def review(paths: Sequence[Path], plugins: Plugins | None = None) -> Manifests:
    """Read the objects of files and folders, and look at them together; all that is wrong or odd at once.

    Args:
        paths: of the files and folders.
        plugins: what reads the parameters of drivers; None leaves these as they are.
    """
    documents, problems = scan(paths)
    is_whole = not problems
    found: list[_Found] = []
    for document in documents:
        try:
            obj = wire.load(document.raw)
        except InvalidObjectError as error:
            problems += sorted(
                (_placed(p, document) for p in error.problems), key=lambda problem: problem.line
            )
            is_whole = False
            continue
        found.append((obj, document))
        if isinstance(obj, MachineComponent):
            wrong = faults(obj.spec.parameters, "spec.parameters")
            problems += [_placed(problem, document) for problem in wrong]
        if plugins is not None:
            problems += [_placed(problem, document) for problem in misfits(obj, plugins)]
    problems += _waiting_for_themselves(found)
    order = {file: index for index, file in enumerate(dict.fromkeys(p.file for p in problems))}
    problems.sort(key=lambda problem: (order[problem.file], problem.line))
    # What a document that cannot be read would have brought is not called missing.
    waits = _waits(found)
    odd = [*_odd(found, waits), *(_missing(found, waits) if is_whole else ()), *_unread(found, plugins)]
    return Manifests(objects=tuple(obj for obj, _ in found), problems=tuple(problems), warnings=tuple(odd))


def _unread(found: Sequence[_Found], plugins: Plugins | None) -> Iterator[Problem]:
    if plugins is not None:
        for obj, document in found:
            yield from (_placed(problem, document) for problem in strangers(obj, plugins))


def _placed(problem: Problem, document: Document) -> Problem:
    return attrs.evolve(problem, file=document.file, line=document.line(problem.where))


def _components(found: Sequence[_Found]) -> Mapping[str, MachineComponent]:
    return {obj.metadata.name: obj for obj, _ in found if isinstance(obj, MachineComponent)}


def _waiting_for_themselves(found: Sequence[_Found]) -> Iterator[Problem]:
    """Find sets whose component depends on the very name by which the set installs it: a circle on every machine."""
    known = _components(found)
    for obj, document in found:
        if isinstance(obj, MachineComponentSet) and obj.spec.component in known:
            component = known[obj.spec.component]
            if obj.spec.name in component.spec.dependencies:
                what = f"{component.metadata.name} depends on {obj.spec.name}, and this set installs it as {obj.spec.name}"
                fix = f"take {obj.spec.name} out of its spec.dependencies"
                yield _placed(Problem(where="spec.component", what=what, fix=fix), document)


def _odd(found: Sequence[_Found], waits: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """Find what is well-formed and doubtful, whatever else there is.

    Components that depend on each other, since that is wrong only where one machine has them all; sets that want one
    entry of one machine; policies that never let anything act, or limit nothing; remedies that never begin.
    """
    yield from _rivals(found)
    for obj, document in found:
        if isinstance(obj, MachineComponentSet) and (circle := circle_of(obj.spec.name, waits)):
            what = f"{' -> '.join(circle)} depend on each other; a machine that has them all installs none of them"
            fix = "take one of these dependencies away"
            yield _placed(Problem(where="spec.component", what=what, fix=fix), document)
        if isinstance(obj, RiskPolicy):
            yield from (_placed(doubted.problem, document) for doubted in doubts(obj))
        if isinstance(obj, NodeRemedier):
            yield from (_placed(doubted.problem, document) for doubted in doubts_of_remedier(obj))


def _rivals(found: Sequence[_Found]) -> Iterator[Problem]:
    places = {obj.metadata.name: document for obj, document in found if isinstance(obj, MachineComponentSet)}
    for one in rivals([obj for obj, _ in found]):
        document = places[one.second]
        what = (
            f"MachineComponentSet {one.first} has this name too, and both select {one.common}: "
            "the set that writes the entry first keeps it, and the other says Conflict"
        )
        yield _placed(Problem(where="spec.name", what=what, fix=FIX), document)


def _missing(found: Sequence[_Found], waits: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """Find what no document brings, and the cluster may have already.

    Sets that name a component of which there is no document, or whose component depends on one that no set here installs.
    """
    known = _components(found)
    for obj, document in found:
        if not isinstance(obj, MachineComponentSet):
            continue
        if obj.spec.component not in known:
            what = f"MachineComponent {obj.spec.component!r} is in none of these files"
            fix = "apply it first, or before this set"
            yield _placed(Problem(where="spec.component", what=what, fix=fix), document)
            continue
        for name in waits[obj.spec.name]:
            if name not in waits:
                what = f"{obj.spec.component!r} depends on {name!r}, which no set of these files installs"
                yield _placed(Problem(where="spec.component", what=what, fix=near(name, waits)), document)


def _waits(found: Sequence[_Found]) -> Mapping[str, tuple[str, ...]]:
    """Give the names on which what is installed by a name depends, by any of the sets."""
    known = _components(found)
    waits: dict[str, tuple[str, ...]] = {}
    for obj, _ in found:
        if isinstance(obj, MachineComponentSet):
            component = known.get(obj.spec.component)
            after = () if component is None else component.spec.dependencies
            waits[obj.spec.name] = (*waits.get(obj.spec.name, ()), *after)
    return waits


def install(
    *, enrolment: bool = False, remediation: bool = False, reads: Reads | None = None, user_data: bool = False
) -> tuple[Json, ...]:
    """Give all that is installed before the controller starts: CRDs first, then who may do what.

    Args:
        enrolment: with what it takes to give agents certificates.
        remediation: with what health checks of others ask by: kinds, and the right to use them.
        reads: which Machines an agent may read; None: its own with enrolment, else any.
        user_data: with what it takes to let instances enrol by theirs, and with enrolment. Their agents read any Machine,
            since the controller may make no roles.

    Raises:
        InvalidObjectError: agents that enrol by user data are to read their own Machine only.
    """
    if user_data and reads is Reads.OWN:
        what = (
            "goes not with user data: nobody makes a role for the agent of an instance that a controller made"
        )
        raise InvalidObjectError((Problem(where="--agent-reads own", what=what, fix="--agent-reads any"),))
    enrolment = enrolment or user_data
    known = reads if reads is not None else Reads.OWN if enrolment and not user_data else Reads.ANY
    wanted = {*rights()}
    wanted |= {*rights((ENROL,))} if enrolment else set()
    wanted |= {*rights((EXTERNAL,))} if remediation else set()
    return (
        *crds(),
        *((*remediation_crds(), _askers()) if remediation else ()),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": CONTROLLER, "namespace": NAMESPACE},
        },
        _role(CONTROLLER, _rules(one for one in sorted(wanted) if not one.namespace)),
        _binding(CONTROLLER, _CONTROLLER),
        _role(CONTROLLER, _rules(EVENTS), "default"),
        _binding(CONTROLLER, _CONTROLLER, "default"),
        _role(
            CONTROLLER,
            _rules((*(one for name in LEASES for one in lease_rights(name)), lease_events())),
            NAMESPACE,
        ),
        _binding(CONTROLLER, _CONTROLLER, NAMESPACE),
        _role(AGENT, _agent_rules(known, enrolment=enrolment)),
        _binding(AGENT, _group(AGENTS)),
        *(_enrolment(user_data=user_data) if enrolment else ()),
        *agent_policies(certified=enrolment),
        *(enrolment_policies() if enrolment else ()),
        *(user_data_policies() if user_data else ()),
    )


def _enrolment(*, user_data: bool) -> tuple[Json, ...]:
    """Give who may ask for certificates, where agents have their Leases, and which tokens the controller may delete and make."""
    tokens = [one for one in (*ENROLS, *((TELLS_TOKENS,) if user_data else ())) if one.namespace]
    leases = _rule("coordination.k8s.io", ["leases"], ("create", "get", "update", "patch"))
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS_NAMESPACE}},
        _role(AGENT, [leases], AGENTS_NAMESPACE),
        _binding(AGENT, _group(AGENTS), AGENTS_NAMESPACE),
        _role(BOOTSTRAP, [_asking()]),
        _binding(BOOTSTRAP, _group(BOOTSTRAPPERS)),
        _role(CONTROLLER, _rules(tokens), TOKENS.namespace),
        _binding(CONTROLLER, _CONTROLLER, TOKENS.namespace),
    )


def _askers() -> Json:
    """Give what health checks of others may do, as a role that Cluster API and medik8s add to their own by its labels."""
    rules = [
        _rule(GROUP, [KubenodeRemediation.KIND.plural], (*_READ, "create", "update", "patch", "delete")),
        _rule(GROUP, [KubenodeRemediationTemplate.KIND.plural], _READ),
    ]
    role = _role(ASKERS, rules)
    role["metadata"]["labels"] = {
        "cluster.x-k8s.io/aggregate-to-manager": "true", "rbac.ext-remediation/aggregate-to-ext-remediation": "true",
    }  # fmt: skip
    return role


def read_role(machine: Json) -> tuple[Json, ...]:
    """Give what lets the agent of one incarnation of a Machine read it; both go when the Machine goes.

    Args:
        machine: as stored.
    """
    name, uid = machine["metadata"]["name"], machine["metadata"]["uid"]
    rule = _rule(GROUP, ["machines"], _READ) | {"resourceNames": [name]}
    role, binding = _role(user_of(name), [rule]), _binding(user_of(name), _group(UID + uid))
    for one in (role, binding):
        one["metadata"]["ownerReferences"] = [owned_by(machine)]
        one["metadata"]["labels"] = {MACHINE_LABEL: name}
    return role, binding


def owned_by(machine: Json) -> Json:
    """Give the reference by which an object goes when a Machine, as stored, goes."""
    kind, metadata = Machine.KIND, machine["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _rules(wanted: Iterable[Right]) -> list[Json]:
    """Give the rules that grant some rights and no other, resources with the same verbs together."""
    verbs: dict[tuple[str, str], set[str]] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for one in wanted:
        if one.name:
            names.setdefault((one.group, one.resource), set()).add(one.name)
        # What is limited to names and what is not would be granted together if they were one rule.
        key = f"{one.resource} by name" if one.name else one.resource
        verbs.setdefault((one.group, key), set()).add(one.verb)
    together: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, key), granted in verbs.items():
        resource = key.removesuffix(" by name")
        named = tuple(sorted(names[group, resource])) if key != resource else ()
        together.setdefault((group, tuple(sorted(granted)), named), []).append(resource)
    return [
        _rule(group, sorted(resources), granted) | ({"resourceNames": list(named)} if named else {})
        for (group, granted, named), resources in sorted(together.items())
    ]


def _agent_rules(reads: Reads, *, enrolment: bool) -> list[Json]:
    machines = [_rule(GROUP, ["machines"], _READ)] if reads is Reads.ANY else []
    return [
        *machines,
        _rule(GROUP, ["machinecomponents"], ["get"]),
        _rule(GROUP, ["machines/status"], ["patch"]),
        *([_asking()] if enrolment else []),
    ]


def _asking() -> Json:
    return _rule(CSR_GROUP, ["certificatesigningrequests"], ("create", "get"))


def _group(name: str) -> Json:
    return {"kind": "Group", "apiGroup": _RBAC, "name": name}


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Json:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _role(name: str, rules: list[Json], namespace: str = "") -> Json:
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": _metadata(name, namespace), "rules": rules}


def _binding(name: str, subject: Json, namespace: str = "") -> Json:
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [subject],
    }


def _metadata(name: str, namespace: str) -> Json:
    return {"name": name, "namespace": namespace} if namespace else {"name": name}


__all__ = [
    "AGENT", "AGENTS", "CONTROLLER", "NAMESPACE", "Document", "Manifests", "Reads", "install", "load_manifests",
    "owned_by", "read_documents", "read_role", "review", "to_yaml",
]  # fmt: skip
