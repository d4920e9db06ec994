"""Connections of `mmfer serve` by uvicorn, with what it lacks: a time within which a request has to begin."""

import errno
import json
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmfer.errors import MmferError

HEAD_S = 20.0  # to send the head of a request, or the rest of a body that is not wanted


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; MmferError where it cannot."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise MmferError(f"{host}, port {port}: {reason}; name another one with --host or --port") from None


class PatientProtocol(H11Protocol):
    """HTTP/1.1; what is no HTTP, or comes too slowly to begin, is answered in one JSON line and cut off."""

    def connection_made(self, transport: Any) -> None:
        """Give the client time for the head of its first request."""
        super().connection_made(transport)
        self._hurry(None)

    def on_response_complete(self) -> None:
        """Give it time for the next one, and to end the body of this one."""
        answered = self.cycle
        super().on_response_complete()
        self._hurry(answered)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "not an HTTP request that can be read; correct the client")

    def _hurry(self, answered: Any) -> None:
        self.loop.call_later(HEAD_S, self._cut_off, answered)

    def _cut_off(self, answered: Any) -> None:
        """End the connection, unless another request has begun."""
        if self.cycle is not answered or self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self._refuse(408, f"no request within {HEAD_S:g} s; send it faster")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": message}).encode() + b"\n"
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        answer = h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
        for event in answer:
            self.transport.write(self.conn.send(event))
        self.transport.close()
