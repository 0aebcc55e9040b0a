"""The runner: plans, runs, resumes, judges again."""

from probe.runner.run import Begun, Plan, Progress, Silent, execute, judge, make_pairs

__all__ = ["Begun", "Plan", "Progress", "Silent", "execute", "judge", "make_pairs"]
