"""What the author of a provider gave, and how the laws look at a cloud that may be slow to show things."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs

from kubenode.core.hookspecs import CreateRequest, Instance, Page, Provider
from kubenode.core.law import BrokenLaw
from kubenode.providers.conformance.wire import Wire

R = TypeVar("R")
P = TypeVar("P")

LOOKS = 40
PAUSE = 0.05
"""An instance may become visible late: it is looked for so often, with so many seconds in between."""
KEY = "send request.token to your API as the idempotency key"


@attrs.frozen(kw_only=True)
class Kit(Generic[P]):
    """What the author gave."""

    make: Callable[[Wire], Provider[P]]
    params: P
    other: P | None
    lost: BaseException | None
    strange: Callable[[Wire], Provider[P]] | None
    module: str
    sdk: tuple[str, ...]
    many: int
    eventful: Callable[[Wire], Provider[P]] | None = None
    late: Callable[[Wire], Provider[P]] | None = None
    refusing: Callable[[Wire], Provider[P]] | None = None
    ended: Callable[[Wire], tuple[Provider[P], tuple[str, ...]]] | None = None
    steps: int = 1

    def begin(self) -> tuple[Wire, Provider[P]]:
        """Give a new provider and its wire."""
        wire = Wire(self.lost)
        return wire, self.make(wire)

    def request(self, number: int = 0, group: str = "kit") -> CreateRequest[P]:
        """Give a request; those of one group carry the same tags."""
        name = f"{group}-{number}"
        return CreateRequest(
            token=f"t-{name}", machine=name, params=self.params, tags={"kubenode.dev/kit": group}
        )


def able(kit: Kit[Any], kind: type) -> tuple[Wire, Any]:
    """Give a new provider that has a capability, and its wire."""
    wire, cloud = kit.begin()
    if not isinstance(cloud, kind):
        raise BrokenLaw(f"make() gives providers that are {kind.__name__} and such as are not; give one kind")
    return wire, cloud


def nobody(real: str) -> str:
    """Give an id like a real one, of nothing: a cloud may refuse, in another way, what does not look like an id."""
    return real[:-1] + ("1" if real.endswith("0") else "0")


def pages(method: str, call: Callable[[str | None], Any]) -> Iterator[Any]:
    """Give the pages of a method, or what it gives instead: each is to be looked at before its cursor is read."""
    cursors: set[str] = set()
    cursor: str | None = None
    while True:
        page = call(cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return
        if cursor in cursors:
            raise BrokenLaw(
                f"{method}() gave the cursor {cursor!r} twice, so it never ends; None marks the last page"
            )
        cursors.add(cursor)


def walk(cloud: Provider[Any], tags: Mapping[str, str]) -> dict[str, Instance]:
    """Go over the pages of find() once."""
    found: dict[str, Instance] = {}
    for page in pages("find", lambda cursor: cloud.find(tags, cursor)):
        if not isinstance(page, Page):
            raise BrokenLaw(f"find() returned a {type(page).__name__}; return Page(items=..., cursor=...)")
        for one in page.items:
            if one.id in found:
                raise BrokenLaw(f"find() gave {one.id} twice; a page begins where the one before it ended")
            found[one.id] = one
    return found


def only(cloud: Provider[Any], request: CreateRequest[Any], what: str) -> None:
    """Check that exactly one instance carries the tags of a request."""
    found = eventually(lambda: walk(cloud, request.tags), bool)
    if not found:
        raise BrokenLaw(f"{what} made an instance that find() does not give; send request.tags to your API")
    if len(found) > 1:
        raise BrokenLaw(f"{what} made {len(found)}: {', '.join(sorted(found))}; {KEY}")


def shown(cloud: Provider[Any], instance_id: str) -> Instance:
    """Get an instance that exists, however late the cloud shows it."""
    found: list[Instance] = []
    error = eventually(
        lambda: error_of(lambda: found.append(cloud.get(instance_id))), lambda error: error is None
    )
    if error is not None:
        raise BrokenLaw(f"get() {did(error)} for an instance that create() made") from error
    return found[-1]


def causes(errors: Iterable[BaseException | None]) -> Iterator[BaseException]:
    """Give errors and what they were raised from: a traceback shows all of these."""
    left = list(errors)
    while left:
        error = left.pop()
        if error is not None:
            yield error
            left.append(error.__cause__ or error.__context__)


def eventually(look: Callable[[], R], good: Callable[[R], bool]) -> R:
    """Look until it is good, or for so long that it will not be; give what was seen last."""
    seen = look()
    for _ in range(LOOKS):
        if good(seen):
            break
        threading.Event().wait(PAUSE)
        seen = look()
    return seen


def error_of(call: Callable[[], object]) -> Exception | None:
    """Call, and give the error it raised."""
    try:
        call()
    except Exception as error:
        return error
    return None


def named(error: BaseException) -> str:
    """Give an error as its type and its text."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def did(error: BaseException | None) -> str:
    """Say how a call ended."""
    return "returned" if error is None else f"raised {named(error)}"


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what any logger says, however low its level: debug logs of an SDK reach disks too."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    root, collector = logging.getLogger(), Collector()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.setLevel(level)
        root.removeHandler(collector)
