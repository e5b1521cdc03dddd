"""Decide last night again: as it was, and under another policy."""

from kubenode import Policy, load, replay

night = replay("monday.knrec")
assert night.changes == ()  # same policy: byte for byte

tried = replay("monday.knrec", Policy.of(load("policies/")))
print(f"{len(tried.changes)} of {tried.decisions} decisions change")
for change in tried.changes:  # after tried.open_loop_after all is conjecture
    print(change.at, change.key, change.before.verdict, "->", change.after.verdict)
