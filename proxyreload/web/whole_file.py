"""A file that is sent as long as it is when it is asked for, be it still written or cut meanwhile."""

from typing import BinaryIO

from twisted.web.http import OK, Request
from twisted.web.static import File, NoRangeStaticProducer


class _Sender(NoRangeStaticProducer):
    """Sends `left` bytes; Twisted's own sends all that it finds, whatever length was promised."""

    def __init__(self, request: Request, file: BinaryIO, left: int) -> None:
        super().__init__(request, file)
        self._left = left

    def resumeProducing(self) -> None:
        """Send a piece."""
        request = self.request
        if not request:
            return
        data = self.fileObject.read(min(self.bufferSize, self._left))
        self._left -= len(data)
        if data:
            request.write(data)  # which may come back here
        if self.request and not (data and self._left):
            request.unregisterProducer()
            if self._left:  # it is shorter than was promised: whoever reads must not take it for whole
                request.loseConnection()
            else:
                request.finish()
            self.stopProducing()


class Download(File):
    """A file, sent whole: many ranges would be many copies of it for one request."""

    def makeProducer(self, request: Request, fileForReading: BinaryIO) -> _Sender:
        """Return what sends it."""
        request.setHeader(b"accept-ranges", b"none")
        self._setContentHeaders(request)
        request.setResponseCode(OK)
        return _Sender(request, fileForReading, self.getsize())
