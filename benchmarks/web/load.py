"""A client that costs little: ``python -m benchmarks.web.load PORT CONNECTIONS SECONDS`` prints the answers in a second."""

import asyncio
import sys
from time import perf_counter

REQUEST = b"GET /items/7?page=2 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: benchmark\r\nAccept: */*\r\n\r\n"
BODY = b'{"number":7,"page":2}'


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.answer = transport, b""
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if self.answer.endswith(BODY):
            if not self.answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(self.answer)
            Asking.answered += 1
            self.answer = b""
            self.transport.write(REQUEST)


async def main(port: int, connections: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(Asking, "127.0.0.1", port))[0] for _ in range(connections)]
    await asyncio.sleep(seconds / 5)  # until the server is warm
    before, begun = Asking.answered, perf_counter()
    await asyncio.sleep(seconds)
    print((Asking.answered - before) / (perf_counter() - begun))
    for transport in transports:
        transport.abort()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
