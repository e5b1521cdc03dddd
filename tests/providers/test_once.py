"""What a cloud takes no token for is done once: known tokens, lost answers, other acts, and those that are forgotten."""

import pytest

from kubenode.providers import Busy, TokenConflict, Unavailable
from kubenode.providers.once import Once


def test_a_token_is_one_act() -> None:
    """Done again is not done; another act is a conflict; one under way is Busy, whatever it is."""
    once, done = Once(), list[str]()
    for _ in range(2):
        once.do("t", ("i-1", "off"), lambda: done.append("t"))
    with pytest.raises(TokenConflict, match="token t was used for another act"):
        once.do("t", ("i-1", "on"), lambda: done.append("t"))
    with pytest.raises(Busy, match="an act with token u is under way"):
        once.do("u", ("i-1", "off"), lambda: once.do("u", ("i-1", "on"), lambda: done.append("u")))
    assert done == ["t"]


def test_what_was_not_answered_is_done_again() -> None:
    """The error is let through, and the token is free for any act."""
    once, done = Once(), list[str]()

    def lost() -> None:
        raise Unavailable("lost")

    with pytest.raises(Unavailable):
        once.do("t", ("i-1", "off"), lost)
    once.do("t", ("i-1", "on"), lambda: done.append("t"))
    assert done == ["t"]


def test_the_oldest_token_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a process that runs for years does not grow."""
    monkeypatch.setattr("kubenode.providers.once.REMEMBERED", 2)
    once, done = Once(), list[str]()
    for token in ("a", "b", "c", "c", "b", "a"):
        once.do(token, (), lambda token=token: done.append(token))  # type: ignore[misc]
    assert done == ["a", "b", "c", "a"]
