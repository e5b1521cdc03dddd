"""What the API server refuses by admission policy, since RBAC cannot say it: generated from the model.

RBAC lets agents patch the status of Machines; these say of which, and which part. Every field of the model but the
agent's own is compared, so a field that is added to a class is in the policy without anybody having to think of it.
"""

import base64
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from kubenode.core.enrol.identity import AGENT, AGENTS, BOOTSTRAPPERS, UID, token_group
from kubenode.core.enrol.request import CLIENT_AUTH, LONGEST, SHORTEST, USAGES
from kubenode.core.fields import fields_of
from kubenode.core.lease import CONTROLLER, NAMESPACE
from kubenode.core.model import Json, Machine
from kubenode.core.model.meta import GROUP, MACHINE_LABEL
from kubenode.core.model.world import SIGNER

AGENTS_NAMESPACE: Final = "kubenode-agents"
"""Where agents have their Leases."""
TOKEN_TYPE: Final = "bootstrap.kubernetes.io/token"  # noqa: S105 - a type
AGENTS_PART: Final = "agent"
"""The part of a Machine's status that its agent writes."""

_UID_DIGITS: Final = "-0123456789abcdef"
_BASE64: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_REGISTRATION: Final = "admissionregistration.k8s.io"
_CSRS: Final = "certificatesigningrequests"
_METADATA: Final = ("labels", "annotations", "finalizers", "ownerReferences")
_IS_AGENT: Final = f"'{AGENTS}' in request.userInfo.groups"
_MACHINE: Final = f"request.userInfo.username.startsWith('{AGENT}') ? request.userInfo.username.substring({len(AGENT)}) : ''"
_USER: Final = f"system:serviceaccount:{NAMESPACE}:{CONTROLLER}"


def agent_policies(*, certified: bool) -> tuple[Json, ...]:
    """Give what keeps an agent to its part of its own Machine.

    Args:
        certified: every agent's certificate names the uid of its Machine, as enrolment makes them; else only those
            that name one are held to it.
    """
    rules = [
        (
            "request.operation == 'UPDATE' && request.resource.resource == 'machines' && request.subResource == 'status'",
            "an agent may write only the status of its own Machine",
        ),
        ("request.name == variables.machine", "an agent may write only its own Machine"),
        (
            f"request.operation != 'UPDATE' || ({same(Machine)})",
            f"an agent may write only status.{AGENTS_PART}",
        ),
        (
            f"request.operation != 'UPDATE' || {_of_this_machine(certified=certified)}",
            "the certificate is of another Machine of this name",
        ),
    ]
    matched = _matched(GROUP, ("*/*",), ("*",), versions=("*",))
    return _policy("kubenode-agent-machine", matched, _IS_AGENT, rules)


def _of_this_machine(*, certified: bool) -> str:
    named = f"('{UID}' + string(oldObject.metadata.uid)) in request.userInfo.groups"
    if certified:
        return named
    return f"({named} || !request.userInfo.groups.exists(g, g.startsWith('{UID}')))"


def same(cls: type[Any]) -> str:
    """Give the CEL that is true when an update changes nothing of an object but the agent's part of its status."""
    return " && ".join(f"object{path} == oldObject{path}" for path in _paths(cls))


def _paths(cls: type[Any]) -> Iterator[str]:
    for field in fields_of(cls):
        if field.name == "metadata":
            yield from (f".metadata.?{name}" for name in _METADATA)
        elif field.name == "status":
            parts = (part.wire for part in fields_of(field.told.bare))
            yield from (f".?status.?{part}" for part in parts if part != AGENTS_PART)
        else:
            yield f".?{field.wire}"


def enrolment_policies() -> tuple[Json, ...]:
    """Give what limits certificate requests of agents and tokens, agents' Leases, and the controller that approves."""
    return (*_lease(), *_request(), *_approval(), *_token())


def _lease() -> tuple[Json, ...]:
    rule = (
        "request.operation in ['CREATE', 'UPDATE'] && "
        f"request.namespace == '{AGENTS_NAMESPACE}' && object.metadata.name == variables.machine && "
        "object.spec.?holderIdentity.orValue('') == request.userInfo.username && "
        "!has(object.metadata.finalizers) && !has(object.metadata.ownerReferences)"
    )
    matched = _matched("coordination.k8s.io", ("*/*",), ("*",), versions=("*",))
    return _policy(
        "kubenode-agent-lease", matched, _IS_AGENT, [(rule, "an agent may write only its own Lease")]
    )


def _request() -> tuple[Json, ...]:
    """Refuse at once what is never approved: of others who approve, one might sign it."""
    usages = ", ".join(f"'{one}'" for one in sorted(USAGES))
    low, high = int(SHORTEST.total_seconds()), int(LONGEST.total_seconds())
    seconds = "object.spec.?expirationSeconds.orValue(0)"
    rules = [
        (f"object.spec.signerName == '{SIGNER}'", f"agents ask only the signer {SIGNER}"),
        (
            f"'{CLIENT_AUTH}' in object.spec.usages && object.spec.usages.all(u, u in [{usages}])",
            f"agents ask only for usage {CLIENT_AUTH}",
        ),
        (f"{seconds} >= {low} && {seconds} <= {high}", f"expirationSeconds is from {low} to {high}"),
    ]
    who = f"request.userInfo.groups.exists(g, g in ['{AGENTS}', '{BOOTSTRAPPERS}'])"
    matched = _matched("certificates.k8s.io", (_CSRS,), ("CREATE",))
    return _policy("kubenode-agent-request", matched, who, rules)


