"""Whether thresholds that were asked for can be held against anything."""

from proxyreload.errors import UsageError
from proxyreload.plan.settings import Settings
from proxyreload.traffic.identity import PROBE_KIND
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.threshold import OPTION, PerChange


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
