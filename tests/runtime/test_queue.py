"""The work queue: a key is due once, in order, and never in two hands."""

from hypothesis import given
from hypothesis import strategies as st

from kubenode.runtime.engine.queue import LONGEST_PAUSE, Key, WorkQueue

A, B = Key("c", "a"), Key("c", "b")


def test_a_key_is_taken_once_however_often_added() -> None:
    """Adding twice is one piece of work."""
    queue = WorkQueue()
    queue.add(A, 0)
    queue.add(A, 0)
    assert queue.take(0) == A
    assert queue.take(0) is None


def test_a_key_in_hand_is_not_given_again_until_put_back() -> None:
    """What becomes due meanwhile waits for the hand that has it."""
    queue = WorkQueue()
    queue.add(A, 0)
    queue.take(0)
    queue.add(A, 0)
    assert queue.take(0) is None
    assert queue.next_due() is None
    queue.put_back(A)
    assert queue.take(0) == A


def test_the_earlier_of_two_times_stands() -> None:
    """A later deadline never delays an earlier one, and an earlier one replaces a later."""
    queue = WorkQueue()
    queue.add(A, 10)
    queue.add(A, 5)
    queue.add(A, 7)
    assert queue.next_due() == 5
    assert queue.take(4) is None
    assert queue.take(5) == A
    queue.put_back(A)
    assert queue.take(100) is None


def test_pauses_grow_and_are_capped() -> None:
    """Failures double the pause up to the cap, and success forgets them."""
    queue = WorkQueue()
    pauses = [queue.failed(A) for _ in range(40)]
    assert pauses[0] < pauses[3] < pauses[6]
    assert max(pauses) <= LONGEST_PAUSE
    queue.succeeded(A)
    assert queue.failed(A) == pauses[0]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.sampled_from(["add", "take", "back"])),
        max_size=60,
    )
)
def test_against_a_plain_model(moves: list[tuple[str, int, str]]) -> None:
    """Any sequence of add, take and put-back behaves as a dict of due times and a set in hand."""
    queue, due, hands = WorkQueue(), dict[str, int](), set[str]()
    for name, at, move in moves:
        key = Key("c", name)
        if move == "add":
            queue.add(key, at)
            due[name] = min(due.get(name, at), at)
        elif move == "take":
            taken = queue.take(at)
            ready = {n: t for n, t in due.items() if t <= at and n not in hands}
            if taken is None:
                assert not ready
            else:
                assert ready[taken.name] == min(ready.values())
                del due[taken.name]
                hands.add(taken.name)
        elif name in hands:
            queue.put_back(key)
            hands.discard(name)
        free = [t for n, t in due.items() if n not in hands]
        assert queue.next_due() == min(free, default=None)
        assert len(queue) == len(due) + len(hands)
