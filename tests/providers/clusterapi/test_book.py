"""The book of an owner: one Machine a token, and what others want of the owner stays what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.errors import Invalid
from kubenode.providers.clusterapi.book import ENDED_KEPT, Book, Entry, Line, Made, Plan

TAGS = {"kubenode.dev/machine-uid": "u"}
ASSIGNED = Entry(line=Line.ASSIGNED, machine="m-1")


def alive(*names: str, claim: str = "") -> list[Made]:
    """Machines, each newer than the one before."""
    return [Made(name=name, at=f"2026-03-02T09:00:{at:02}Z", claim=claim) for at, name in enumerate(names)]


def test_a_new_token_scales_up_by_one() -> None:
    """Three that are other people's, and ours."""
    plan = Book().create("t", TAGS, 3, alive("a", "b", "c"))
    assert plan == Plan(book=Book({"t": Entry(line=Line.PENDING, tags=TAGS)}), replicas=4)


def test_a_lost_machine_is_replaced_by_its_owner_so_its_place_is_taken() -> None:
    """Somebody deleted m-1, and the owner makes another in its place: nothing is scaled."""
    plan = Book({"old": ASSIGNED}).create("new", TAGS, 1, [Made(name="m-1", leaving=True)])
    assert plan.replicas == 1
    assert plan.book.entries["old"] == Entry(line=Line.ENDED)
    assert plan.book.pending == ("new",)


def test_a_machine_that_is_there_is_not_lost() -> None:
    """Neither is a token that has none yet."""
    book = Book({"one": ASSIGNED, "two": Entry(line=Line.PENDING)})
    assert book.lost(alive("m-1")) == ()
    assert book.lost(()) == ("one",)


def test_whoever_was_scaled_away_by_a_person_is_scaled_for_again() -> None:
    """Two are asked for and a person has set one: what is asked for from now on counts."""
    book = Book({"one": ASSIGNED, "two": Entry(line=Line.ASSIGNED, machine="m-2")})
    assert book.create("three", TAGS, 1, alive("m-1", "m-2")).replicas == 3


def test_an_end_scales_down_once() -> None:
    """However often it is asked for; a Machine that was adopted stands in no book before."""
    first = Book({"t": ASSIGNED}).end("t", 4)
    assert first.replicas == 3
    assert first.book.entries["t"] == Entry(line=Line.ENDED)
    assert first.book.end("t", 3) == Plan(book=first.book, replicas=3)
    assert Book().end("adopted", 2).replicas == 1
    assert Book().end("adopted", 0).replicas == 0


def test_what_others_have_is_not_given_away() -> None:
    """Before the owner has made the new one there is nothing to give; then the newest is given."""
    book = Book({"t": Entry(line=Line.PENDING)})
    assert book.assign(4, alive("a", "b", "c")) is book
    given = book.assign(4, alive("a", "b", "c", "d"))
    assert given.entries["t"] == Entry(line=Line.ASSIGNED, machine="d")


def test_several_are_given_the_oldest_first() -> None:
    """Who waits longest gets what was made first."""
    book = Book({"one": Entry(line=Line.PENDING), "two": Entry(line=Line.PENDING)})
    given = book.assign(3, alive("other", "x", "y"))
    assert [given.entries[token].machine for token in ("one", "two")] == ["x", "y"]


@pytest.mark.parametrize("taken", ["claimed", "assigned", "leaving", "adopted"])
def test_what_is_somebodys_is_not_free(taken: str) -> None:
    """A Machine with a label or an entry is somebody's, one that leaves nobody's; an adopted one is one of the others."""
    entries = {"t": Entry(line=Line.PENDING)}
    machines = alive("a", claim="t2" if taken in ("claimed", "adopted") else "")
    if taken == "assigned":
        entries["t2"] = Entry(line=Line.ASSIGNED, machine="a")
    if taken == "claimed":
        entries["t2"] = Entry(line=Line.ASSIGNED, machine="a")
    if taken == "leaving":
        machines = [Made(name="a", leaving=True)]
    book = Book(entries)
    assert book.free(2, machines) == ()
    both = [*machines, Made(name="z", at="2026-03-02T10:00:00Z")]
    assert [one.name for one in book.free(1 if taken == "leaving" else 2, both)] == ["z"]


def test_tags_are_kept_until_the_machine_is_told() -> None:
    """A book of thousands would be too long with them."""
    book = Book({"t": tagged("m-1"), "u": tagged("m-2")})
    after = book.assign(2, [Made(name="m-1", claim="t"), Made(name="m-2")])
    assert after.entries["t"] == Entry(line=Line.TOLD, machine="m-1")
    assert after.entries["u"] == tagged("m-2")
    assert (after.open, after.asked) == (("u",), ("t", "u"))
    assert after.assign(2, [Made(name="m-1", claim="t"), Made(name="m-2")]) is after
    assert after.lost([Made(name="m-2")]) == ("t",)


def tagged(machine: str) -> Entry:
    """An entry whose Machine is to be told something."""
    return Entry(line=Line.ASSIGNED, machine=machine, tags=TAGS)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"t": {}}', '{"t": {"is": "odd"}}', '{"t": 1}', '{"t": {"is": "ended", "tags": 1}}']
)
def test_a_book_that_cannot_be_read_is_not_scaled_by(text: str) -> None:
    """It says where it stands, and what to do."""
    with pytest.raises(Invalid, match=r"clusterapi\.kubenode\.dev/book cannot be read"):
        Book.read(text)


def test_of_ended_tokens_so_many_are_remembered() -> None:
    """The newest; those that are asked for are never forgotten."""
    ended = {f"e-{number}": Entry(line=Line.ENDED) for number in range(ENDED_KEPT + 3)}
    read = Book.read(Book({"t": ASSIGNED, **ended}).text())
    assert list(read.entries) == ["t", *list(ended)[3:]]
    assert Book.read(None) == Book()


@given(
    others=st.integers(0, 4),
    acts=st.lists(
        st.tuples(st.sampled_from(["create", "end", "lose", "make"]), st.integers(0, 5)), max_size=30
    ),
)
def test_replicas_are_what_others_want_and_what_is_asked_for(
    others: int, acts: list[tuple[str, int]]
) -> None:
    """However tokens come and go and Machines are lost; and no Machine is ever two tokens'."""
    book, replicas, made, number = Book(), others, alive(*(f"o-{at}" for at in range(others))), 100
    for what, which in acts:
        token = f"t-{which}"
        if what == "create" and book.entry(token) is None:
            plan = book.create(token, TAGS, replicas, made)
            book, replicas = plan.book, plan.replicas
        elif what == "end" and book.entry(token) is not None and book.entries[token].line is Line.ASSIGNED:
            name = book.entries[token].machine
            if name in {one.name for one in made}:
                plan = book.end(token, replicas)
                made = [one for one in made if one.name != name]
                book, replicas = plan.book, plan.replicas
        elif what == "lose" and which < len(made):
            made = [one for at, one in enumerate(made) if at != which]
        while len(made) < replicas:
            number += 1
            made.append(Made(name=f"m-{number}", at=f"2026-03-02T10:{number // 60:02}:{number % 60:02}Z"))
        book = book.assign(replicas, made)
        assert replicas == others + len(book.asked)
        assert book.pending == ()
        names = [one.machine for one in book.entries.values() if one.machine]
        assert len(names) == len(set(names))
        assert Book.read(book.text()) == book
