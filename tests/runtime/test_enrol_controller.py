"""Which names a change concerns, what is asked of core, and what the answers are in requests to a server."""

import asyncio
import sys
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

from kubenode import runtime
from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import AnswerRequest, DeleteToken
from kubenode.core.enrol.decide import EnrolSnapshot
from kubenode.core.errors import Conflict, Forbidden, ObjectNotFound
from kubenode.core.model import Json, Kind
from kubenode.core.model.world import SIGNER, CertificateSigningRequest
from kubenode.core.policy import Policy
from kubenode.runtime.cli.app import app
from kubenode.runtime.controller.enrol import EnrolController
from kubenode.runtime.controller.wiring import ENROL, NAMES, controllers
from kubenode.runtime.embed import Plugins
from kubenode.runtime.engine.apply import NoHands, apply, reaches
from kubenode.runtime.engine.expect import Written
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.events.notice import Listener
from kubenode.runtime.pkcs10 import read_request
from kubenode.runtime.store.cache import Cache
from kubenode.runtime.store.contract import EventType, MergePatch, WatchEvent
from tests.runtime.test_pkcs10 import NAMES as SUBJECT
from tests.runtime.test_pkcs10 import draft, found, signed

NOW = m.Now.at(found(signed(draft())).metadata.creation_timestamp)  # type: ignore[arg-type]
OTHER = ((SUBJECT[1][0], "system:node:n1"),)


def request(name: str, version: int, *names: Any, signer: str = SIGNER, **status: Any) -> Json:
    """A request as a server serves it."""
    spec = wire.dump(found(signed(draft(*names)), signerName=signer))["spec"]
    return {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": name, "uid": name, "resourceVersion": str(version), "creationTimestamp": "2026-03-02T09:00:00Z"},
        "spec": spec, "status": status,
    }  # fmt: skip


def machine(version: int) -> Json:
    """A Machine as a server serves it."""
    return {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "spec": {"host": {"address": "h"}},
        "metadata": {"name": "m1", "uid": "u1", "resourceVersion": str(version)},
    }  # fmt: skip


@attrs.frozen
class Bench:
    """A cache and the controller that looks at it."""

    cache: Cache
    controller: EnrolController

    def tell(self, kind: type[m.Object], raw: Json, event: EventType = EventType.MODIFIED) -> list[str]:
        """Let something change; give the names that it concerns."""
        change = self.cache.take(kind, WatchEvent(type=event, object=raw))
        assert change is not None
        return list(self.controller.concerns(change))

    def asks(self, name: str) -> EnrolSnapshot | None:
        """Give the snapshot of a name."""
        question = self.controller.question(name, NOW, {})
        return None if question is None else question.snapshot


@pytest.fixture
def bench() -> Bench:
    """An empty one."""
    cache = Cache((m.Machine, CertificateSigningRequest))
    return Bench(cache, EnrolController(cache, read_request))


def test_a_name_is_asked_about_as_long_as_there_is_a_request_for_it(bench: Bench) -> None:
    """A machine alone is no question: agents write its status all the time."""
    assert bench.tell(m.Machine, machine(2)) == []
    assert bench.asks("m1") is None
    assert bench.tell(CertificateSigningRequest, request("r", 3)) == ["m1"]
    seen = bench.asks("m1")
    assert seen is not None
    assert seen.machine is not None
    assert [one.name for one in seen.requests] == ["r"]
    assert bench.tell(m.Machine, machine(4)) == ["m1"]
    assert bench.tell(
        CertificateSigningRequest, request("r", 5, conditions=[{"type": "Denied", "status": "True"}])
    ) == ["m1"]
    assert bench.tell(CertificateSigningRequest, request("r", 6), EventType.DELETED) == ["m1"]
    assert bench.asks("m1") is None
    assert bench.tell(m.Machine, machine(7)) == []


def test_a_request_for_anybody_else_concerns_nobody(bench: Bench) -> None:
    """Nor does one of another signer, nor one that cannot be read."""
    assert bench.tell(CertificateSigningRequest, request("a", 2, *OTHER)) == []
    assert (
        bench.tell(CertificateSigningRequest, request("b", 3, signer="kubernetes.io/kubelet-serving")) == []
    )
    broken = request("c", 4)
    broken["spec"]["request"] = "eA=="
    assert bench.tell(CertificateSigningRequest, broken) == []
    assert bench.tell(CertificateSigningRequest, request("a", 5, *OTHER), EventType.DELETED) == []
    assert bench.asks("m1") is None


def test_a_request_for_no_machine_is_asked_about(bench: Bench) -> None:
    """To be refused."""
    assert bench.tell(CertificateSigningRequest, request("r", 3)) == ["m1"]
    seen = bench.asks("m1")
    assert seen is not None
    assert seen.machine is None
    decision = bench.controller.decide(seen, Policy())
    assert [one.reason for one in decision.effects if isinstance(one, AnswerRequest)] == ["MachineMissing"]


