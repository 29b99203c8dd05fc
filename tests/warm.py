"""A Python that has imported torch and transformers already: programs are forked from it instead of started.

Starting Python with them costs 3 to 10 s of CPU, again and again in the tests that run commands as processes. `executable()` is a
program that takes `-m MODULE`, `-c CODE` and `FILE` as Python does, in a real process of its own, with the caller's folder,
environment, standard streams, signals and exit code. It starts Python from scratch where forking would not be the same: for
other options, and where the environment differs in what is read at an import. Not taken from the caller, and the same in all
forks: the seed of hashes, the order of imports, limits of resources, umask, namespaces (`unshare`), session and process group;
and -u does nothing. Where one of these or the start itself is what is tested, use sys.executable.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import distil  # noqa: F401  it sets variables of the environment

PRELOADED = (
    *("torch._dynamo", "torch.distributed.run", "torch.distributed.fsdp", "torch.distributed.checkpoint.state_dict"),
    *("transformers.trainer", "transformers.models.llama.modeling_llama", "transformers.models.auto", "peft"),
    *("distil.cli.train", "distil.pipeline", "distil.train.run", "distil.train.sharding", "distil.evaluate.stage"),
    *("distil.collect.stage", "distil.curate.stage", "distil.signals.stage", "distil.cost.stage", "distil.report.page"),
    *("distil.doctor.checks", "distil.serve.stage", "distil.serve.server", "distil.serve.calibration"),
)
READ_AT_IMPORT = (
    "OMP_",
    "MKL_",
    "KMP_",
    "OPENBLAS_",
    "TORCH",
    "HF_",
    "TRANSFORMERS_",
    "CUDA_",
    "PYTHON",
    "LD_",
    "MALLOC_",
)
SAME_ANYWAY = ("PYTHONPATH", "TORCHINDUCTOR_", "TORCHELASTIC_", "TORCH_NCCL_")

CLIENT = """#!{python} -ISE
import array, json, os, signal, socket, sys
def cold():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
words = sys.argv[1:]
if words[:1] == ["-u"]:  # these programs flush what somebody waits for
    words = words[1:]
if not words or words[0].startswith("-") and words[0] not in ("-m", "-c") or "--multiprocessing-fork" in words:
    cold()
read = {{k: v for k, v in os.environ.items() if v and k.startswith({prefixes!r}) and not k.startswith({same!r})}}
if read != {read!r}:
    cold()
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({address!r})
ask = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
line.sendmsg([len(ask).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
line.sendall(ask)
replies = line.makefile("rb")
child = int(replies.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(child, number))
code = int(replies.readline())
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


START = os.environ | {"OMP_NUM_THREADS": "1"}  # before a test changes it


@contextmanager
def started() -> Iterator[None]:
    """Inside, what starts Python by `sys.executable` starts it by `executable()`."""
    cold, sys.executable = sys.executable, executable()
    try:
        yield
    finally:
        sys.executable = cold


@cache
def executable() -> str:
    """The program; the process that it forks from starts with the first call and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    address = str(folder / "socket")
    read = {k: v for k, v in START.items() if v and k.startswith(READ_AT_IMPORT) and not k.startswith(SAME_ANYWAY)}
    client = folder / "python"
    client.write_text(
        CLIENT.format(python=sys.executable, prefixes=READ_AT_IMPORT, same=SAME_ANYWAY, read=read, address=address)
    )
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", address, str(client)],
        cwd=Path(__file__).parents[1],
        env=START,
        stdin=subprocess.PIPE,  # its end says that this process has ended
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.communicate)
    return str(client)


# ---- the process that programs are forked from


def _asked(line: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    """Words, folder, environment and the three standard streams of a request."""
    fds = array.array("i")
    head, ancillary, _, _ = line.recvmsg(8, socket.CMSG_SPACE(3 * fds.itemsize))
    for _, _, data in ancillary:
        fds.frombytes(data)
    rest = line.makefile("rb", buffering=0)
    size, data = int.from_bytes(head, "big"), b""
    while len(data) < size:
        data += rest.read(size - len(data)) or b""
    words, folder, environ = json.loads(data)
    return words, folder, environ, list(fds)


def _become(words: list[str], folder: str, environ: dict[str, str], fds: list[int]) -> None:
    """Makes this forked process what a fresh one is: streams, folder, environment, signals, the path of modules."""
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    first = {"-m": folder, "-c": ""}.get(words[0], str(Path(words[0]).resolve().parent))
    sys.path[:] = [first, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    sys.argv[:] = words[1:] if words[0] == "-m" else ["-c", *words[2:]] if words[0] == "-c" else words


def _run(words: list[str]) -> NoReturn:
    """Runs the program and ends this process as Python ends, but for taking all loaded modules apart, which costs 0.6 s."""
    code: object = 0
    try:
        if words[0] == "-c":
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(words[1], "<string>", "exec"), sys.modules["__main__"].__dict__)
        elif words[0] == "-m":
            sys.modules.pop(words[1], None)
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if code is not None and not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the end of Python does
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0)


def serve(address: str, client: str) -> list[str] | None:
    """Forks a program for each request. Returns its words in the forked process, and None at the end of the parent."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(64)
    wake, waked = socket.socketpair()
    waked.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waked.fileno(), warn_on_full_buffer=False)
    waiting = selectors.DefaultSelector()
    for file, kind in ((listening, "ask"), (wake, "ended"), (sys.stdin.buffer, "over")):
        waiting.register(file, selectors.EVENT_READ, kind)
    sys.executable = client
    os.write(1, b"ready\n")
    programs: dict[int, socket.socket] = {}
    gc.collect()
    gc.freeze()
    while True:
        for key, _ in waiting.select():
            if key.data == "over":
                for pid in programs:
                    os.kill(pid, signal.SIGKILL)
                return None
            if key.data == "ended":
                wake.recv(4096)
                _reap(programs, waiting)
            elif key.data == "ask":
                line, _ = listening.accept()
                words, folder, environ, fds = _asked(line)
                pid = os.fork()
                if pid == 0:
                    for opened in (listening, wake, waked, line, *programs.values()):
                        opened.close()
                    waiting.close()
                    _become(words, folder, environ, fds)
                    return words
                for fd in fds:
                    os.close(fd)
                programs[pid] = line
                waiting.register(line, selectors.EVENT_READ, pid)
                line.sendall(b"%d\n" % pid)
            elif key.data in programs:  # whoever asked for it is gone, killed perhaps
                waiting.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)


def _reap(programs: dict[int, socket.socket], waiting: selectors.BaseSelector) -> None:
    while programs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        line = programs.pop(pid)
        with contextlib.suppress(KeyError):
            waiting.unregister(line)
        with contextlib.suppress(OSError):
            line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        line.close()


if __name__ == "__main__":
    for module in PRELOADED:
        importlib.import_module(module)
    if (forked := serve(*sys.argv[1:])) is not None:
        _run(forked)
