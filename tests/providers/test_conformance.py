"""The provider kit passes what is sound, and finds each planted fault with the words that mend it."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest

from kubenode.providers import (
    Ambiguous,
    CreateRequest,
    Instance,
    InstanceState,
    Invalid,
    MemoryProvider,
    NotFound,
    Page,
    Power,
    ProviderError,
    Unavailable,
    conformance,
)
from kubenode.providers.memory import MemoryParams
from tests.third_party.kit import broken, laws
from tests.third_party.kubenode_rack.kubenode_rack import RackParams, RackProvider
from tests.third_party.kubenode_rack.rackd import FakeRack

ROW = RackParams(row="r1")
LOST = TimeoutError("lost")
Made = Callable[[conformance.Wire], Any]


def rack(wire: conformance.Wire) -> RackProvider:
    """A sound provider over the wire."""
    return RackProvider(wire(FakeRack().send))


def strange(wire: conformance.Wire) -> RackProvider:
    """Its cloud says a word that nobody knows."""
    return RackProvider(wire(FakeRack(power="hibernating").send))


def late(wire: conformance.Wire) -> RackProvider:
    """A sound provider before a cloud that shows things late."""
    return RackProvider(wire(FakeRack(late=3).send))


def teapot(method: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
    """Refuse, by a code that nobody knows."""
    return 418, {}


def refusing(wire: conformance.Wire) -> RackProvider:
    """A sound provider before a cloud that refuses everything."""
    return RackProvider(wire(teapot))


test_memory = conformance.provider(
    lambda wire: MemoryProvider(), params=MemoryParams(), module="kubenode.providers", sdk=["boto3", "aliyunsdkcore"]
)  # fmt: skip
test_rack = conformance.provider(
    rack, params=ROW, other=RackParams(row="r2"), lost=LOST, strange=strange, late=late, refusing=refusing,
    module="tests.third_party.kubenode_rack.kubenode_rack", sdk=["httpx"],
)  # fmt: skip
test_late = conformance.provider(late, params=ROW, lost=LOST)


def test_what_does_not_apply_is_told() -> None:
    """A law that is left out says so in the test's id, and why."""
    shown = laws(conformance.provider(lambda wire: NoPower(), params=attrs.make_class("None_", [])()))
    left_out = [name for name in shown if "not applicable" in name]
    assert left_out == [
        "lost-answer-is-ambiguous-and-its-repeat-makes-no-second (not applicable: no wire, so no lost=)",
        "token-with-other-parameters-is-a-conflict (not applicable: no other= parameters)",
        "strange-state-is-unknown (not applicable: no strange= cloud)",
        "not-shown-yet-is-not-gone-and-not-made-again (not applicable: no late= cloud)",
        "strange-code-is-no-finding (not applicable: no refusing= cloud)",
        "one-method-is-one-wire-call (not applicable: no wire, so no lost=)",
        "importing-the-plugin-loads-no-sdk (not applicable: no module= and sdk=)",
        "one-power-token-is-one-act (not applicable: no power())",
        "tags-are-added-and-kept (not applicable: no set_tags())",
        "events-keep-their-ids-and-are-given-once (not applicable: no events())",
        "consent-to-nothing-is-not-found (not applicable: no confirm_event())",
        "a-node-finds-its-instance (not applicable: no instance_of())",
        "a-choice-is-one-placement (not applicable: no choices())",
        "a-guard-is-shown (not applicable: no guard())",
        "one-redeploy-token-is-one-move (not applicable: no redeploy())",
        "one-reimage-token-is-one-replacement (not applicable: no reimage())",
        "a-command-is-run-and-its-end-is-told (not applicable: no run_command())",
        "the-console-is-that-of-the-instance (not applicable: no console_log())",
        "ended-events-are-over (not applicable: no ended_events())",
    ]


class NoPower:
    """Not even a provider; only what it has is asked."""


class BadName(RackProvider):
    """Its name cannot stand in an object."""

    name = "My Rack"


class Async(RackProvider):
    """Its get is a coroutine."""

    async def get(self, instance_id: str) -> Any:  # type: ignore[override]
        """Do nothing."""


