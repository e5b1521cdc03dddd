"""The page of Events names every word that they can have."""

from pathlib import Path

from kubenode.core.enrol.request import EnrolReason
from kubenode.core.machine.phase import Phase
from kubenode.core.rollout.progress import Reason
from kubenode.runtime.events.degraded import Word as OfLease
from kubenode.runtime.events.notice import _BY_ITSELF, _OF_ATTEMPTS, _OF_JOBS, _OF_SETS, Word

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")


def test_every_word_of_ours_is_on_the_page() -> None:
    """Those of Events alone, phases, states of episodes, and conditions of MachineSets; the others are on their own pages."""
    words = {word.value for word in Word} | {phase.value for phase in Phase} | set(_OF_SETS) | set(_OF_JOBS)
    words |= {word.value for word in OfLease}
    words |= {state.value for state in _OF_ATTEMPTS} | {Reason.ROLLING_OUT.value, Reason.COMPLETE.value}
    words |= {EnrolReason.ENROLLED.value, EnrolReason.RENEWED.value}
    assert {word for word in words if word not in PAGE} == set()
    assert {word for word in _BY_ITSELF if word in PAGE} == {Reason.ROLLING_OUT.value}
