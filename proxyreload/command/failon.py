"""``--fail-on``: what decides the exit status in place of the default."""

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Words
from proxyreload.errors import UsageError
from proxyreload.plan.settings import Settings
from proxyreload.traffic.identity import PROBE_KIND
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.threshold import OPTION, PerChange, Threshold, parsed


class _Thresholds(Words):
    """The shortest of them; the others have a kind or a number in them."""

    def __init__(self) -> None:
        super().__init__(("lossy", "racy"))
        self.value = "THRESHOLD"


class FailOnOptions(Options):
    """What commands have on whose exit status a job depends."""

    compData = usage.Completions(optActions={"fail-on": _Thresholds()}, multiUse=["fail-on"])

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