class NoToken(RackProvider):
    """Sends a token of its own with every create."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create under another token."""
        return super().create(attrs.evolve(request, token=f"{request.token}-{next(NUMBERS)}"))


class LooksFirst(RackProvider):
    """Looks whether it made one before, then makes one under a token of its own."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Look, then create: two of these at once make two."""
        found = self.find(request.tags, None).items
        if found:
            return found[0]
        GATE.wait()
        return super().create(attrs.evolve(request, token=f"{request.token}-{next(NUMBERS)}"))


class GivesUp(RackProvider):
    """Looks whether it made one before; when it is not shown, it makes another."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Give up the look too early."""
        found = self.find(request.tags, None).items
        return (
            found[0]
            if found
            else super().create(attrs.evolve(request, token=f"{request.token}-{next(NUMBERS)}"))
        )


class BlamesParameters(RackProvider):
    """Takes every refusal of a create for wrong parameters."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create, and map too much."""
        try:
            return super().create(request)
        except Ambiguous as error:
            raise Invalid("refused") from error


class TakesForGone(RackProvider):
    """Takes every refusal of a look for "not there"."""

    def get(self, instance_id: str) -> Instance:
        """Look, and map too much."""
        try:
            return super().get(instance_id)
        except OSError as error:
            raise NotFound(instance_id) from error


class TakesForNone(RackProvider):
    """Takes a refusal of a list for an empty one."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Read what is not there."""
        status, _ = self.send("GET", "/hosts", {"tags": dict(tags), "after": cursor or ""})
        return Page(items=()) if status != 200 else super().find(tags, cursor)


class DeletesAnyhow(RackProvider):
    """Does not look at what the answer says."""

    def delete(self, instance_id: str) -> None:
        """Ask, and go on."""
        self.send("DELETE", f"/hosts/{instance_id}", {})


class Unmapped(RackProvider):
    """Lets the time-out of its transport through."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create, and map nothing."""
        _, host = self.send("PUT", f"/hosts/{request.token}", {"row": "r1", "tags": dict(request.tags)})
        return Instance(id=host["id"], zone="r1", state=InstanceState.RUNNING)


class SameToken(RackProvider):
    """Takes the old instance for one with other parameters."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create, and never mind the row."""
        return super().create(attrs.evolve(request, params=ROW))


class KeyErrors(RackProvider):
    """Raises KeyError for an instance that is not there."""

    def get(self, instance_id: str) -> Instance:
        """Read the answer without a look at the status."""
        return Instance(
            id=self.send("GET", f"/hosts/{instance_id}", {})[1]["id"], zone="", state=InstanceState.UNKNOWN
        )


class FirstPage(RackProvider):
    """Gives the first page as if it was all."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Forget the cursor."""
        return Page(items=super().find(tags, cursor).items)


class Overlap(RackProvider):
    """Begins each page with the last of the one before."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give one too many."""
        page = super().find(tags, cursor)
        return attrs.evolve(page, items=((self.get(cursor),) if cursor else ()) + page.items)


class Endless(RackProvider):
    """Never says that a page is the last."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give a cursor that leads nowhere."""
        return Page(items=() if cursor else super().find(tags, None).items, cursor="more")


class Listing(RackProvider):
    """Gives a list instead of a page."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Any:
        """Give a list."""
        return list(super().find(tags, cursor).items)


class Everybody(RackProvider):
    """Does not filter."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give all there are."""
        return super().find({}, cursor)


class Strict(RackProvider):
    """Deletes what is gone with an error."""

    def delete(self, instance_id: str) -> None:
        """Raise for 404, and not what it means."""
        if self.send("DELETE", f"/hosts/{instance_id}", {})[0] == 404:
            raise KeyError(instance_id)


class Keeps(RackProvider):
    """Says that it has deleted, and has not."""

    def delete(self, instance_id: str) -> None:
        """Do nothing."""


class Words(RackProvider):
    """Gives the cloud's own words."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create, and say `on`."""
        return attrs.evolve(super().create(request), state="on")


class Guesses(RackProvider):
    """Takes what it does not know for running."""

    def get(self, instance_id: str) -> Instance:
        """Guess."""
        return attrs.evolve(super().get(instance_id), state=InstanceState.RUNNING)


