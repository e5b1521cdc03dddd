"""No clause of api.md, sections 2 to 4, is forgotten: each is shown by sentences of the indexes, or an issue is named.

The page is not part of this project, so its clauses are kept here, in its words and order. Whoever changes the page
changes them with it.
"""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.core.detect.test_sentences import SENTENCES as DETECT
from tests.core.doctor.test_sentences import SENTENCES as DOCTOR
from tests.core.enrol.test_sentences import SENTENCES as ENROL
from tests.core.external.test_sentences import SENTENCES as EXTERNAL
from tests.core.host.test_sentences import SENTENCES as HOST
from tests.core.instance.test_sentences import SENTENCES as INSTANCE
from tests.core.machine.test_sentences import SENTENCES as MACHINE
from tests.core.machineset.test_sentences import SENTENCES as MACHINESET
from tests.core.node.test_sentences import SENTENCES as NODE
from tests.core.risk.test_sentences import SENTENCES as RISK
from tests.core.rollout.test_sentences import SENTENCES as ROLLOUT
from tests.design import flows, phases_and_permits
from tests.design.clause import FLEETS, Clause
from tests.hosts.test_sentences import DESIGN as ON_HOSTS

INDEXED: Final = tuple(
    sentence
    for index in (
        DETECT,
        DOCTOR,
        ENROL,
        EXTERNAL,
        HOST,
        INSTANCE,
        MACHINE,
        MACHINESET,
        NODE,
        RISK,
        ROLLOUT,
        ON_HOSTS,
    )
    for sentence, _ in index
)
SECTIONS: Final[Mapping[str, tuple[Clause, ...]]] = {
    "phases": phases_and_permits.PHASES,
    "permits": phases_and_permits.PERMITS,
    "import": flows.IMPORT,
    "creation": flows.CREATION,
    "component upgrade": flows.UPGRADE,
    "drift": flows.DRIFT,
    "hung node": flows.HUNG,
    "zone outage": flows.OUTAGE,
    "further flows": flows.FURTHER,
}
CLAUSES: Final = tuple(clause for clauses in SECTIONS.values() for clause in clauses)
BESIDES: Final = {
    "a hold ends when no machine drifts, by a person's word, or by a new revision; never by time alone",
    "Desired state of a component means version, configuration and running state, each reported apart",
    "state: Absent does (mean uninstall)",
    "An unknown phase (a newer version's): hands off; so phase is no enum in the schema",
    "Machine.status.agent is the agent's alone; the rest of the status, all conditions included, is the machine controller's",
    "the agent reports them in status.agent.conditions, the controller mirrors them onto the Node",
    "fights are reported, not fought",
    "Taints are one atomic list: read, change only keys recorded in our annotation, patch with resourceVersion",
    "Machine and Node names are independent: status.nodeRef {name, uid}",
    "finalizers from creation",
    "N machines of one template; selector, adoption",
    "delete order",
    "failure domains",
    "No ownerReference from Machine to MachineSet: label and spec.setRef {name, uid}, finalizers on both from creation",
    "surge: replacement only when a strategy asks for it; of one waits for its successor",
    "A person's cordon is never undone; ours carries kubenode.dev/cordoned-by",
    "a policy that could never act, or that allows everything: named, with the fix",
    "NaN, huge and negative values are refused at the path",
    "a ledger that is corrupt, too large, missing or from a newer format: named, with the fix, and nothing unsafe done",
    "binding limit, scope, observed/limit, when it frees",
    "Only a changed spec.component starts a rollout",
    "an entry that names another set is left alone and both sets get condition Conflict",
    "A missing entry never means uninstall",
}
"""Sentences of the indexes that are of no clause of sections 2 to 4: of section 1, of bad input, of decisions."""


def showing(by: str) -> set[str]:
    """Give the sentences of the indexes that are, or begin with, these words."""
    exact = by.rstrip(",;.")
    return {exact} if exact in INDEXED else {sentence for sentence in INDEXED if sentence.startswith(by)}


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.words)
def test_a_clause_is_shown_or_belongs_to_a_later_issue(clause: Clause) -> None:
    """Never neither, never both; who is left to a later issue says why."""
    if clause.later:
        assert clause.later == FLEETS
        assert clause.why
        assert not clause.shown
        return
    assert clause.shown
    for by in clause.shown:
        assert showing(by), f"no index has {by!r}"


def test_every_sentence_of_the_indexes_is_of_a_clause_or_known_to_be_of_none() -> None:
    """A sentence that is new is given its clause here, or said to be of another section."""
    of_clauses = {sentence for clause in CLAUSES for by in clause.shown for sentence in showing(by)}
    assert set(INDEXED) - of_clauses == BESIDES


def test_no_clause_is_there_twice() -> None:
    """One that is, was copied."""
    words = [clause.words for clause in CLAUSES]
    assert len(words) == len(set(words))
