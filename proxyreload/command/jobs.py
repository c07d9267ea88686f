"""What a job of continuous integration asks for: ``--fail-on``, ``--summary``, ``--annotations``."""

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files, Words
from proxyreload.errors import UsageError
from proxyreload.job.workflow import asked_by_environment
from proxyreload.plan.settings import Settings
from proxyreload.traffic.identity import PROBE_KIND
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.threshold import OPTION, PerChange, Threshold, parsed


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
    def fail_on(self) -> tuple[Threshold | PerChange, ...]:
        """What was asked for; raises `UsageError`."""
        return parsed(self._fail_on)

    @property
    def annotates(self) -> bool:
        """Whether annotations are asked for, on the command line or by the environment."""
        return bool(self["annotations"]) or asked_by_environment()


def require_judged(settings: Settings, *, by_hand: bool = False) -> None:
    """Raise `UsageError` for a threshold that nothing of a run can be held against; `by_hand`: changes may yet come."""
    sent = {PROBE_KIND, *(each.kind.name for each in settings.everyone)}
    who = settings.choice.name if settings.choice is not None else settings.target.url
    for each in settings.fail_on:
        if each.kind and each.kind not in sent:
            kind_named(each.kind)
            why = settings.left_out.get(each.kind)
            cannot = f"{who} is sent none: {why}" if why else f"no {each.kind} is sent: --traffic says what is"
            msg = f"{OPTION} {each} cannot be judged: {cannot}"
            raise UsageError(msg)
        if isinstance(each, PerChange) and not settings.scenario.actions and not by_hand:
            msg = f"{OPTION} {each} cannot be judged: no change is made"
            raise UsageError(msg)