class TwoCalls(RackProvider):
    """Looks before it deletes."""

    def delete(self, instance_id: str) -> None:
        """Look, then delete."""
        if self.send("GET", f"/hosts/{instance_id}", {})[0] != 404:
            super().delete(instance_id)


class Retries(RackProvider):
    """Repeats by itself."""

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Try three times."""
        for _ in range(2):
            try:
                return super().find(tags, cursor)
            except TimeoutError:
                pass
        return super().find(tags, cursor)


class LogsBody(RackProvider):
    """Logs what it sends."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create, and log the request."""
        logging.getLogger("rack.http").debug("PUT %s", request.user_data.hex())
        return super().create(request)


class TellsBody(RackProvider):
    """Raises with what it sent."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Create; an error names the request."""
        try:
            return super().create(request)
        except ProviderError as error:
            raise type(error)(f"{request} failed") from ValueError(request.user_data)


class PowersAgain(RackProvider):
    """Forgets the token of a power act."""

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Act every time."""
        super().power(instance_id, action, f"{token}-{next(NUMBERS)}")


LATE = "not-shown-yet-is-not-gone-and-not-made-again"
CODE = "strange-code-is-no-finding"
NUMBERS = iter(range(10**6))
GATE = threading.Barrier(8)


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (BadName, "name-and-params", "BadName.name is 'My Rack'; write lower-case letters"),
        (Async, "methods-are-plain-functions", "Async.get is async; write a plain def"),
        (NoToken, "one-token-makes-one-instance", "create() with token 't-kit-0' twice made m00000 and m00001; send request.token"),
        (LooksFirst, "racing-creates-make-one-instance", "8 creates at once with one token made m00000, m00001"),
        (Unmapped, "lost-answer-is-ambiguous-and-its-repeat-makes-no-second", "create() raised TimeoutError: lost when its answer was lost; raise Ambiguous"),
        (NoToken, "lost-answer-is-ambiguous-and-its-repeat-makes-no-second", "and its repeat, made 2: m00000, m00001; send request.token"),
        (SameToken, "token-with-other-parameters-is-a-conflict", "create() returned for a token used before with other parameters; raise TokenConflict"),
        (KeyErrors, "get-of-nobody-is-not-found", "get() raised KeyError: 'id' for an instance that does not exist; raise NotFound"),
        (FirstPage, "find-is-complete-and-gives-each-once", "find() gave 50 of 120 instances over all its pages; give the next cursor"),
        (Overlap, "find-is-complete-and-gives-each-once", "find() gave m00049 twice"),
        (Endless, "find-is-complete-and-gives-each-once", "find() gave the cursor 'more' twice, so it never ends; None marks the last page"),
        (Listing, "find-is-complete-and-gives-each-once", "find() returned a list; return Page("),
        (Everybody, "find-is-complete-and-gives-each-once", "which does not carry the tags asked for"),
        (Strict, "delete-twice-is-no-error", "when called twice; an instance that is gone is NotFound, or no error"),
        (Keeps, "delete-twice-is-no-error", "get() says InstanceState.RUNNING after delete()"),
        (Words, "states-are-ours", "create() gave Instance("),
        (TwoCalls, "one-method-is-one-wire-call", "delete() made 2 wire calls; make one"),
        (Retries, "one-method-is-one-wire-call", "find() made 3 wire calls when the answer was lost"),
        (LogsBody, "no-secret-is-told", "user_data is told in the log"),
        (TellsBody, "no-secret-is-told", "user_data is told in the text of ValueError"),
        (GivesUp, LATE, "before the cloud shows what it made made 2: m00000, m00001; send request.token"),
        (KeyErrors, LATE, "get() raised KeyError: 'id' for an instance that the cloud does not show yet; raise NotFound or Unavailable"),
        (BlamesParameters, CODE, "create() raised Invalid: refused for a code that nobody knows; raise Ambiguous"),
        (TakesForGone, CODE, "get() raised NotFound: m00000 for a code that nobody knows; raise Unavailable"),
        (TakesForNone, CODE, "find() returned for a code that nobody knows"),
        (DeletesAnyhow, CODE, "delete() returned for a code that nobody knows"),
        (PowersAgain, "one-power-token-is-one-act", "made InstanceState.RUNNING InstanceState.STOPPED; a token is one act"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(fault: type[RackProvider], law: str, words: str) -> None:
    """One law is broken, and its text says by what and what to write."""
    kit = conformance.provider(
        lambda wire: fault(wire(FakeRack().send)), params=ROW, lost=LOST,
        late=lambda wire: fault(wire(FakeRack(late=3).send)), refusing=lambda wire: fault(wire(teapot)),
    )  # fmt: skip
    assert words in broken(kit, law)


class LooksBefore(RackProvider):
    """Asks for a page before it creates, and takes the loss of the second answer for a failure."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Look, then create."""
        try:
            self.find({}, None)
        except TimeoutError as error:
            raise Ambiguous from error
        try:
            return super().create(request)
        except Ambiguous as error:
            raise Unavailable(str(error)) from error


