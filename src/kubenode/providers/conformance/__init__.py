"""The conformance kit of providers: a pytest test with a case for every law.

    def make(wire: conformance.Wire) -> RackProvider:
        return RackProvider(send=wire(FakeRack().send))

    test_rack = conformance.provider(make, params=RackParams(row="r1"), lost=TimeoutError("lost"))

`make` gives a new provider in front of a new fake cloud, and hands the function that makes a wire call
through `wire`, which counts the calls and loses answers. A provider that keeps its instances in memory
ignores `wire` and gives no `lost`; the laws of the wire are then marked as not applicable.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import attrs

from kubenode.core.capability import (
    SupportsConfirmEvent,
    SupportsConsoleLog,
    SupportsEndedEvents,
    SupportsEvents,
    SupportsFallback,
    SupportsGuard,
    SupportsProviderId,
    SupportsRedeploy,
    SupportsReimage,
    SupportsRunCommand,
    SupportsTags,
)
from kubenode.core.hookspecs import Provider, SupportsPower
from kubenode.core.law import BrokenLaw, Law, law_test
from kubenode.providers.conformance import acting, further, laws
from kubenode.providers.conformance.looking import Kit
from kubenode.providers.conformance.wire import Wire

__all__ = ["BrokenLaw", "Wire", "provider"]

P = TypeVar("P")
Check: TypeAlias = Callable[[Kit[Any]], None]

LAWS: Mapping[str, Check] = MappingProxyType({
    "name-and-params": laws.check_names,
    "methods-are-plain-functions": laws.check_plain,
    "one-token-makes-one-instance": laws.check_double_create,
    "racing-creates-make-one-instance": laws.check_racing_creates,
    "lost-answer-is-ambiguous-and-its-repeat-makes-no-second": laws.check_lost_answer,
    "token-with-other-parameters-is-a-conflict": laws.check_conflict,
    "get-of-nobody-is-not-found": laws.check_nobody,
    "find-is-complete-and-gives-each-once": laws.check_find,
    "delete-twice-is-no-error": laws.check_delete,
    "states-are-ours": laws.check_states,
    "strange-state-is-unknown": laws.check_strange,
    "not-shown-yet-is-not-gone-and-not-made-again": laws.check_late,
    "strange-code-is-no-finding": laws.check_strange_code,
    "one-method-is-one-wire-call": laws.check_one_call,
    "no-secret-is-told": laws.check_secret,
    "importing-the-plugin-loads-no-sdk": laws.check_import,
    "one-power-token-is-one-act": laws.check_power,
    "tags-are-added-and-kept": further.check_tags,
    "events-keep-their-ids-and-are-given-once": further.check_events,
    "consent-to-nothing-is-not-found": further.check_consent,
    "a-node-finds-its-instance": further.check_provider_id,
    "a-choice-is-one-placement": further.check_choices,
    "a-guard-is-shown": further.check_guard,
    "one-redeploy-token-is-one-move": acting.check_redeploy,
    "one-reimage-token-is-one-replacement": acting.check_reimage,
    "a-command-is-run-and-its-end-is-told": acting.check_command,
    "the-console-is-that-of-the-instance": acting.check_console,
    "ended-events-are-over": acting.check_ended,
})  # fmt: skip
NEEDED: Mapping[Check, type] = MappingProxyType({
    laws.check_power: SupportsPower, further.check_tags: SupportsTags, further.check_events: SupportsEvents,
    further.check_consent: SupportsConfirmEvent,
    further.check_provider_id: SupportsProviderId, further.check_choices: SupportsFallback,
    further.check_guard: SupportsGuard,
    acting.check_redeploy: SupportsRedeploy, acting.check_reimage: SupportsReimage, acting.check_command: SupportsRunCommand,
    acting.check_console: SupportsConsoleLog, acting.check_ended: SupportsEndedEvents,
})  # fmt: skip
WIRED = frozenset({laws.check_lost_answer, laws.check_one_call})


def provider(  # noqa: PLR0913 - a word for each thing that a cloud may show
    make: Callable[[Wire], Provider[P]], *, params: P, other: P | None = None, lost: BaseException | None = None,
    strange: Callable[[Wire], Provider[P]] | None = None, module: str = "", sdk: Collection[str] = (), many: int = 120,
    eventful: Callable[[Wire], Provider[P]] | None = None, late: Callable[[Wire], Provider[P]] | None = None,
    refusing: Callable[[Wire], Provider[P]] | None = None, ended: Callable[[Wire], tuple[Provider[P], tuple[str, ...]]] | None = None, steps: int = 1,
) -> Callable[..., None]:  # fmt: skip
    """Give a pytest test with a case for every law of a provider.

    Args:
        make: gives a new provider in front of a new fake cloud, which sends through the wire it is given.
        params: parameters of an instance.
        other: different ones; when not given, one field of `params` is changed.
        lost: what the transport raises when an answer is lost; None for a provider without a wire.
        strange: as `make`, but its cloud answers with a state that nobody knows.
        module: the module that the entry point names.
        sdk: the modules that importing `module` must not load.
        many: how many instances find() is tried with; more than one page of your cloud.
        eventful: as `make`, but its cloud plans maintenance for every instance that is made; needed with events().
        steps: the most wire calls of one method: more than one only for an API without idempotency keys, where an act
            has to look before it writes. Then the answer of each of them is lost in turn.
        late: as `make`, but its cloud does not show what it makes for the first three looks.
        refusing: as `make`, but its cloud refuses every call with a code that nobody knows.
        ended: gives a provider before a cloud with events that are over, and their ids; needed with ended_events().

    Raises:
        ImportError: pytest is not installed.
    """
    kit = Kit(
        make=make, params=params, other=_changed(params) if other is None else other, lost=lost, strange=strange,
        module=module, sdk=tuple(sdk), many=many, eventful=eventful, late=late, refusing=refusing, ended=ended, steps=steps,
    )  # fmt: skip
    left_out = _left_out(kit)
    return law_test(
        Law(name=name, why_not=left_out.get(check, ""), check=partial(_done(check, left_out), kit))
        for name, check in LAWS.items()
    )


def _left_out(kit: Kit[Any]) -> Mapping[Check, str]:
    """Say which laws do not apply to what the author gave, and why."""
    wire = "no wire, so no lost="
    reasons: dict[Check, str] = {
        laws.check_lost_answer: "" if kit.lost is not None else wire,
        laws.check_one_call: "" if kit.lost is not None else wire,
        laws.check_conflict: "" if kit.other is not None else "no other= parameters",
        laws.check_strange: "" if kit.strange is not None else "no strange= cloud",
        laws.check_late: "" if kit.late is not None else "no late= cloud",
        laws.check_strange_code: "" if kit.refusing is not None else "no refusing= cloud",
        laws.check_import: "" if kit.module and kit.sdk else "no module= and sdk=",
    }
    have = _example(kit.make)
    reasons |= {
        check: "" if isinstance(have, kind) else f"no {further.CAPABILITIES[kind][0]}()"
        for check, kind in NEEDED.items()
    }
    return {check: why for check, why in reasons.items() if why}


def _done(check: Check, left_out: Mapping[Check, str]) -> Check:
    """Give what is checked instead of a law that is left out: without a wire, that there is none indeed."""
    if check not in left_out:
        return check
    return laws.check_unused_wire if check in WIRED else lambda _: None


def _example(make: Callable[[Wire], Provider[Any]]) -> object:
    """Give a provider to look for its methods; None when there is none, and every case shows what is wrong."""
    with contextlib.suppress(Exception):
        return make(Wire())
    return None


def _changed(params: Any) -> Any:
    """Give parameters that differ in one text or number; None when there is none that may change."""
    for field in attrs.fields(type(params)) if attrs.has(type(params)) else ():
        value = getattr(params, field.name)
        new = f"{value}2" if isinstance(value, str) else value + 1 if type(value) is int else None
        if new is not None:
            with contextlib.suppress(Exception):  # this field's validator refuses it: try the next
                return attrs.evolve(params, **{field.alias or field.name: new})
    return None
