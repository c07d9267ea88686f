"""Words that options take. Hardly anything is imported for them: whoever asks for help is not to wait."""

from proxyreload.history.actions import OF_THE_PROXY

#: What ``--repeat`` can repeat.
CHANGES = ("backends", *OF_THE_PROXY)
#: What ``--log`` takes.
LOGS = ("all", "changes", "none")
#: What ``--stop-removed`` takes besides a number.
NEVER = "never"
