"""The model server behind the gateways of gateway.py: answers at once, with log-probabilities and with streams, at little cost.

    python benchmarks/gateway_upstream.py [--pace 0.002]

Not for running by hand: gateway.py starts it. A bare asyncio protocol, so that the gateway in front is what is measured. A prompt
that starts with `long` gets 500 words, any other eight; `pace` is the time between two words of a stream. Prints `PORT n`.
"""

from __future__ import annotations

import argparse
import asyncio
import json

SHORT, LONG = 8, 500
HEAD = {"id": "chatcmpl-1", "created": 1700000000, "model": "student"}
USAGE = {"prompt_tokens": 12, "completion_tokens": SHORT, "total_tokens": 12 + SHORT}


def words(count: int) -> list[str]:
    """An answer of so many words, each one token."""
    return [f"word{number % 10} " for number in range(count)]


def plain(count: int, *, logprobs: bool) -> bytes:
    """A whole reply as HTTP."""
    tokens = [{"token": word, "logprob": -0.01, "bytes": None, "top_logprobs": []} for word in words(count)]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(words(count))},
        "finish_reason": "stop",
        "logprobs": {"content": tokens} if logprobs else None,
    }
    usage = USAGE | {"completion_tokens": count, "total_tokens": 12 + count}
    body = json.dumps(HEAD | {"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def events(count: int) -> list[bytes]:
    """The chunks of a streamed reply, the last one being the end."""

    def chunk(value: object) -> bytes:
        line = b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
        return b"%x\r\n%s\r\n" % (len(line), line)

    def event(delta: dict[str, str], token: str | None, finish: str | None) -> bytes:
        shown = None if token is None else {"content": [{"token": token, "logprob": -0.01, "top_logprobs": []}]}
        choice = {"index": 0, "delta": delta, "logprobs": shown, "finish_reason": finish}
        return chunk(HEAD | {"object": "chat.completion.chunk", "choices": [choice]})

    made = [event({"role": "assistant", "content": ""}, None, None)]
    made += [event({"content": word}, word, None) for word in words(count)]
    usage = USAGE | {"completion_tokens": count, "total_tokens": 12 + count}
    last = HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": usage}
    return [*made, event({}, None, "stop"), chunk(last), chunk(b"[DONE]") + b"0\r\n\r\n"]


PLAIN = {(count, shown): plain(count, logprobs=shown) for count in (SHORT, LONG) for shown in (False, True)}
EVENTS = {count: events(count) for count in (SHORT, LONG)}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
MODELS = b'{"object":"list","data":[{"id":"student","object":"model"}]}'


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after another."""

    def __init__(self, pace: float) -> None:
        self.pace, self.waiting = pace, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.waiting) < end + 4 + size:
                return
            body, self.waiting = self.waiting[end + 4 : end + 4 + size], self.waiting[end + 4 + size :]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        if not body:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(MODELS) + MODELS)
            return
        asked = json.loads(body)
        count = LONG if str(asked["messages"][-1]["content"]).startswith("long") else SHORT
        if asked.get("stream"):
            self.running = asyncio.ensure_future(self.stream(EVENTS[count]))
        else:
            self.transport.write(PLAIN[count, bool(asked.get("logprobs"))])

    async def stream(self, chunks: list[bytes]) -> None:
        self.transport.write(STREAM_HEAD)
        for chunk in chunks:
            if self.transport.is_closing():
                return
            self.transport.write(chunk)
            await asyncio.sleep(self.pace)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pace", type=float, default=0.002, help="seconds between two words of a stream")
    pace = parser.parse_args().pace
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pace), "127.0.0.1", 0, backlog=4096)
    print(f"PORT {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
