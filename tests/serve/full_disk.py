"""Run as a program: a gateway whose files can't grow for a while (RLIMIT_FSIZE), then can again. Prints what it saw as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.serve.test_gateway import gateway_of, teacher_server


def allow(size: int) -> None:
    """No file may grow beyond so many bytes; -1: no limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def watch(folder: Path) -> dict[str, object]:
    """(status while full, status of the student's own answers, seconds until the teacher answers again, captured lines)."""
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(folder, student, teacher, fallback="threshold", threshold=0.5)
        async with running(gateway) as session:

            async def ask(text: str) -> int:
                async with session.post(CHAT, json=chat_body(text)) as reply:
                    await reply.read()
                    return reply.status

            statuses = [await ask("p=0.2 before")]
            allow(1)
            full = [await ask(f"p=0.2 full {n}") for n in range(3)]
            own = await ask("p=0.9 own")
            asked = len(teacher.posts())
            assert gateway.capture is not None
            gateway.capture.add({"text": "while it is full"})
            await asyncio.sleep(0.2)
            allow(-1)
            started = time.monotonic()
            while await ask("p=0.2 after") != 200 and time.monotonic() - started < 20:
                await asyncio.sleep(0.2)
            seconds = time.monotonic() - started
        lines = (folder / "work/serve/captured.jsonl").read_text().splitlines()
        return {
            "before": statuses,
            "full": full,
            "own": own,
            "asked": asked,
            "seconds": seconds,
            "captured": [json.loads(line).get("text") or line[:60] for line in lines],
            "dropped": gateway.capture.dropped,
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(watch(Path(sys.argv[1])))))