class LooksWell(RackProvider):
    """Asks for a page before it creates."""

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """Look, then create."""
        try:
            self.find({}, None)
        except TimeoutError as error:
            raise Ambiguous from error
        return super().create(request)


test_rack_that_looks = conformance.provider(
    lambda wire: LooksWell(wire(FakeRack().send)), params=ROW, lost=LOST, steps=2
)


def test_of_several_steps_each_answer_is_lost_in_turn() -> None:
    """Not only the first: what looks before it writes is ambiguous at the write, too; and two are not one."""
    law = "lost-answer-is-ambiguous-and-its-repeat-makes-no-second"
    kit = conformance.provider(
        lambda wire: LooksBefore(wire(FakeRack().send)), params=ROW, lost=LOST, steps=2
    )
    assert "create() raised Unavailable" in broken(kit, law)
    kit = conformance.provider(lambda wire: LooksWell(wire(FakeRack().send)), params=ROW, lost=LOST)
    assert "create() made 2 wire calls; make one" in broken(kit, "one-method-is-one-wire-call")


def test_a_late_cloud_has_to_be_late() -> None:
    """One that shows what it makes at once proves nothing."""
    assert "find() shows at once what late() makes" in broken(
        conformance.provider(rack, params=ROW, late=rack), LATE
    )


def test_a_guessed_state_is_found() -> None:
    """Only a sample of a strange cloud shows it."""
    kit = conformance.provider(
        rack, params=ROW, lost=LOST, strange=lambda wire: Guesses(wire(FakeRack(power="?").send))
    )
    assert "said InstanceState.RUNNING for a state that nobody knows" in broken(
        kit, "strange-state-is-unknown"
    )


def test_a_wire_that_is_kept_quiet_is_found() -> None:
    """Without `lost` there may be no wire, and with it there must be one."""
    (law,) = [name for name in laws(conformance.provider(rack, params=ROW)) if name.startswith("one-method")]
    assert "the provider has a wire; give lost=" in broken(conformance.provider(rack, params=ROW), law)
    kit = conformance.provider(lambda wire: RackProvider(FakeRack().send), params=ROW, lost=LOST)
    assert "wire(send)" in broken(kit, "lost-answer-is-ambiguous-and-its-repeat-makes-no-second")


def test_an_sdk_loaded_at_import_is_found() -> None:
    """The module of the entry point is imported in a process of its own."""
    kit = conformance.provider(
        rack, params=ROW, module="tests.third_party.kubenode_rack.kubenode_rack", sdk=["attrs"]
    )
    law = "importing-the-plugin-loads-no-sdk"
    assert "kubenode_rack loads attrs; import it in the method that needs it" in broken(kit, law)
    kit = conformance.provider(rack, params=ROW, module="no_such_module", sdk=["attrs"])
    assert "importing no_such_module failed: ModuleNotFoundError" in broken(kit, law)


def test_the_kit_needs_pytest_only_when_it_is_used() -> None:
    """Imported without pytest it is quiet, and called it names the extra."""
    code = """
import sys
sys.modules["pytest"] = None
from kubenode.providers import MemoryProvider, conformance
from kubenode.providers.memory import MemoryParams
try:
    conformance.provider(lambda wire: MemoryProvider(), params=MemoryParams())
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        result.stdout.strip() == "the conformance kits of kubenode need pytest: pip install 'kubenode[test]'"
    )
