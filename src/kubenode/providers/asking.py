"""Questions that change nothing: what a cloud says beforehand of what would be asked of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kubenode.core.capability import Finding
from kubenode.core.errors import AuthFailed, Busy, NotFound, ProviderError, Throttled, Unavailable

T = TypeVar("T")


class Denied(AuthFailed):
    """The cloud knows who we are, and we may not do that."""


class WouldDo(ProviderError):
    """What was asked for as a dry run would be done. Clouds say so by an error."""


_SOME_OTHER_TIME = (Throttled, Unavailable, Busy, NotFound)


def known(ask: Callable[[], object], text: str) -> Finding:
    """Judge whether the cloud knows our credentials, by anything that is asked of it."""
    try:
        ask()
    except (WouldDo, Denied):
        return Finding(about="credentials", holds=True, text=text)
    except ProviderError as error:
        return refused("credentials", error)
    return Finding(about="credentials", holds=True, text=text)


def rehearsed(about: str, ask: Callable[[], object], text: str) -> Finding:
    """Judge a dry run.

    Args:
        about: what of.
        ask: makes the call.
        text: what is said when it comes through.
    """
    try:
        ask()
    except WouldDo:
        return Finding(about=about, holds=True, text=text)
    except ProviderError as error:
        return refused(about, error)
    return Finding(about=about, holds=None, text="the cloud took no notice that it was a dry run")


def allowed(about: str, ask: Callable[[], object], right: str) -> Finding:
    """Judge whether a right is there, by what is asked of an instance that does not exist.

    A cloud refuses who may not before it looks for the instance, so "not found" means that the right is there.

    Args:
        about: what of.
        ask: makes the call: a dry run where the cloud has one.
        right: as policies call it.
    """
    try:
        ask()
    except (WouldDo, NotFound):
        return Finding(about=about, holds=True, text=f"{right} is allowed")
    except Denied as error:
        found = refused(about, error)
        more = f"; a policy that allows {right} only for instances with certain tags is not told apart here"
        return Finding(about=about, holds=False, text=found.text, fix=found.fix + more)
    except ProviderError as error:
        return refused(about, error)
    return Finding(about=about, holds=None, text="the cloud took no notice that it was a dry run")


def looked_up(
    about: str, ask: Callable[[], Mapping[str, Any]], judge: Callable[[Mapping[str, Any]], Finding]
) -> Finding:
    """Judge by an answer. A right that only this question needs is none that machines need."""
    try:
        answer = ask()
    except Denied as error:
        found = refused(about, error)
        return Finding(about=about, holds=None, text=found.text, fix=f"only this check needs it; {found.fix}")
    except ProviderError as error:
        return refused(about, error)
    return judge(answer)


def without_parameters(about: str) -> Finding:
    """Say that a check needs to know what machine is to be made."""
    return Finding(
        about=about, holds=None, text="it needs the parameters of a machine", fix="name a manifest with -f"
    )


def image(name: str, states: Sequence[str], good: str, word: str = "an image id") -> Finding:
    """Judge an image by the states in which the cloud shows it: one, the good one, where it can be used.

    Args:
        name: its id.
        states: in the cloud's words; none where the region does not show it.
        good: the word for one that can be used.
        word: what this cloud calls such an id.
    """
    if list(states) == [good]:
        return Finding(about="image", holds=True, text=f"{name} is available")
    text = f"{name} is {states[0]}" if states else f"{name} is not shown in this region"
    fix = f"name an image of this region that is shared with this account; {word} is of one region"
    return Finding(about="image", holds=False, text=text, fix=fix)


def refused(about: str, error: ProviderError) -> Finding:
    """Give what an error says: its facts, and what it says to do, which stands behind the first semicolon."""
    text, _, fix = str(error).partition("; ")
    holds = None if isinstance(error, _SOME_OTHER_TIME) else False
    return Finding(about=about, holds=holds, text=text or type(error).__name__, fix=fix.removeprefix("fix: "))
