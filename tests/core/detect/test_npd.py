"""node-problem-detector's rule files: what they say is what is looked for; what cannot be is told with its place."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.detect.decide import DetectSnapshot, decide
from kubenode.core.detect.golang import at_end, compiled
from kubenode.core.detect.npd import Plugin, rule_file
from kubenode.core.errors import InvalidObjectError
from tests.core.detect.test_decide import NOW, kernel, shown

DISK = {
    "plugin": "kmsg", "logPath": "/dev/kmsg", "lookback": "5m", "bufferSize": 10, "source": "disk-monitor",
    "metricsReporting": True, "skipList": [" audit:"],
    "conditions": [{"type": "DiskGone", "reason": "DiskIsThere", "message": "all disks are there"}],
    "rules": [
        {"type": "temporary", "reason": "DiskSlow", "pattern": "nvme\\d+: I/O timeout.*"},
        {"type": "permanent", "condition": "DiskGone", "reason": "DiskHasGone", "pattern": "nvme\\d+: gone"},
    ],
}  # fmt: skip


def test_what_a_file_says() -> None:
    """The permanent rules make conditions, in its words; the temporary are events."""
    found = rule_file(DISK, "disk.json")
    assert (found.plugin, found.is_kernels, found.identifier, found.path) == (Plugin.KMSG, True, "", "")
    (rule,), (event,) = found.rules, found.events
    assert (rule.condition, rule.reason, rule.facility, rule.skips) == (
        "DiskGone",
        "DiskHasGone",
        0,
        (" audit:",),
    )
    assert (event.condition, event.reason) == ("", "DiskSlow")
    state = decide(DetectSnapshot(boot_id="b1", now=NOW), found.rules).status
    assert state is not None
    assert (shown(state, "DiskGone").reason, shown(state, "DiskGone").message) == (
        "DiskIsThere",
        "all disks are there",
    )
    seen = DetectSnapshot(boot_id="b1", now=NOW, records=(kernel("nvme0: gone"),))
    state = decide(seen, found.rules).status
    assert state is not None
    assert (shown(state, "DiskGone").status, shown(state, "DiskGone").reason) == (
        m.Switch.TRUE,
        "DiskHasGone",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [("nvme0: gone", True), ("x nvme12: gone", True), ("nvme0: gone away", False), ("nvme0: gone audit:", False), ("nvme: gone", False)],
)  # fmt: skip
def test_a_pattern_ends_with_the_line(text: str, found: bool) -> None:
    """As node-problem-detector has it; it may begin anywhere."""
    assert rule_file(DISK, "x").rules[0].finds(kernel(text)) is found


@pytest.mark.parametrize(
    ("more", "plugin", "is_kernels", "facility"),
    [
        ({"plugin": "kmsg"}, Plugin.KMSG, True, 0), ({"plugin": "journald"}, Plugin.JOURNALD, True, 0),
        ({"plugin": "journald", "pluginConfig": {"source": "kernel"}}, Plugin.JOURNALD, True, 0),
        ({"plugin": "journald", "pluginConfig": {"source": "dockerd"}}, Plugin.JOURNALD, False, None),
        ({"plugin": "filelog", "logPath": "/var/log/x"}, Plugin.FILE, False, None),
        ({"plugin": "filelog", "logPath": "/var/log/x", "pluginConfig": None}, Plugin.FILE, False, None),
    ],
)  # fmt: skip
def test_whose_lines_they_are(
    more: dict[str, Any], plugin: Plugin, is_kernels: bool, facility: int | None
) -> None:
    """Of the kernel's lines only the kernel's word is believed; what a source is for is ignored elsewhere."""
    found = rule_file({**DISK, **more}, "x")
    assert (found.plugin, found.is_kernels, found.rules[0].facility) == (plugin, is_kernels, facility)
    assert found.identifier == ("dockerd" if "dockerd" in str(more) else "")
    assert found.path == ("/var/log/x" if plugin is Plugin.FILE else "")
    assert (found.message is not None) is (plugin is Plugin.FILE)


def test_the_source_of_another_plugin_is_its_own_business() -> None:
    """As in `source` of a file's configuration."""
    more = {
        "plugin": "filelog",
        "logPath": "/x",
        "pluginConfig": {"source": "dockerd", "message": "kernel: (.*)"},
    }
    found = rule_file({**DISK, **more}, "x")
    assert found.identifier == ""
    assert found.message is not None
    assert found.message.pattern == "kernel: (.*)"


