"""The HTML report of a run: a Collector folds what happened, `render` draws it. One file, no network.

collector = follow(simulation)          # or tell a Collector of your own engine's changes and decisions
...
page = render(collector.data("last night", now))
"""

from kubenode.runtime.report.collect import Collector
from kubenode.runtime.report.data import ReportData
from kubenode.runtime.report.follow import follow
from kubenode.runtime.report.page import render

__all__ = ["Collector", "ReportData", "follow", "render"]
