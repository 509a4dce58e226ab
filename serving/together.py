"""uvicorn writes the head of an answer and its body one by one: here both leave together.

A replica that is killed between the two leaves a balancer with half an answer, which it has passed on by then and cannot ask
for elsewhere; with nothing, it asks the next one. It is one system call less for each answer, too.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _Joined:
    """A transport that writes at the end of the loop's turn all that was written in it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop, self._kept = transport, loop, []

    def write(self, data: bytes) -> None:
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)

    def _flush(self) -> None:
        kept, self._kept = b"".join(self._kept), []
        if kept:
            self._transport.write(kept)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str):
        return getattr(self._transport, name)


class Together(HttpToolsProtocol):
    """uvicorn's protocol over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(_Joined(transport, self.loop))
