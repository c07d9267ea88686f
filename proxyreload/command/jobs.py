"""What a job of continuous integration asks for: ``--fail-on``, ``--summary``, ``--annotations``."""

from typing import TYPE_CHECKING

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files, Words

if TYPE_CHECKING:
    from proxyreload.verdict.threshold import PerChange, Threshold


class _Thresholds(Words):
    """The shortest of them; the others have a kind or a number in them."""

    def __init__(self) -> None:
        super().__init__(("lossy", "racy"))
        self.value = "THRESHOLD"


class JobOptions(Options):
    """What commands have on whose exit status a job depends."""

    optParameters = [  # noqa: RUF012
        ["summary", None, None, "What the job's summary, in Markdown, is appended to: $GITHUB_STEP_SUMMARY"],
    ]
    optFlags = [  # noqa: RUF012
        ["annotations", None, "Say what failed as GitHub's workflow commands too, as in its jobs without being asked"],
    ]
    compData = usage.Completions(optActions={"fail-on": _Thresholds(), "summary": Files("*.md")}, multiUse=["fail-on"])

    def __init__(self) -> None:
        super().__init__()
        self._fail_on: list[str] = []

    def opt_fail_on(self, thresholds: str) -> None:
        """What fails: lossy, racy, kind=KIND:lossy, failures-per-change>NUMBER; without it lossy and racy."""
        self._fail_on.append(thresholds)

    @property
    def fail_on(self) -> "tuple[Threshold | PerChange, ...]":
        """What was asked for; raises `UsageError`."""
        from proxyreload.verdict.threshold import parsed

        return parsed(self._fail_on)

    @property
    def annotates(self) -> bool:
        """Whether annotations are asked for, on the command line or by the environment."""
        from proxyreload.job.workflow import asked_by_environment

        return bool(self["annotations"]) or asked_by_environment()
