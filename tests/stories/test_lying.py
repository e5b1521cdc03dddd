"""The check lies on every node."""

from tests.stories.lying import cast_of, play


def test_the_check_lies_on_every_node() -> None:
    """Of 100 machines at most five are restarted, the others held with the reason; when it tells the truth again nobody is."""
    told = play(cast_of(100), seed=7, tell=lambda _: None)
    assert [check for check in told.checks if not check.passed] == []
    names = {check.name for check in told.checks}
    assert names >= {
        "no more than 5 % believed it",
        "all others are held",
        "each says why",
        "the truth restarts nobody",
    }
