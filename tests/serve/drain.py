"""Run as a program: a gateway whose teacher hangs. Prints its URL; ends by signals."""

from __future__ import annotations

import sys
from pathlib import Path

from distil.serve import server
from tests.serve.running import StudentServer
from tests.serve.test_gateway import gateway_of, teacher_server
from tests.wire.server import hang

if __name__ == "__main__":
    server.GRACE_S, server.CLOSING_S = float(sys.argv[2]), 1.0
    with StudentServer() as student, teacher_server() as teacher:
        teacher.trouble_for = lambda seen: hang(60)
        gateway = gateway_of(Path(sys.argv[1]), student, teacher, fallback="threshold", threshold=0.9)
        server.serve(gateway, host="127.0.0.1", port=0)
