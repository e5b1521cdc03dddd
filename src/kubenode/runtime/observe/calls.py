"""Calls of providers, and what came of them as data. Each is made where it is called: in a thread, or in place."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kubenode.core import errors
from kubenode.core.capability import SupportsConfirmEvent, SupportsGuard
from kubenode.core.decision import (
    CloudEffect,
    ConfirmEvent,
    CreateInstance,
    GuardInstance,
    RebootInstance,
    TerminateInstance,
)
from kubenode.core.errors import NotFound, ProviderError
from kubenode.core.hookspecs import CreateRequest, Instance, Power, Provider, SupportsPower
from kubenode.core.instance.seen import LOOKED_FOR, ProviderAnswer
from kubenode.runtime.observe.launches import Launches

if TYPE_CHECKING:
    from kubenode.runtime.enrolment import BootstrapToken

TEXT_LIMIT: Final = 512
"""Most characters of an error that are told."""
PAGES: Final = 1000
"""Most pages of one look: a provider that goes on for ever is wrong."""
GETS: Final = 20
"""Most instances that are asked for by their id in one look, because it did not show them."""
MEANINGS: Final = frozenset(
    name for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, ProviderError) and one is not ProviderError
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Failure:
    """A call that failed: the meaning of its error, and what the provider says."""

    error: str
    text: str
    retry_after: int = 0


@attrs.frozen(kw_only=True)
class Look:
    """One complete look at a provider.

    Attributes:
        began: `Now.elapsed` when it began.
        instances: all that bear kubenode's tag, and those that were asked for by their id.
        absent: ids that it was asked for, and does not know.
    """

    began: int
    instances: tuple[Instance, ...]
    absent: frozenset[str] = frozenset()


Looked: TypeAlias = Look | Failure


def made(
    launches: Launches, effect: CloudEffect, token: "BootstrapToken | None" = None
) -> Instance | Failure | None:
    """Make the call of an effect; give the instance of a create, None of what is done to one, or how it failed.

    Args:
        launches: reads its parameters.
        effect: what is asked for.
        token: with which the agent of an instance enrols, where its user data brings it; the server knows it by now.
    """
    provider = launches.provider(effect.provider)
    if provider is None:
        return Failure(error="Invalid", text=f"no plugin brings the provider {effect.provider!r}")
    if isinstance(effect, TerminateInstance):
        return _done(lambda: provider.delete(effect.instance))
    if isinstance(effect, RebootInstance):
        return _rebooted(provider, effect)
    if isinstance(effect, ConfirmEvent):
        return _confirmed(provider, effect)
    if isinstance(effect, GuardInstance):
        return _guarded(provider, effect)
    return _created(provider, launches, effect, token)


def _created(
    provider: Provider[Any], launches: Launches, effect: CreateInstance, token: "BootstrapToken | None"
) -> Instance | Failure:
    params = launches.launch(effect)
    if params is None:
        return Failure(error="Invalid", text="the parameters are read otherwise now; nothing was sent")
    request = CreateRequest(
        token=effect.token, machine=effect.machine.name, params=params, tags=effect.tags,
        user_data=launches.boots.bytes_of(effect, token),
    )  # fmt: skip
    try:
        given: object = provider.create(request)
    except Exception as error:
        return failure(error, otherwise="Ambiguous")
    if isinstance(given, Instance):
        return given
    return Failure(
        error="Ambiguous",
        text=f"create() of {provider.name} gave {type(given).__name__}, which is no Instance",
    )


def _rebooted(provider: object, effect: RebootInstance) -> Failure | None:
    if not isinstance(provider, SupportsPower):
        return Failure(error="Unsupported", text=f"provider {effect.provider} cannot restart an instance")
    return _done(lambda: provider.power(effect.instance, Power.REBOOT, effect.op_id))


def _guarded(provider: object, effect: GuardInstance) -> Failure | None:
    if not isinstance(provider, SupportsGuard):
        return Failure(
            error="Unsupported", text=f"provider {effect.provider} cannot be told to leave anything"
        )
    return _done(lambda: provider.guard(effect.instance, effect.guard))


def _confirmed(provider: object, effect: ConfirmEvent) -> Failure | None:
    if not isinstance(provider, SupportsConfirmEvent):
        return Failure(error="Unsupported", text=f"provider {effect.provider} waits for nobody's consent")
    return _done(lambda: provider.confirm_event(effect.event))


def _done(call: Callable[[], None]) -> Failure | None:
    try:
        call()
    except Exception as error:
        return failure(error, otherwise="Ambiguous")
    return None


def failure(error: Exception, *, otherwise: str) -> Failure:
    """Give the meaning of an error; of one that is not a provider's to raise, `otherwise`."""
    meaning = next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in MEANINGS), otherwise)
    own = isinstance(error, ProviderError)
    text = str(error) if own and str(error) else type(error).__name__
    after = error.retry_after if isinstance(error, ProviderError) else None
    return Failure(
        error=meaning, text=text[:TEXT_LIMIT].encode(errors="replace").decode(),
        retry_after=0 if after is None else int(after.total_seconds() * 1_000_000_000),
    )  # fmt: skip


def look(provider: Provider[Any], known: Collection[str], began: int) -> Looked:
    """Look at all of a provider's instances that bear our tag; those that are known and not among them, one by one."""
    found: dict[str, Instance] = {}
    cursor: str | None = None
    try:
        for _ in range(PAGES):
            page = provider.find(LOOKED_FOR, cursor)
            found.update((one.id, one) for one in page.items)
            cursor = page.cursor
            if cursor is None:
                return _asked_after(provider, known, found, began)
    except Exception as error:
        return failure(error, otherwise="Unavailable")
    return Failure(error="Unavailable", text=f"find() of {provider.name} gave more than {PAGES} pages")


def _asked_after(
    provider: Provider[Any], known: Collection[str], found: Mapping[str, Instance], began: int
) -> Look:
    """Ask for the known ones that were not shown: one that lost its tag is there all the same."""
    got: list[Instance] = []
    absent: set[str] = set()
    for instance_id in sorted(set(known) - found.keys())[:GETS]:
        try:
            got.append(provider.get(instance_id))
        except NotFound:
            absent.add(instance_id)
    return Look(began=began, instances=(*found.values(), *got), absent=frozenset(absent))


def answered(effect: CloudEffect, given: Instance | Failure | None, at: int) -> ProviderAnswer:
    """Give what came of an effect, as a decision is told of it."""
    op_id = effect.token if isinstance(effect, CreateInstance) else effect.op_id
    if isinstance(given, Failure):
        return ProviderAnswer(
            op_id=op_id,
            at=at,
            error=given.error,
            text=given.text,
            retry_after=given.retry_after,
            tries=effect.tries + 1,
        )
    return ProviderAnswer(op_id=op_id, at=at, instance=given, tries=effect.tries + 1)
