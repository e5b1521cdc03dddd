"""The laws of capabilities: what a provider that has the method keeps, beyond the four that each has."""

import operator
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from kubenode.core.capability import (
    CloudEvent,
    SupportsChecks,
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
from kubenode.core.errors import NotFound
from kubenode.core.hookspecs import Guard, Page, Provider, SupportsPower
from kubenode.core.law import BrokenLaw
from kubenode.providers.conformance.looking import Kit, able, error_of, eventually, pages, shown, walk
from kubenode.providers.conformance.wire import Wire

CAPABILITIES: Mapping[type, tuple[str, ...]] = {
    SupportsPower: ("power",),
    SupportsEvents: ("events",),
    SupportsEndedEvents: ("ended_events",),
    SupportsConfirmEvent: ("confirm_event",),
    SupportsRedeploy: ("redeploy",),
    SupportsReimage: ("reimage",),
    SupportsRunCommand: ("run_command", "command"),
    SupportsTags: ("set_tags",),
    SupportsConsoleLog: ("console_log",),
    SupportsProviderId: ("instance_of",),
    SupportsFallback: ("choices",),
    SupportsGuard: ("guard",),
    SupportsChecks: ("checks", "check"),
}
MORE = {"kubenode.dev/kit-more": "x"}
PLANNED = 3
GUARDS = (
    Guard(hands_off=True, holds_end=True), Guard(holds_end=True), Guard(hands_off=True), Guard(),
)  # fmt: skip


def methods_of(cloud: Provider[Any]) -> tuple[str, ...]:
    """Give the methods of the capabilities that a provider has."""
    return tuple(name for kind, names in CAPABILITIES.items() if isinstance(cloud, kind) for name in names)


def calls_of(cloud: Provider[Any], instance_id: str) -> Mapping[str, Callable[[], object]]:
    """Give a call of each capability that can be tried on any cloud, for those laws that count calls."""
    calls: dict[str, Callable[[], object]] = {}
    if isinstance(cloud, SupportsTags):
        calls["set_tags"] = lambda: cloud.set_tags(instance_id, MORE)
    if isinstance(cloud, SupportsGuard):
        calls["guard"] = lambda: cloud.guard(instance_id, GUARDS[0])
    if isinstance(cloud, SupportsConsoleLog):
        calls["console_log"] = lambda: cloud.console_log(instance_id)
    if isinstance(cloud, SupportsEvents):
        calls["events"] = lambda: cloud.events(None)
    if isinstance(cloud, SupportsEndedEvents):
        calls["ended_events"] = lambda: cloud.ended_events(("kubenode-kit-event",))
    if isinstance(cloud, SupportsRunCommand):
        calls["run_command"] = lambda: cloud.run_command(
            instance_id, b"true", "t-kit-command", timedelta(minutes=1)
        )
        calls["command"] = lambda: cloud.command(instance_id, "kubenode-kit-command")
    if isinstance(cloud, SupportsRedeploy):
        calls["redeploy"] = lambda: cloud.redeploy(instance_id, "t-kit-redeploy")
    if isinstance(cloud, SupportsReimage):
        calls["reimage"] = lambda: cloud.reimage(instance_id, "kubenode-kit-image", "t-kit-reimage")
    if isinstance(cloud, SupportsChecks):
        calls |= {f"check {about}": partial(cloud.check, about, None) for about in cloud.checks(None)}
    return calls


def check_tags(kit: Kit[Any]) -> None:
    """Check that tags are added, and that the others stay."""
    (_, cloud), request = able(kit, SupportsTags), kit.request()
    made = cloud.create(request).id
    shown(cloud, made)
    for _ in range(2):
        cloud.set_tags(made, MORE)
    want = {**request.tags, **MORE}
    tags = eventually(lambda: shown(cloud, made).tags, lambda tags: want.items() <= tags.items())
    if not want.items() <= tags.items():
        raise BrokenLaw(
            f"get() shows the tags {dict(tags)} after set_tags({MORE}); add to the tags, and keep {dict(request.tags)}"
        )
    if made not in eventually(lambda: walk(cloud, want), bool):
        raise BrokenLaw("find() does not give an instance by a tag that set_tags() set")


def check_events(kit: Kit[Any]) -> None:
    """Check that a poll gives each event once, and the next poll gives it under the same id."""
    if kit.eventful is None:
        raise BrokenLaw("events() needs eventful=, a cloud that plans maintenance for what is made")
    cloud = kit.eventful(Wire(kit.lost))
    made = {cloud.create(kit.request(number)).id for number in range(PLANNED)}
    if not isinstance(cloud, SupportsEvents):
        raise BrokenLaw("make() gives providers with events() and eventful() without; give one kind")

    def look() -> Mapping[str, CloudEvent]:
        return _poll(cloud)

    first = eventually(look, lambda seen: made <= {event.instance for event in seen.values()})
    if missing := made - {event.instance for event in first.values()}:
        raise BrokenLaw(
            f"events() gave none of {sorted(missing)[0]}, for which the cloud has planned maintenance; "
            "ask for the whole region, and send the cursor you are given"
        )
    if first.keys() != look().keys():
        raise BrokenLaw(
            "events() gave other ids in a second poll; an event keeps its id, or it is taken for a new one"
        )


def check_consent(kit: Kit[Any]) -> None:
    """Check that consent to what does not wait for any is told apart: a repeat must not look like a failure."""
    _, cloud = able(kit, SupportsConfirmEvent)
    try:
        cloud.confirm_event("e-kit-no-such-event")
    except NotFound:
        return
    except Exception as error:
        raise BrokenLaw(
            f"confirm_event() of an id that nobody knows raised {type(error).__name__}; raise NotFound"
        ) from error
    raise BrokenLaw("confirm_event() of an id that nobody knows raised nothing; raise NotFound")


def _poll(cloud: Any) -> Mapping[str, CloudEvent]:
    seen: dict[str, CloudEvent] = {}
    for page in pages("events", cloud.events):
        if not isinstance(page, Page) or not all(isinstance(one, CloudEvent) for one in page.items):
            raise BrokenLaw(
                "events() gave something else; give Page(items=(CloudEvent(...), ...), cursor=...)"
            )
        for event in page.items:
            if event.id in seen:
                raise BrokenLaw(f"events() gave {event.id} twice in one poll")
            seen[event.id] = event
    return seen


def check_provider_id(kit: Kit[Any]) -> None:
    """Check that a Node finds its instance, and that no Node of another cloud does."""
    _, cloud = able(kit, SupportsProviderId)
    made = cloud.create(kit.request())
    if not made.provider_id:
        raise BrokenLaw("create() gave no provider_id; write it as the cloud's controller manager does")
    if cloud.instance_of(made.provider_id) != made.id:
        raise BrokenLaw(
            f"instance_of({made.provider_id!r}) is {cloud.instance_of(made.provider_id)!r}; create() made {made.id!r}"
        )
    for strange in ("", "no-cloud:///zone/x", "no-cloud:///zone/" + made.id):
        if cloud.instance_of(strange) is not None:
            raise BrokenLaw(
                f"instance_of({strange!r}) is {cloud.instance_of(strange)!r}; give None: it is of another cloud"
            )


def check_choices(kit: Kit[Any]) -> None:
    """Check that each choice is one placement."""
    _, cloud = able(kit, SupportsFallback)
    for params in (kit.params, kit.other):
        choices = cloud.choices(params)
        if not choices or not all(isinstance(one, cloud.params) for one in choices):
            raise BrokenLaw(f"choices() gave {choices!r}; give at least one {cloud.params.__name__}")
        if any(cloud.choices(one) != (one,) for one in choices):
            raise BrokenLaw("choices() of a choice gave something else; a choice is its own only one")


def check_guard(kit: Kit[Any]) -> None:
    """Check that an instance shows what its infrastructure was told to leave alone, and nothing else."""
    _, cloud = able(kit, SupportsGuard)
    made = cloud.create(kit.request()).id
    eventually(
        lambda: (shown(cloud, made), error_of(lambda: cloud.guard(made, Guard())))[1],
        lambda error: not isinstance(error, NotFound),
    )
    for guard in GUARDS:
        for _ in range(2):
            cloud.guard(made, guard)
        seen = eventually(lambda: shown(cloud, made).guard, partial(operator.eq, guard))
        if seen != guard:
            raise BrokenLaw(f"get() shows {seen} after guard({guard}); show what the infrastructure was told")