def _approval() -> tuple[Json, ...]:
    """Let the controller approve only what an agent or one of our tokens asked for: RBAC has no finer word than the signer."""
    approves = "object.?status.?conditions.orValue([]).exists(c, c.type == 'Approved')"
    rule = (
        f"!{approves} || (object.spec.signerName == '{SIGNER}' && "
        f"object.spec.?groups.orValue([]).exists(g, g in ['{AGENTS}', '{BOOTSTRAPPERS}']))"
    )
    matched = _matched("certificates.k8s.io", (f"{_CSRS}/approval",), ("UPDATE",))
    text = "kubenode approves only what agents and its own bootstrap tokens ask for"
    return _policy("kubenode-controller-approval", matched, _by_controller(), [(rule, text)])


def _token() -> tuple[Json, ...]:
    """Let the controller delete bootstrap tokens of machines only: to RBAC they are Secrets like all others there."""
    rule = (
        f"oldObject.type == '{TOKEN_TYPE}' && '{MACHINE_LABEL}' in oldObject.metadata.?labels.orValue({{}})"
    )
    matched = _matched("", ("secrets",), ("DELETE",))
    text = "kubenode deletes only bootstrap tokens of machines"
    return _policy("kubenode-controller-token", matched, _by_controller(), [(rule, text)])


def user_data_policies() -> tuple[Json, ...]:
    """Let the controller make bootstrap tokens of machines only, that are good for an agent and for nothing else."""
    groups = f"{BOOTSTRAPPERS},{token_group('')}"
    rules = (
        f"object.type == '{TOKEN_TYPE}'",
        f"'{MACHINE_LABEL}' in object.metadata.?labels.orValue({{}})",
        f"{_data('auth-extra-groups')}.matches('{packed(groups, 36)}')",
        f"{_data('usage-bootstrap-authentication')} == '{base64.b64encode(b'true').decode()}'",
        "!('usage-bootstrap-signing' in object.?data.orValue({}))",
    )
    matched = _matched("", ("secrets",), ("CREATE",))
    text = "kubenode makes only bootstrap tokens of machines"
    return _policy("kubenode-controller-new-token", matched, _by_controller(), [(" && ".join(rules), text)])


def _data(key: str) -> str:
    return f"object.data[?'{key}'].orValue('')"


def packed(begins: str, rest: int) -> str:
    """Give the regular expression of the base64 of a text and so many digits of a uid: the policy's language unpacks none.

    It matches the base64 of each of them, and of no text with a comma in the rest, which would be one group more.
    """
    places = [*(begins[n] for n in range(len(begins))), *(_UID_DIGITS for _ in range(rest))]
    return f"^{''.join(_packed(places[n : n + 3]) for n in range(0, len(places), 3))}$"


def _packed(places: Sequence[str]) -> str:
    """Give it of three places or fewer, each with the characters that it may have.

    A comma in the first place differs from a dash in the second sign only, so that one goes by the first.
    """
    first, second, third = (*([ord(one) for one in place] for place in places), [0], [0])[:3]
    signs: dict[int, set[int]] = {}
    for one in first:
        signs.setdefault(one >> 2, set()).update((one & 3) << 4 | other >> 4 for other in second)
    head = "|".join(_BASE64[sign] + _among(following) for sign, following in sorted(signs.items()))
    middle = _among({(one & 15) << 2 | other >> 6 for one in second for other in third})
    last = _among({one & 63 for one in third})
    return f"({head})" + (f"{middle}{last}", f"{middle}=", "==")[3 - len(places)]


def _among(signs: Iterable[int]) -> str:
    return f"[{''.join(_BASE64[sign] for sign in sorted(signs))}]"


def _by_controller() -> str:
    return f"request.userInfo.username == '{_USER}'"


def _matched(
    group: str, resources: Sequence[str], operations: Sequence[str], *, versions: Sequence[str] = ("v1",)
) -> Json:
    return {
        "apiGroups": [group], "apiVersions": list(versions), "operations": list(operations),
        "resources": list(resources), "scope": "*",
    }  # fmt: skip


def _policy(name: str, matched: Json, who: str, rules: Sequence[tuple[str, str]]) -> tuple[Json, ...]:
    """Give a policy and what puts it in force; an expression that fails refuses."""
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [matched]},
        "matchConditions": [{"name": "who", "expression": who}],
        "variables": [{"name": "machine", "expression": _MACHINE}],
        "validations": [
            {"expression": cel, "message": message, "reason": "Forbidden"} for cel, message in rules
        ],
    }
    bound = {"policyName": name, "validationActions": ["Deny"]}
    version = f"{_REGISTRATION}/v1"
    return (
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": bound},
    )  # fmt: skip
