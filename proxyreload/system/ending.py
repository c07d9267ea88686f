"""The signals that end a program."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