def rules(**more: Any) -> dict[str, Any]:
    """A file with one rule that is so."""
    rule = {"type": "permanent", "condition": "C", "reason": "R", "pattern": "x", **more}
    return {"plugin": "kmsg", "rules": [rule]}


WRONG: dict[str, tuple[Any, list[str]]] = {
    "no object": ([], ["$"]),
    "no plugin": ({}, ["plugin"]),
    "custom": ({"plugin": "custom"}, ["plugin"]),
    "a list of plugins": ({"plugin": "custom-plugin-monitor"}, ["plugin"]),
    "no path": ({"plugin": "filelog"}, ["logPath"]),
    "no root": ({"plugin": "filelog", "logPath": "var/log/x"}, ["logPath"]),
    "configuration": ({"plugin": "kmsg", "pluginConfig": [1]}, ["pluginConfig"]),
    "message": (
        {"plugin": "filelog", "logPath": "/x", "pluginConfig": {"message": "("}},
        ["pluginConfig.message"],
    ),
    "rules": ({"plugin": "kmsg", "rules": {}}, []),
    "rules that are a number": ({"plugin": "kmsg", "rules": 5}, ["rules"]),
    "conditions that are an object": ({"plugin": "kmsg", "conditions": {"type": "C"}}, ["conditions"]),
    "rules that are text": ({"plugin": "kmsg", "rules": "x"}, ["rules"]),
    "rules of text": ({"plugin": "kmsg", "rules": ["x"]}, ["rules"]),
    "conditions": ({"plugin": "kmsg", "conditions": [1]}, ["conditions"]),
    "type": (rules(type="often"), ["rules[0].type"]),
    "no type": (rules(type=None), ["rules[0].type"]),
    "no condition": (rules(condition=""), ["rules[0].condition"]),
    "condition": (rules(condition="a b"), ["rules[0].condition"]),
    "long": (rules(condition="a" * 129), ["rules[0].condition"]),
    "reason": (rules(reason="9"), ["rules[0].reason"]),
    "pattern": (rules(pattern="("), ["rules[0].pattern"]),
    "no pattern": (
        {"plugin": "kmsg", "rules": [{"type": "permanent", "condition": "C", "reason": "R", "patern": "x"}]},
        ["rules[0].pattern"],
    ),
    "an empty pattern": (rules(pattern=""), ["rules[0].pattern"]),
    "a pattern that is null": (rules(pattern=None), ["rules[0].pattern"]),
    "a pattern that is a number": (rules(pattern=5), ["rules[0].pattern"]),
    "skips that are text": ({"plugin": "kmsg", "skipList": "audit"}, ["skipList"]),
    "skips of numbers": ({"plugin": "kmsg", "skipList": ["audit", 5]}, ["skipList"]),
    "skips that are null": ({"plugin": "kmsg", "skipList": None}, []),
    "all": (
        rules(type="x", reason="", pattern="["),
        ["rules[0].type", "rules[0].reason", "rules[0].pattern"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_place(what: str) -> None:
    """All of it at once, with the file."""
    raw, places = WRONG[what]
    if not places:
        assert rule_file(raw, "x.json").rules == ()
        return
    with pytest.raises(InvalidObjectError) as told:
        rule_file(raw, "x.json")
    assert [(one.where, one.file) for one in told.value.problems] == [(place, "x.json") for place in places]
    assert all(one.what for one in told.value.problems)


def test_a_word_may_have_128_characters() -> None:
    """And no more."""
    assert rule_file(rules(condition="a" * 128, reason="b" * 128), "x").rules[0].reason == "b" * 128


@pytest.mark.parametrize(
    ("said", "kept"),
    [("Well", "Well"), ("not a word", "NoFault"), ("a" * 129, "NoFault"), ("a" * 128, "a" * 128)],
)
def test_a_healthy_reason_that_is_no_word(said: str, kept: str) -> None:
    """Is left out, since the API would refuse it."""
    raw = {**rules(), "conditions": [{"reason": "no type"}, {"type": "C", "reason": said}]}
    assert rule_file(raw, "x").rules[0].well == kept


MEANS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "flags in the middle": ("a(?i)b|c", ("ab", "aB", "C"), ("AB",)),
    "flags first": ("(?i)ab|(?i)c", ("AB", "C"), ("x",)),
    "flags in a group": ("(a(?i)b|c)d", ("aBd", "Cd"), ("aBD", "CD")),
    "two flags": ("a(?i)b(?s).c", ("aB\nC", "abxc"), ("Abxc",)),
    "flags of a class": (r"[(?i)]x", ("(x", "ix"), ("Ix", "(X")),
    "escaped": (r"\(\?i\)\|x", ("(?i)|x",), ("(?i)|X",)),
    "named flags": ("(?i:a)b", ("Ab",), ("AB",)),
    "no flags": (r"a\.b", ("a.b",), ("axb",)),
    "a class": (r"[]a]\[[^]b]", ("][x", "a[c"), ("a[b", "a[]")),
    "braces that say no least": ("xa{,3}y{,}", ("xa{,3}y{,}",), ("x", "xaa", "xy")),
    "braces": (r"a{1,2}[{,3}]\{,3}", ("a,{,3}", "aa{{,3}"), ("aaa{{,3}", "a,")),
    "ASCII": (r"\d\w", ("1a",), ("\u0661a", "1\u00e9")),
}


@pytest.mark.parametrize("what", MEANS)
def test_a_pattern_means_what_go_means_by_it(what: str) -> None:
    """Flags hold from where they stand to the end of their group."""
    pattern, fits, others = MEANS[what]
    made = compiled(pattern)
    assert [text for text in fits if not made.fullmatch(text)] == []
    assert [text for text in others if made.fullmatch(text)] == []


def test_of_alternatives_only_the_last_has_to_end_the_line() -> None:
    """As node-problem-detector has it, which adds the end without a group."""
    made = at_end("a|b")
    assert [bool(made.search(text)) for text in ("a", "ax", "b", "bx")] == [True, True, True, False]


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "a)", "[[:alpha:]]", r"\pN", r"\Qx\E", "(?U)x", "(?<n>x)", "*", "a{9999999999999999999}"],
)
def test_what_python_has_no_word_for_is_refused(pattern: str) -> None:
    """It is not taken for something else."""
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        compiled(pattern)


@given(st.text(max_size=40) | st.from_regex(r"(\(\?[ims]\)|[ab|()\[\]\\^.*]){0,12}", fullmatch=True))
def test_no_pattern_raises_anything_else(pattern: str) -> None:
    """Whatever stands there; without flags it is Python's own meaning."""
    try:
        made = compiled(pattern)
    except ValueError:
        return
    if not any(one in pattern for one in ("(?", r"\z", "{,")):
        assert made.pattern == pattern


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(("plugin", "rules", "conditions", "type", "pattern", "reason", "pluginConfig", "skipList", "logPath")), inner, max_size=5
    ),
))  # fmt: skip
def test_no_json_raises_anything_else(raw: Any) -> None:
    """A file is taken, or refused with its problems."""
    given = {**raw, "plugin": "kmsg"} if isinstance(raw, dict) else raw
    try:
        rule_file(given, "x")
    except InvalidObjectError as error:
        told = error.problems
    else:
        told = ()
    assert isinstance(given, dict) or told
