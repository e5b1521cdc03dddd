"""What an engine is given is looked at before anything starts; every fault is told at once."""

from collections.abc import Collection, Iterator
from datetime import timedelta

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.policy import Policy
from kubenode.core.reading import near
from kubenode.runtime.controller.wiring import NAMES, OPTIONAL
from kubenode.runtime.plugins import Plugins


def check(
    *, store: object, plugins: object, policy: object, controllers: Collection[object] | None,
    observe_only: object, review_within: object,
) -> None:  # fmt: skip
    """Check the arguments of an engine; its sinks are checked as those of plugins are.

    Raises:
        InvalidObjectError: with every problem.
    """
    problems = (
        *_parts(store, plugins, policy), *_names(controllers), *_choices(observe_only, review_within)
    )  # fmt: skip
    if problems:
        raise InvalidObjectError(problems)


def check_within(within: object) -> None:
    """Check how long something may take.

    Raises:
        InvalidObjectError: it is no timedelta above zero.
    """
    if problems := tuple(_spans("within", within)):
        raise InvalidObjectError(problems)


def _parts(store: object, plugins: object, policy: object) -> Iterator[Problem]:
    if isinstance(store, type) or not callable(getattr(store, "watch", None)):
        said = f"the class {store.__name__}" if isinstance(store, type) else f"a value of type {type(store).__name__}"  # fmt: skip
        fix = 'EmbeddedStore(), or async with KubeStore.connect(context="...") as store'
        yield Problem(where="store", what=f"{said} is no store", fix=fix)
    if plugins is not None and not isinstance(plugins, Plugins):
        what = f"a value of type {type(plugins).__name__} is no Plugins"
        yield Problem(where="plugins", what=what, fix="Plugins.discover(providers=[...])")
    if policy is not None and not isinstance(policy, Policy):
        what = f"a value of type {type(policy).__name__} is not a Policy"
        yield Problem(where="policy", what=what, fix='Policy.of(load("policies/"))')


def _names(controllers: object) -> Iterator[Problem]:
    if isinstance(controllers, str):
        yield Problem(where="controllers", what="is one text", fix=f'write {{"{controllers}"}}')
        return
    if controllers is not None and not isinstance(controllers, Collection):
        what = f"a value of type {type(controllers).__name__} names none"
        yield Problem(where="controllers", what=what, fix=f"known: {', '.join(NAMES)}")
        return
    known = (*NAMES, *OPTIONAL)
    for name in NAMES if controllers is None else controllers:
        if name not in known:
            yield Problem(where="controllers", what=f"no controller is named {name!r}", fix=near(str(name), known))  # fmt: skip
    if controllers is not None and not controllers:
        yield Problem(where="controllers", what="names none", fix=f"known: {', '.join(NAMES)}")


def _choices(observe_only: object, review_within: object) -> Iterator[Problem]:
    if not isinstance(observe_only, bool):
        # What is not True would be taken for False, and that writes.
        what = f"a value of type {type(observe_only).__name__} is neither True nor False"
        yield Problem(where="observe_only", what=what, fix="True writes nothing")
    yield from _spans("review_within", review_within)


def _spans(where: str, within: object) -> Iterator[Problem]:
    if not isinstance(within, timedelta):
        said = f"{within!r}" if isinstance(within, int | float) else f"a value of type {type(within).__name__}"  # fmt: skip
        fix = f"timedelta(seconds={within})" if isinstance(within, int | float) else "timedelta(seconds=5)"
        yield Problem(where=where, what=f"{said} is no timedelta", fix=fix)
    elif within <= timedelta(0):
        yield Problem(where=where, what=f"{within} is over before it begins", fix="timedelta(seconds=5)")
