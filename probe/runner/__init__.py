"""The runner: plans, runs, resumes, judges again."""

from probe.runner.run import Plan, Progress, Silent, execute, judge, make_pairs

__all__ = ["Plan", "Progress", "Silent", "execute", "judge", "make_pairs"]
