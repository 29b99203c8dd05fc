"""Which version a student's server says that it is."""

from __future__ import annotations

import json

import aiohttp

from distil.calls.http.body import TooLarge, whole_body
from distil.text import one_line

SERVER_VERSION = "server version"
"""Its name among what a certificate depends on."""
VERSION_PATHS = {"version": "version", "props": "build_info", "get_server_info": "version"}
"""Where servers name their version: vLLM, llama.cpp, SGLang."""
VERSION_S = 3.0


async def server_version(base: str, key: str | None = None) -> str | None:
    """What a server says that it is, such as `version 0.32.0`; None where it says nothing. `base`: its URL with /v1."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=VERSION_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        for path, field in VERSION_PATHS.items():
            try:
                async with session.get(f"{base.removesuffix('/v1')}/{path}", allow_redirects=False) as response:
                    said = json.loads(await whole_body(response)) if response.status == 200 else None
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError, TooLarge):
                continue
            if isinstance(said, dict) and isinstance(said.get(field), str):
                return f"{field.replace('build_info', 'build')} {one_line(said[field], 60)}"
    return None
