"""Which certificate requests are approved: every check by a request that fails it alone, and what becomes of a token."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import AnswerRequest, Decision, DeleteToken
from kubenode.core.enrol.decide import EnrolSnapshot, decide
from kubenode.core.enrol.identity import NAME_LIMIT, check_enrollable, groups_of, token_group
from kubenode.core.enrol.request import EnrolReason, RequestState, SigningRequest, machine_of
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model.world import SIGNER
from kubenode.core.policy import Policy

WALL = datetime(2026, 3, 2, 9, tzinfo=UTC)
UID = "0b9d-1"
KEY, OTHER_KEY = "a" * 64, "b" * 64
TOKEN, NEXT_TOKEN = "abc123", "def456"
HOUR = timedelta(hours=1)


def machine(enrolment: m.Enrolment | None = None, **metadata: Any) -> m.Machine:
    """The expected machine."""
    return m.Machine(
        metadata=m.ObjectMeta(**{"name": "m1", "uid": UID, "resource_version": "7", **metadata}),
        spec=m.MachineSpec(host=m.Host(address="h")),
        status=m.MachineStatus(enrolment=enrolment),
    )


def request(name: str = "r", *, token: str = TOKEN, **more: Any) -> SigningRequest:
    """A request as a good agent makes it, with a token of the machine."""
    good = {
        "uid": f"{name}-uid", "version": "3", "created": WALL - timedelta(seconds=1), "signer": SIGNER,
        "usages": ("client auth", "digital signature"), "expiration_seconds": 3600,
        "username": f"system:bootstrap:{token}",
        "groups": ("system:bootstrappers", "system:bootstrappers:kubenode", token_group(UID)),
        "common_name": "kubenode:agent:m1", "organizations": groups_of(UID), "key": KEY,
    }  # fmt: skip
    return SigningRequest(name=name, **{**good, **more})


def renewal(**more: Any) -> SigningRequest:
    """A request as a good agent makes it, with its certificate."""
    known = {
        "username": "kubenode:agent:m1", "groups": (*groups_of(UID), "system:authenticated"), "key": OTHER_KEY,
    }  # fmt: skip
    return request("renewal", **{**known, **more})


def decided(*requests: SigningRequest, of: m.Machine | None) -> Decision[m.Enrolment]:
    """Decide about some requests."""
    seen = EnrolSnapshot(name="m1", machine=of, requests=requests, now=m.Now(wall=WALL, elapsed=5))
    return decide(seen, Policy())


def answers(decision: Decision[m.Enrolment]) -> dict[str, tuple[bool, str]]:
    """Give what is answered to whom."""
    return {
        one.request.name: (one.approved, one.reason)
        for one in decision.effects
        if isinstance(one, AnswerRequest)
    }


HELD = m.Enrolment(token_id=TOKEN, key=KEY)
SPENT = attrs.evolve(HELD, spent=True)


def test_a_token_is_taken_for_a_key_before_anything_is_approved() -> None:
    """One decision writes which key it is; the next, seeing it, approves, naming the state that was judged."""
    first = decided(request(), of=machine())
    assert (first.status, first.effects) == (HELD, ())
    second = decided(request(), of=machine(HELD))
    assert second.status is None
    assert second.effects == (
        AnswerRequest(
            request=m.Ref(kind="CertificateSigningRequest", name="r", uid="r-uid"), resource_version="3",
            approved=True, reason="Enrolled", message="by its token abc123",
        ),
    )  # fmt: skip


def test_a_token_is_left_until_its_request_has_ended() -> None:
    """The agent fetches with it what the signer is slow to give; the approval alone changes nothing more."""
    found = decided(request(state=RequestState.APPROVED), of=machine(HELD))
    assert (found.status, found.effects, found.notes, found.wake_at) == (None, (), (), None)


def test_a_token_is_deleted_when_the_agent_had_time_to_fetch_its_certificate() -> None:
    """Fifteen seconds after the first request of it was seen to have ended, to the nanosecond; then nothing is left to do."""
    late, ended = request("a", state=RequestState.ENDED, created=WALL), request(state=RequestState.ENDED)
    key, due = "ended:r-uid", 15 * 10**9
    first = decided(late, ended, of=machine(HELD))
    assert (first.status, first.effects) == (None, ())
    assert (first.sightings, first.wake_at) == ({key: 5}, 5 + due)
    seen = EnrolSnapshot(
        name="m1", machine=machine(HELD), requests=(late, ended), now=m.Now(wall=WALL, elapsed=4 + due), sightings={key: 5}
    )  # fmt: skip
    still = decide(seen, Policy())
    assert (still.effects, still.sightings, still.wake_at) == ((), {key: 5}, 5 + due)
    over = decide(attrs.evolve(seen, now=m.Now(wall=WALL, elapsed=5 + due)), Policy())
    assert over.effects == (
        DeleteToken(machine=m.Ref(kind="Machine", name="m1", uid=UID), token_id=TOKEN, resource_version="7"),
    )
    assert (over.sightings, over.wake_at) == ({}, None)
    at_rest = decide(attrs.evolve(seen, machine=machine(SPENT)), Policy())
    assert (at_rest.status, at_rest.effects, at_rest.notes, at_rest.wake_at) == (None, (), (), None)


def test_a_request_of_another_token_that_has_ended_deletes_none() -> None:
    """Nor does it wake anybody; nor one of a Machine that holds no token."""
    ended = request(token=NEXT_TOKEN, state=RequestState.ENDED)
    for held in (HELD, SPENT, None):
        found = decided(ended, of=machine(held))
        assert (found.effects, found.sightings, found.wake_at) == ((), {}, None)


REFUSED: dict[str, tuple[Any, EnrolReason]] = {
    "another user's token": (
        {"groups": ("system:bootstrappers:kubenode", token_group("0b9d-2"))}, EnrolReason.REQUESTER_UNKNOWN,
    ),
    "kubeadm's token": (
        {"groups": ("system:bootstrappers:kubeadm:default-node-token",)}, EnrolReason.REQUESTER_UNKNOWN,
    ),
    "a person": ({"username": "alice", "groups": (token_group(UID),)}, EnrolReason.REQUESTER_UNKNOWN),
    "nobody": ({"username": ""}, EnrolReason.REQUESTER_UNKNOWN),
    "another agent": (
        {"username": "kubenode:agent:m2", "groups": groups_of(UID)}, EnrolReason.REQUESTER_UNKNOWN,
    ),
    "an agent of an earlier machine": (
        {"username": "kubenode:agent:m1", "groups": groups_of("0b9d-0")}, EnrolReason.REQUESTER_UNKNOWN,
    ),
    "an agent without a uid": (
        {"username": "kubenode:agent:m1", "groups": ("kubenode:agents",)}, EnrolReason.REQUESTER_UNKNOWN,
    ),
    "uid of an earlier machine": ({"organizations": groups_of("0b9d-0")}, EnrolReason.OTHER_INCARNATION),
    "a group more": ({"organizations": (*groups_of(UID), "admins")}, EnrolReason.SUBJECT_WRONG),
    "a uid more": ({"organizations": (*groups_of(UID), "kubenode:uid:x")}, EnrolReason.SUBJECT_WRONG),
    "a group twice": ({"organizations": (*groups_of(UID), groups_of(UID)[0])}, EnrolReason.SUBJECT_WRONG),
    "no uid": ({"organizations": ("kubenode:agents",)}, EnrolReason.SUBJECT_WRONG),
    "no agent": ({"organizations": groups_of(UID)[1:]}, EnrolReason.SUBJECT_WRONG),
    "masters": ({"organizations": ("system:masters", groups_of(UID)[1])}, EnrolReason.SUBJECT_WRONG),
    "a part of the subject": ({"others": ("2.5.4.11",)}, EnrolReason.SUBJECT_WRONG),
    "a name of a host": ({"extras": ("extension 2.5.29.17",)}, EnrolReason.EXTENSIONS_WANTED),
    "no client": ({"usages": ("digital signature",)}, EnrolReason.USAGES_WRONG),
    "a server": ({"usages": ("client auth", "server auth")}, EnrolReason.USAGES_WRONG),
    "no usage": ({"usages": ()}, EnrolReason.USAGES_WRONG),
    "no end": ({"expiration_seconds": None}, EnrolReason.EXPIRATION_WRONG),
    "too short": ({"expiration_seconds": 599}, EnrolReason.EXPIRATION_WRONG),
    "too long": ({"expiration_seconds": 7 * 86_400 + 1}, EnrolReason.EXPIRATION_WRONG),
    "a weak key": ({"key_fault": "the RSA key has 1024 bits"}, EnrolReason.KEY_WRONG),
    "an old request": (
        {"created": WALL - HOUR - timedelta(seconds=1)}, EnrolReason.REQUEST_EXPIRED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_one_fault_is_enough(why: str) -> None:
    """All else is good, the token is held for this key, and it is refused, for the reason that is true."""
    wrong, reason = REFUSED[why]
    found = decided(request(**wrong), of=machine(HELD))
    assert answers(found) == {"r": (False, reason.value)}
    assert found.status is None
    assert not answers(decided(request(**wrong), of=machine())).get("r", (False, ""))[0]


@pytest.mark.parametrize(("wrong", "text"), [
    ({"expiration_seconds": None}, "expirationSeconds is missing; it is from 600 to 604800"),
    ({"expiration_seconds": 599}, "expirationSeconds is 599; it is from 600 to 604800"),
    ({"usages": ()}, "usages are none; they are client auth and of client auth, digital signature, key encipherment any"),
    ({"organizations": groups_of("x")}, f"the organisation kubenode:uid:x is of another Machine of this name; this one has uid {UID}"),
    ({"organizations": ()}, f"the subject has organisations none; it may have kubenode:agents, kubenode:uid:{UID} and nothing else"),
    ({"organizations": groups_of("x"), "others": ("2.5.4.11",)},
     f"the subject has organisations kubenode:agents, kubenode:uid:x, and 2.5.4.11; "
     f"it may have kubenode:agents, kubenode:uid:{UID} and nothing else"),
])  # fmt: skip
def test_a_refusal_says_what_there_is_and_what_there_may_be(wrong: Any, text: str) -> None:
    """Whoever wrote the agent can put it right."""
    (found,) = decided(request(**wrong), of=machine()).effects
    assert isinstance(found, AnswerRequest)
    assert found.message == text


@pytest.mark.parametrize("wrong", [
    {"usages": ("client auth",)}, {"usages": ("key encipherment", "client auth")}, {"expiration_seconds": 600},
    {"expiration_seconds": 7 * 86_400}, {"created": WALL - HOUR}, {"organizations": groups_of(UID)[::-1]},
    {"created": WALL + HOUR},
])  # fmt: skip
def test_what_is_just_good_is_approved(wrong: Any) -> None:
    """The limits themselves are allowed, and the order of organisations says nothing."""
    assert answers(decided(request(**wrong), of=machine(HELD))) == {"r": (True, "Enrolled")}


def test_a_machine_that_is_not_there_or_goes_gets_no_agent() -> None:
    """Whoever asks; and the status of a machine that goes is left alone."""
    assert answers(decided(request(), renewal(), of=None)) == {
        "r": (False, "MachineMissing"), "renewal": (False, "MachineMissing"),
    }  # fmt: skip
    going = decided(request(), renewal(), of=machine(deletion_timestamp=WALL))
    assert answers(going) == {"r": (False, "MachineDeleting"), "renewal": (False, "MachineDeleting")}
    assert going.status is None


def test_a_machine_of_a_newer_version_is_left_alone() -> None:
    """Nothing is answered: the newer controller does it."""
    found = decided(request(), of=machine(HELD, unknown=("status.enrolment.more",)))
    assert (found.effects, found.status, found.deferred) == ((), None, True)
    assert [note.code for note in found.notes] == ["NewerVersion"]


@pytest.mark.parametrize("other", [
    {"signer": "kubernetes.io/kubelet-serving"}, {"signer": "kubernetes.io/kube-apiserver-client-kubelet"},
    {"common_name": "kubenode:agent:m2"}, {"common_name": "kubenode:agent:"}, {"common_name": "system:node:m1"},
    {"common_name": "kubenode:agents"}, {"state": RequestState.DENIED}, {"state": RequestState.APPROVED},
    {"state": RequestState.ENDED},
])  # fmt: skip
def test_what_is_nobodys_or_anothers_business_is_never_touched(other: Any) -> None:
    """Not even to refuse it; nor what was answered already."""
    wanted: dict[str, Any] = {"organizations": ("system:masters",), **other}
    assert decided(request(**wanted), of=machine(SPENT)).effects == ()
    assert decided(request(**wanted), of=None).effects == ()


def test_a_renewal_is_approved_by_the_certificate_of_this_machine_alone() -> None:
    """Also with a new key, and whatever became of the token."""
    for held in (None, HELD, SPENT):
        found = decided(renewal(), of=machine(held))
        assert answers(found) == {"renewal": (True, "Renewed")}
        assert found.status is None


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.ENDED])
def test_an_approved_renewal_is_at_rest(state: RequestState) -> None:
    """It came with no token, so there is none to delete, whatever became of the one before."""
    approved = renewal(state=state)
    for held in (None, HELD, SPENT):
        found = decided(approved, of=machine(held))
        assert (found.status, found.effects, found.notes, found.wake_at) == (None, (), (), None)


# Tokens that come twice.


def test_of_two_keys_that_race_for_one_token_the_first_request_has_it() -> None:
    """By time, then by name; the loser is refused as soon as the winner is written down."""
    early, late = request("b"), request("a", key=OTHER_KEY, created=WALL)
    assert decided(late, early, of=machine()).status == HELD
    same = attrs.evolve(late, created=early.created)
    assert decided(early, same, of=machine()).status == m.Enrolment(token_id=TOKEN, key=OTHER_KEY)
    found = decided(late, early, of=machine(HELD))
    assert answers(found) == {"b": (True, "Enrolled"), "a": (False, "TokenUsed")}


def test_one_token_is_approved_once() -> None:
    """Two requests with the same key, at once or one after the other, or when the token is spent: one."""
    again = request("again", created=WALL)
    assert answers(decided(request(), again, of=machine(HELD))) == {
        "r": (True, "Enrolled"), "again": (False, "TokenUsed"),
    }  # fmt: skip
    approved = request(state=RequestState.APPROVED)
    assert answers(decided(approved, again, of=machine(HELD))) == {"again": (False, "TokenUsed")}
    assert answers(decided(again, of=machine(SPENT))) == {"again": (False, "TokenUsed")}


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.ENDED])
def test_a_token_that_a_person_approved_from_is_used(state: RequestState) -> None:
    """Though nothing of it is written down."""
    approved = request(state=state)
    found = decided(approved, request("again", key=OTHER_KEY, created=WALL), of=machine())
    assert answers(found) == {"again": (False, "TokenUsed")}
    assert found.status is None


def test_a_token_that_is_held_waits_for_its_key() -> None:
    """The request that it was held for is gone: another one with the same key is approved, no other key."""
    assert answers(decided(request("later"), of=machine(HELD))) == {"later": (True, "Enrolled")}
    assert answers(decided(request("thief", key=OTHER_KEY), of=machine(HELD))) == {
        "thief": (False, "TokenUsed")
    }


def test_a_new_token_waits_until_the_one_before_is_deleted() -> None:
    """Its key is not lost: first the old token goes, then the new one is taken."""
    new = request(token=NEXT_TOKEN, key=OTHER_KEY)
    found = decided(new, of=machine(HELD))
    assert found.effects == (
        DeleteToken(machine=m.Ref(kind="Machine", name="m1", uid=UID), token_id=TOKEN, resource_version="7"),
    )
    assert found.status is None
    same = attrs.evolve(new, key=KEY)
    assert [type(one) for one in decided(same, of=machine(HELD)).effects] == [DeleteToken]
    assert decided(new, of=machine(SPENT)).status == m.Enrolment(token_id=NEXT_TOKEN, key=OTHER_KEY)


def test_two_new_tokens_are_taken_one_after_the_other() -> None:
    """There is one place to write a key down."""
    second = request("second", token=NEXT_TOKEN, key=OTHER_KEY, created=WALL)
    found = decided(request(), second, of=machine())
    assert (found.status, found.effects) == (HELD, ())
    both = decided(request(), second, of=machine(HELD))
    assert answers(both) == {"r": (True, "Enrolled")}
    assert [one.token_id for one in both.effects if isinstance(one, DeleteToken)] == []


def test_a_refusal_repeats_little_of_what_a_stranger_wrote() -> None:
    """A name of a megabyte does not go into the condition, nor into the log."""
    (found,) = decided(request(organizations=("x" * 1_000_000,)), of=machine()).effects
    assert isinstance(found, AnswerRequest)
    assert len(found.message) == 512


# Names.


def test_a_machine_with_a_long_name_cannot_have_an_agent() -> None:
    """X.509 has 64 characters for a common name; and none is made for a machine that goes."""
    check_enrollable(machine(name="m" * NAME_LIMIT))
    with pytest.raises(InvalidObjectError, match="longer than the 49 characters"):
        check_enrollable(machine(name="m" * (NAME_LIMIT + 1)))
    with pytest.raises(InvalidObjectError, match="is being deleted"):
        check_enrollable(machine(deletion_timestamp=WALL))


def test_a_request_is_for_the_machine_in_its_common_name() -> None:
    """And only of our signer."""
    assert machine_of(request()) == "m1"
    assert machine_of(request(signer="example.org/other")) == ""
    assert machine_of(request(common_name="kubelet")) == ""
