"""Reads the body of a reply and unpacks it, both within a limit: a kilobyte of gzip can hold a gigabyte of nothing."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

ENCODINGS = "gzip, deflate"
"""What is unpacked here, and therefore asked for."""
MAX_BODY = 64 << 20
"""Bytes of one reply. The largest real ones (log-probabilities of 20 alternatives for 32,000 tokens) have about 40 million."""
LARGE = 1 << 16
"""Packed bytes from which unpacking may take long enough to hold up all other requests."""
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_RAW = -zlib.MAX_WBITS


class TooLarge(Exception):
    """The body has more bytes than any answer."""

    def __init__(self) -> None:
        super().__init__(
            f"a reply of more than {MAX_BODY >> 20} MB, which can't be an answer and is not read to its end"
        )


async def whole_body(reply: aiohttp.ClientResponse) -> bytes:
    """The unpacked body. Raises TooLarge, ValueError when it can't be unpacked, and what aiohttp raises."""
    announced = reply.content_length
    body = await (reply.content.read() if announced is not None and announced <= MAX_BODY else _within_limit(reply))
    encoding = reply.headers.get("Content-Encoding", "").strip().lower()
    if encoding and len(body) > LARGE:
        return await asyncio.to_thread(unpack, body, encoding)
    return unpack(body, encoding)


async def _within_limit(reply: aiohttp.ClientResponse) -> bytes:
    parts, size = list[bytes](), 0
    async for part in reply.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            reply.close()
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def unpack(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding. Raises TooLarge, or ValueError when it can't be unpacked."""
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"a body packed as {encoding[:20]!r}, which was not asked for")
    try:
        return _inflate(body, _GZIP_OR_ZLIB)
    except zlib.error as error:
        if body[:1] in (b"{", b"["):  # says gzip and is not
            return body
        if encoding == "deflate":  # some servers leave out zlib's header
            with contextlib.suppress(zlib.error):
                return _inflate(body, _RAW)
        raise ValueError(f"a body that is not {encoding} ({error})") from None


def _inflate(body: bytes, form: int) -> bytes:
    made, size = list[bytes](), 0
    while body:  # gzip may have several members
        unpacker = zlib.decompressobj(form)
        part = unpacker.decompress(body, MAX_BODY - size + 1)
        size += len(part)
        if size > MAX_BODY:
            raise TooLarge
        made.append(part)
        if not unpacker.eof:
            raise zlib.error("it breaks off")
        body = unpacker.unused_data
    return b"".join(made)
