"""The self-check: every estimator compared with exact truth, on the machine it will be trusted on."""

from vaeworks.check.result import CheckResult, Setting
from vaeworks.check.runner import CHECKS, run_checks

__all__ = ["CHECKS", "CheckResult", "Setting", "run_checks"]
