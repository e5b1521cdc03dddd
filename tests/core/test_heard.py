"""Whose word stands: another's until something newer was learned, and one's own never keeps its author from another."""

import pytest

from kubenode.core.heard import first_said, heard


@pytest.mark.parametrize(("learned", "keeps"), [(0, True), (6, True), (7, True), (8, False)])
def test_what_another_said_outlasts_all_that_was_learned_until_it_was_seen(learned: int, keeps: bool) -> None:
    """At the same moment nobody can tell which is older."""
    stands = heard("a", 7, {})
    assert (stands.own, stands.since, stands.outlasts(learned)) == (False, 7, keeps)


def test_it_was_first_seen_when_it_was_first_seen() -> None:
    """However often it is looked at; and another word is seen anew, also the one of before."""
    first = heard("a", 7, {}).remembered("a", 7)
    assert first == {"heard:a": 7}
    again = heard("a", 90, first)
    assert (again.since, again.remembered("a", 90)) == (7, first)
    other = heard("b", 95, first)
    assert other.since == 95
    assert heard("a", 99, other.remembered("b", 95)).since == 99


def test_who_says_something_knows_it_again_as_his_own() -> None:
    """It outlasts nothing that he learns, older or newer; his word is his as long as it stands."""
    said = heard("a", 7, {}).remembered("mine", 9)
    assert said == {"heard:a": 7, "said:mine": 9}
    stands = heard("mine", 12, said)
    assert (stands.own, stands.since, stands.outlasts(0), stands.outlasts(99)) == (True, 9, False, False)
    assert stands.remembered("mine", 12) == {"said:mine": 9}
    assert heard("mine", 99, {"said:mine": 9}) == stands


def test_where_a_write_was_refused_what_stands_is_still_whose_it_was() -> None:
    """Both are remembered: what stands, and what was to be said instead; no third."""
    said = heard("a", 7, first_said("a", 3)).remembered("b", 7)
    assert said == {"said:a": 3, "said:b": 7}
    assert heard("a", 8, said).own
    assert heard("b", 8, said).own
    assert heard("a", 8, said).remembered("c", 8) == {"said:a": 3, "said:c": 8}
    assert not heard("b", 9, heard("a", 8, said).remembered("c", 8)).own
