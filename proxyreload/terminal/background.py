"""A text stream whose writer never waits: a terminal that is stopped must not stop the clients."""

import io
import os
import threading
from queue import SimpleQueue

#: So many pieces may wait for a slow terminal before those who write are told that it is congested.
CONGESTED_AT = 64


class BackgroundStream(io.TextIOBase):
    """Hands text to a thread that writes it to a file descriptor."""

    def __init__(self, descriptor: int, *, terminal: bool = False) -> None:
        """Write to `descriptor`."""
        super().__init__()
        self._descriptor = descriptor
        self._terminal = terminal
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._pending: list[str] = []
        self._broken = False
        self.taken = 0  #: how many bytes its reader has taken
        self._thread = threading.Thread(target=self._drain, name="terminal", daemon=True)
        self._thread.start()

    @property
    def congested(self) -> bool:
        """Whether the reader is too slow for more than what must be said."""
        return self._queue.qsize() >= CONGESTED_AT

    @property
    def finished(self) -> bool:
        """Whether, after `finish`, all has been taken, or nobody is there to take it."""
        return not self._thread.is_alive()

    def isatty(self) -> bool:
        """Say what it was made as."""
        return self._terminal

    def fileno(self) -> int:
        """Return the descriptor, of which a terminal's size can be asked."""
        return self._descriptor

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, text: str) -> int:
        """Keep text for the next `flush`."""
        self._pending.append(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        if self._pending:
            self._queue.put("".join(self._pending).encode("utf-8", "replace"))
            self._pending.clear()

    def finish(self) -> None:
        """Hand over the rest, and close: who reads it, and whether anybody does, is not waited for."""
        self.flush()
        self._queue.put(None)

    def _drain(self) -> None:
        while (data := self._queue.get()) is not None:
            while data and not self._broken:
                try:
                    taken = os.write(self._descriptor, data)
                    data = data[taken:]
                    self.taken += taken
                except OSError:
                    self._broken = True  # whoever read has gone: nothing to tell, nobody to tell it to
