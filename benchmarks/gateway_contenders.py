"""The gateways of gateway.py, each a process of its own in front of the same model server, and what processor time they use.

`python benchmarks/gateway_contenders.py distil | bare ...` is what it starts; litellm runs as its documentation says.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KEY = f"sk-{secrets.token_hex(16)}"
"""litellm starts with a key only; the requests of this benchmark carry it."""
MODES = {
    "student": {"fallback": "threshold", "threshold": 0.5},
    "student, no fallback": {"fallback": "off"},
    "teacher": {"fallback": "always"},
}
"""Ways to run Distil: the student answers and is checked, answers alone, or the teacher answers and is recorded."""


@dataclass
class Running:
    """A gateway that answers."""

    url: str
    """Its base URL, ending in /v1."""
    process: subprocess.Popen[str]
    key: str = ""

    def cpu(self) -> float:
        """CPU seconds so far, of the process and of those it started."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))

    def rss_mib(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def files(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def upstream(core: int | None, pace: float) -> Iterator[str]:
    """The model server's base URL."""
    command = [sys.executable, str(HERE / "gateway_upstream.py"), "--pace", str(pace)]
    with subprocess.Popen(_pinned(core, command), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}/v1"
        finally:
            process.terminate()


@contextmanager
def distil(folder: Path, url: str, mode: str, core: int | None) -> Iterator[Running]:
    """Distil's gateway in one of MODES, with capture, a request log and the page, as `distil serve` runs it."""
    with _started(folder, ["distil", str(folder), url, mode], core) as running:
        yield running


@contextmanager
def bare(folder: Path, url: str, core: int | None) -> Iterator[Running]:
    """A proxy that only passes on, from the same parts: uvicorn in front, aiohttp behind."""
    with _started(folder, ["bare", url], core) as running:
        yield running


@contextmanager
def litellm(folder: Path, url: str, python: Path, core: int | None) -> Iterator[Running]:
    """litellm's proxy from the environment of `python`, one worker."""
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: student\n"
        f"    litellm_params: {{model: openai/student, api_base: {url}, api_key: none}}\n"
        "litellm_settings: {telemetry: false, set_verbose: false}\n"
        f"general_settings: {{master_key: {KEY}}}\n"
    )
    environ = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "PYTHONPATH": ""}
    port = _free_port()
    command = [str(python.parent / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    with (folder / "litellm.log").open("w") as log:
        process = subprocess.Popen(
            _pinned(core, command), env=environ, cwd=folder, stdout=log, stderr=log, text=True, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}/health/liveliness", process)
            yield Running(f"http://127.0.0.1:{port}/v1", process, KEY)
        finally:
            _end(process)


@contextmanager
def _started(folder: Path, arguments: Sequence[str], core: int | None) -> Iterator[Running]:
    command = [sys.executable, str(HERE / "gateway_contenders.py"), *arguments]
    with (folder / f"{arguments[0]}.log").open("a") as log:
        process = subprocess.Popen(_pinned(core, command), stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline().split()
            if not line:
                raise RuntimeError(f"{arguments[0]} did not start; see {log.name}")
            yield Running(line[1].partition("#")[0], process)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except (OSError, urllib.error.URLError):
            if process.poll() is not None:
                raise RuntimeError("litellm ended while it started") from None
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("litellm did not start within two minutes")


def _pinned(core: int | None, command: list[str]) -> list[str]:
    return command if core is None or shutil.which("taskset") is None else ["taskset", "-c", str(core), *command]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # ended meanwhile
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def serve_distil(folder: Path, url: str, mode: str) -> None:
    """Runs Distil's gateway until a signal."""
    from distil.calls.config import Price, TeacherConfig
    from distil.runs.artifacts import Project
    from distil.serve.config import ServeConfig
    from distil.serve.server import serve
    from distil.serve.stage import make_gateway

    section = ServeConfig.model_validate({"engine": f"{url}#student", "port": 0, "log": "json"} | MODES[mode])
    teacher = TeacherConfig(model=f"{url}#teacher", price=Price(input=1.0, output=2.0))
    serve(make_gateway(Project(folder), section, name="student", teachers=[teacher]), host="127.0.0.1", port=0)


def serve_bare(url: str) -> None:
    """Runs the bare proxy until a signal."""
    import aiohttp
    import uvicorn

    async def run() -> None:
        timeout, connector = aiohttp.ClientTimeout(total=600), aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

            async def app(scope, receive, send) -> None:
                body, more = b"", True
                while more:
                    message = await receive()
                    body, more = body + message.get("body", b""), message.get("more_body", False)
                headers = {"content-type": "application/json"}
                async with session.post(f"{url}/chat/completions", data=body, headers=headers) as reply:
                    kept = [(k, reply.headers.get(k)) for k in ("content-type", "content-length")]
                    passed = [(k.encode(), value.encode()) for k, value in kept if value]
                    await send({"type": "http.response.start", "status": reply.status, "headers": passed})
                    async for piece in reply.content.iter_any():
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})

            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen(2048)
                print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
                config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", backlog=2048)
                await uvicorn.Server(config).serve(sockets=[listener])

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1] == "distil":
        serve_distil(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        serve_bare(sys.argv[2])
