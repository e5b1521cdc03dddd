"""What an engine is given is looked at before anything starts; every fault is told at once."""

from collections.abc import Collection, Iterator

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.policy import Policy
from kubenode.core.reading import near
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.plugins import Plugins


def check(*, store: object, plugins: object, policy: object, controllers: Collection[object] | None) -> None:
    """Check the arguments of an engine.

    Raises:
        InvalidObjectError: with every problem.
    """
    problems = tuple(_problems(store, plugins, policy, controllers))
    if problems:
        raise InvalidObjectError(problems)


def _problems(
    store: object, plugins: object, policy: object, controllers: Collection[object] | None
) -> Iterator[Problem]:
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
    if isinstance(controllers, str):
        yield Problem(where="controllers", what="is one text", fix=f'write {{"{controllers}"}}')
        return
    for name in NAMES if controllers is None else controllers:
        if name not in NAMES:
            yield Problem(where="controllers", what=f"no controller is named {name!r}", fix=near(str(name), NAMES))  # fmt: skip
    if controllers is not None and not controllers:
        yield Problem(where="controllers", what="names none", fix=f"known: {', '.join(NAMES)}")
