"""The real replies of ../shared/data/replies, for tests of the endpoints that they came from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replies(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The records {host, path, status, headers, request, body} that are wanted; streams are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = [record for record in map(json.loads, file) if wanted(record)]
    return [record for record in found if not record["body"].startswith(("event:", "data:", "\x00"))]
