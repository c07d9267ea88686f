"""What keeps a report from being made."""

from proxyreload.errors import UsageError


class ReportUnavailable(UsageError):
    """The libraries that draw it are not installed."""
