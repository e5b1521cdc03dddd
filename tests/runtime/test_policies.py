"""The admission policies are made from the model: what is added to it is compared, without anybody having to think of it."""

import base64
import re
from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.fields import fields_of
from kubenode.core.model import Machine, MachineStatus, ObjectMeta
from kubenode.core.model.meta import Text
from kubenode.runtime.manifests import Reads, install
from kubenode.runtime.policies import AGENTS_PART, agent_policies, packed, same


@attrs.frozen(kw_only=True)
class GrownStatus(MachineStatus):
    """A status of a later version."""

    novelty: Annotated[str, Text(max=63)] = ""


@attrs.frozen(kw_only=True)
class Grown:
    """A Machine of a later version."""

    metadata: ObjectMeta
    spec: Any
    extra: Any = None
    status: GrownStatus = GrownStatus()


def compared(cel: str) -> set[str]:
    """Give the fields that an expression holds to be equal before and after."""
    pairs = re.findall(r"object([.?\w]+) == oldObject([.?\w]+)", cel)
    assert len(pairs) == len(cel.split(" && "))
    assert all(one == other for one, other in pairs)
    return {one.replace("?", "") for one, _ in pairs}


def test_every_field_but_the_agents_own_is_compared() -> None:
    """Of status, spec and metadata."""
    status = {f".status.{field.wire}" for field in fields_of(MachineStatus) if field.wire != AGENTS_PART}
    metadata = {f".metadata.{name}" for name in ("labels", "annotations", "finalizers", "ownerReferences")}
    assert len(status) >= 6
    assert compared(same(Machine)) == status | metadata | {".spec"}


def test_a_field_that_is_added_is_compared() -> None:
    """In the status and beside it; and the policy is made of that expression."""
    assert compared(same(Grown)) - compared(same(Machine)) == {".status.novelty", ".extra"}
    policy, _ = agent_policies(certified=True)
    assert any(same(Machine) in rule["expression"] for rule in policy["spec"]["validations"])


@pytest.mark.parametrize("enrolment", [False, True])
def test_every_policy_refuses_and_is_in_force(enrolment: bool) -> None:
    """An expression that fails refuses too; each has a binding, and says Forbidden, not that something is invalid."""
    objects = install(enrolment=enrolment)
    policies = {
        one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "ValidatingAdmissionPolicy"
    }
    bindings = {
        one["metadata"]["name"]: one["spec"]
        for one in objects
        if one["kind"] == "ValidatingAdmissionPolicyBinding"
    }
    assert policies.keys() == bindings.keys()
    assert len(policies) == (5 if enrolment else 1)
    for name, spec in policies.items():
        assert spec["failurePolicy"] == "Fail"
        assert {rule["reason"] for rule in spec["validations"]} == {"Forbidden"}
        assert bindings[name] == {"policyName": name, "validationActions": ["Deny"]}


def test_without_enrolment_a_certificate_may_leave_the_uid_out() -> None:
    """Those come from elsewhere; one that names a uid is held to it all the same."""
    strict, lenient = (
        agent_policies(certified=one)[0]["spec"]["validations"][-1]["expression"] for one in (True, False)
    )
    assert "exists(" not in strict
    assert "exists(g, g.startsWith('kubenode:uid:'))" in lenient


def grants(enrolment: bool, reads: Reads | None = None) -> dict[str, list[Any]]:
    """Give the rules of roles by kind, name and namespace."""
    return {
        f"{one['kind']} {one['metadata']['name']} {one['metadata'].get('namespace', '')}".strip(): one[
            "rules"
        ]
        for one in install(enrolment=enrolment, reads=reads)
        if "rules" in one
    }


def test_who_enrols_may_ask_and_nothing_else() -> None:
    """A bootstrap token asks for a certificate; the controller deletes Secrets in one namespace, and reads none anywhere."""
    more = {name: rules for name, rules in grants(True).items() if name not in grants(False)}
    asks = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"],
        "verbs": ["create", "get"],
    }
    assert more == {
        "ClusterRole kubenode-bootstrap": [asks],
        "Role kubenode-agent kubenode-agents": [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["create", "get", "update", "patch"],
            }
        ],
        "Role kubenode-controller kube-system": [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]}
        ],
    }
    assert not [
        rule
        for rules in grants(True).values()
        for rule in rules
        if "secrets" in rule["resources"] and rule["verbs"] != ["delete"]
    ]


@pytest.mark.parametrize(("enrolment", "reads", "may"), [
    (False, None, True), (True, None, False), (True, Reads.ANY, True), (False, Reads.OWN, False),
])  # fmt: skip
def test_an_agent_reads_all_machines_only_where_it_is_wanted(
    enrolment: bool, reads: Reads | None, may: bool
) -> None:
    """With enrolment each reads its own, by a role that comes with its token."""
    rules = grants(enrolment, reads)["ClusterRole kubenode-agent"]
    assert any("machines" in rule["resources"] for rule in rules) == may


@pytest.mark.parametrize("begins", ["", "a", "ab", "abc", "a,b:"])
@given(rest=st.text("-0123456789abcdef", min_size=36, max_size=36))
def test_the_expression_for_base64_takes_every_uid(begins: str, rest: str) -> None:
    """At whatever place of its groups of three the uid begins."""
    assert re.fullmatch(packed(begins, 36), base64.b64encode(f"{begins}{rest}".encode()).decode())


@pytest.mark.parametrize("begins", ["", "a", "ab"])
@given(rest=st.lists(st.sampled_from("-0af,"), min_size=35, max_size=35), place=st.integers(0, 35))
def test_the_expression_for_base64_takes_no_further_group(begins: str, rest: list[str], place: int) -> None:
    """A comma at any place; nor a text that is longer, shorter or begins otherwise."""
    text = f"{begins}{''.join([*rest[:place], ',', *rest[place:]])}"
    wanted = packed(begins, 36)
    assert not re.fullmatch(wanted, base64.b64encode(text.encode()).decode())
    for other in ("0" * 35, "0" * 37, f"x{'0' * 36}"):
        assert not re.fullmatch(packed("begins", 36), base64.b64encode(f"begins{other}".encode()).decode())
