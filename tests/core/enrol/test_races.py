"""Whatever crashes, races and comes late: one key a token, and in the end the one that was first."""

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import AnswerRequest, DeleteToken, Effect
from kubenode.core.enrol.decide import EnrolSnapshot, decide
from kubenode.core.enrol.identity import groups_of, token_group
from kubenode.core.enrol.request import RequestState, SigningRequest
from kubenode.core.model.world import SIGNER
from kubenode.core.policy import Policy

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
UID = "uid-1"
KEYS = {name: name * 64 for name in "abc"}


class World:
    """A server with one Machine, requests, tokens, and all states that it ever had."""

    def __init__(self) -> None:
        self._versions = itertools.count(2)
        self.machine = m.Machine(
            metadata=m.ObjectMeta(name="m1", uid=UID, resource_version="1"),
            spec=m.MachineSpec(host=m.Host(address="h")),
        )
        self.requests: dict[str, SigningRequest] = {}
        self.tokens = {"tokens"[:5] + digit for digit in "12"}
        self.approved: dict[str, list[str]] = defaultdict(list)
        self.asked: dict[str, list[str]] = defaultdict(list)
        self.states: list[tuple[m.Machine, tuple[SigningRequest, ...]]] = []
        self.keep()

    def keep(self) -> None:
        """Remember the state as one that a cache may still show."""
        self.states.append((self.machine, tuple(self.requests.values())))

    def ask(self, token: str, key: str) -> None:
        """Store a request, as long as the server knows its token."""
        if token not in self.tokens:
            return
        number = len(self.asked[token]) + sum(map(len, self.asked.values()))
        name = f"r{token}{number}"
        self.asked[token].append(KEYS[key])
        self.requests[name] = SigningRequest(
            name=name, uid=name, version=str(next(self._versions)), created=START + timedelta(seconds=number),
            signer=SIGNER, usages=("client auth",), expiration_seconds=600, username=f"system:bootstrap:{token}",
            groups=(token_group(UID),), common_name="kubenode:agent:m1", organizations=groups_of(UID), key=KEYS[key],
        )  # fmt: skip
        self.keep()

    def sign(self, index: int) -> None:
        """Let the signer answer one that was approved."""
        waiting = [one for one in self.requests.values() if one.state is RequestState.APPROVED]
        if waiting:
            one = waiting[index % len(waiting)]
            version = str(next(self._versions))
            self.requests[one.name] = attrs.evolve(one, state=RequestState.ENDED, version=version)
            self.keep()

    def forget(self, index: int) -> None:
        """Let the server clean an answered request away, or a person delete one."""
        if self.requests:
            del self.requests[sorted(self.requests)[index % len(self.requests)]]
            self.keep()

    def decide(self, back: int, writes: int) -> bool:
        """Decide on a state that is so old, do so many of the writes, and crash; tell whether there was anything to do."""
        machine, requests = self.states[max(0, len(self.states) - 1 - back)]
        seen = EnrolSnapshot(
            name="m1",
            machine=machine,
            requests=requests,
            now=m.Now(wall=START + timedelta(minutes=1), elapsed=1),
        )
        decision = decide(seen, Policy())
        if decision.wake_at is not None:
            later = m.Now(wall=seen.now.wall, elapsed=decision.wake_at)
            decision = decide(attrs.evolve(seen, now=later, sightings=decision.sightings), Policy())
        todo: list[m.Enrolment | Effect] = [*decision.effects]
        if decision.status is not None and decision.status != machine.status.enrolment:
            todo.insert(0, decision.status)
        for one in todo[:writes]:
            if not self._write(one, machine.metadata.resource_version):
                break
        return bool(todo)

    def _write(self, one: m.Enrolment | Effect, version: str) -> bool:
        """Do one write; False when it was decided on another state than there is now."""
        match one:
            case m.Enrolment():
                return self._enrolment(one, version)
            case DeleteToken():
                self.tokens.discard(one.token_id)
                held = self.machine.status.enrolment
                return held is not None and self._enrolment(
                    attrs.evolve(held, spent=True), one.resource_version
                )
            case AnswerRequest():
                request = self.requests.get(one.request.name)
                if request is None or request.version != one.resource_version:
                    return False
                state = RequestState.APPROVED if one.approved else RequestState.DENIED
                if one.approved:
                    self.approved[request.username.rpartition(":")[2]].append(request.key)
                changed = attrs.evolve(request, state=state, version=str(next(self._versions)))
                self.requests[request.name] = changed
                self.keep()
                return True
            case _:
                raise AssertionError(one)

    def _enrolment(self, wanted: m.Enrolment, version: str) -> bool:
        metadata = self.machine.metadata
        if metadata.resource_version != version:
            return False
        self.machine = attrs.evolve(
            self.machine,
            metadata=attrs.evolve(metadata, resource_version=str(next(self._versions))),
            status=m.MachineStatus(enrolment=wanted),
        )
        self.keep()
        return True


ASKS = st.tuples(st.just("ask"), st.sampled_from(["token1", "token2"]), st.sampled_from(sorted(KEYS)))
DECIDES = st.tuples(st.just("decide"), st.integers(0, 4), st.integers(0, 4))
FORGETS = st.tuples(st.just("forget"), st.integers(0, 9), st.just(0))
SIGNS = st.tuples(st.just("sign"), st.integers(0, 9), st.just(0))


@given(st.lists(ASKS | DECIDES | DECIDES | SIGNS | FORGETS, max_size=40))
def test_no_two_keys_are_ever_approved_from_one_token(story: list[tuple[str, str, int]]) -> None:
    """Controllers decide on states of any age, die between any two writes, and requests come and go."""
    world = World()
    for what, one, other in story:
        getattr(world, what)(*((one, other) if what in ("ask", "decide") else (one,)))
        assert all(len(set(keys)) <= 1 for keys in world.approved.values()), world.approved


@given(st.lists(ASKS, max_size=12), st.lists(st.integers(0, 3), max_size=30))
def test_each_token_is_good_for_its_first_key_once(
    asked: list[tuple[str, str, str]], crashes: list[int]
) -> None:
    """With caches that are up to date, and crashes that end: every request is answered, the used tokens are deleted."""
    world = World()
    for _, token, key in asked:
        world.ask(token, key)
    for writes in crashes:
        world.decide(0, writes)
    for _ in range(50):
        acted = world.decide(0, 9)
        signed = any(one.state is RequestState.APPROVED for one in world.requests.values())
        world.sign(0)
        if not acted and not signed:
            break
    else:
        raise AssertionError("it does not come to rest")
    assert {one.state for one in world.requests.values()} <= {RequestState.ENDED, RequestState.DENIED}
    for token, keys in world.asked.items():
        if keys:
            assert world.approved[token] == keys[:1]
            assert token not in world.tokens