def test_nobody_enrols_unless_it_is_named() -> None:
    """Requests are neither watched nor answered by an engine that was not asked to."""
    plugins = Plugins.given()
    assert CertificateSigningRequest not in controllers(plugins).cache.kinds
    assert CertificateSigningRequest in controllers(plugins, only=(*NAMES, ENROL)).cache.kinds
    assert CertificateSigningRequest.KIND.only == f"spec.signerName={SIGNER}"


def test_answers_are_told_of_the_machine(bench: Bench) -> None:
    """As Events: a refusal is a warning, and so somebody learns of a stolen token. Where there is no Machine, nobody is."""
    bench.tell(CertificateSigningRequest, request("r", 3))
    listener = Listener()

    def heard() -> list[tuple[str, str, str, str]]:
        question = bench.controller.question("m1", NOW, {})
        assert question is not None
        decision = bench.controller.decide(question.snapshot, Policy())
        decided = Decided(
            now=NOW,
            key=Key(ENROL, "m1"),
            question=question,
            policy=Policy(),
            decision=decision,
            acts=decision.effects,
        )
        return [(one.about.name, one.type, one.reason, one.message) for one in listener.hear(decided)]

    assert heard() == []
    bench.tell(m.Machine, machine(4))
    text = "r: who is neither a bootstrap token of this Machine nor its own agent"
    assert heard() == [("m1", "Warning", "RequesterUnknown", text)]


# What the answers are on the wire.


class Server:
    """Notes what is asked of it, and answers as it is told."""

    def __init__(self, **errors: Exception) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._errors = errors

    async def patch(self, kind: Kind, name: str, patch: MergePatch, *, subresource: str = "") -> Json:
        """Note it."""
        self.calls.append(("patch", kind.plural, name, subresource, patch.body))
        return self._answer("patch")

    async def delete(self, kind: Kind, name: str) -> Json:
        """Note it."""
        self.calls.append(("delete", kind.plural, kind.namespace, name))
        return self._answer("delete")

    def _answer(self, verb: str) -> Json:
        if verb in self._errors:
            raise self._errors[verb]
        return {"kind": "x", "metadata": {"resourceVersion": "9"}}


ANSWER = AnswerRequest(
    request=m.Ref(kind="CertificateSigningRequest", name="r", uid="ru"), resource_version="3", approved=True,
    reason="Enrolled", message="by its token",
)  # fmt: skip
FORGET = DeleteToken(
    machine=m.Ref(kind="Machine", name="m1", uid="u1"), token_id="abc123", resource_version="7"
)


@pytest.mark.parametrize("approved", [True, False])
def test_an_answer_is_one_condition_on_the_state_that_was_judged(approved: bool) -> None:
    """By uid and resourceVersion."""
    server: Any = Server()
    act = attrs.evolve(ANSWER, approved=approved)
    done = asyncio.run(apply((act,), server, NoHands()))
    assert done.written == (Written(object=act.request, version=9),)
    condition = {
        "type": "Approved" if approved else "Denied",
        "status": "True",
        "reason": "Enrolled",
        "message": "by its token",
    }
    assert server.calls == [
        ("patch", "certificatesigningrequests", "r", "approval",
         {"metadata": {"uid": "ru", "resourceVersion": "3"}, "status": {"conditions": [condition]}}),
    ]  # fmt: skip
    assert reaches(act) == act.request


def test_a_token_is_deleted_and_then_said_to_be() -> None:
    """A token that is gone is deleted; the word is written on the state that was judged."""
    for server in (Server(), Server(delete=ObjectNotFound("gone"))):
        stub: Any = server
        done = asyncio.run(apply((FORGET,), stub, NoHands()))
        assert done.written == (Written(object=FORGET.machine, version=9),)
        assert server.calls == [
            ("delete", "secrets", "kube-system", "bootstrap-token-abc123"),
            ("patch", "machines", "m1", "status",
             {"metadata": {"uid": "u1", "resourceVersion": "7"}, "status": {"enrolment": {"spent": True}}}),
        ]  # fmt: skip
    assert reaches(FORGET) == FORGET.machine


def test_a_token_that_cannot_be_deleted_is_not_said_to_be() -> None:
    """Nor one whose Machine has changed meanwhile: then all of it is done again, which is no matter."""
    refused: Any = Server(delete=Forbidden("no"))
    assert isinstance(asyncio.run(apply((FORGET,), refused, NoHands())).error, Forbidden)
    assert [call[0] for call in refused.calls] == ["delete"]
    stale: Any = Server(patch=Conflict("changed"))
    assert isinstance(asyncio.run(apply((FORGET,), stale, NoHands())).error, Conflict)


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is connected; wrong use, and one line."""
    monkeypatch.delitem(sys.modules, "kubenode.runtime.pkcs10")
    monkeypatch.delattr(runtime, "pkcs10")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    result = CliRunner().invoke(app, ["controller", "--enrolment", "--listen", "none"])
    assert result.exit_code == 2
    assert (
        result.stderr.splitlines()[-1] == "--enrolment needs cryptography: pip install 'kubenode[enrolment]'"
    )
