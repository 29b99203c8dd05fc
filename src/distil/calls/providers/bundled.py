"""bundled/teacher: the small model that ships with Distil, so that the whole loop runs without a key, a network or a GPU.

Everything but its name is local.py.
"""

from __future__ import annotations

from pathlib import Path

from distil.calls.providers.local import LocalModelProvider, folder_identity
from distil.models.load import resolve


class BundledProvider(LocalModelProvider):
    """bundled/teacher or bundled/student. Raises UserError for another name."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        super().__init__(name, root)
        self.ref = f"bundled/{name}"
        self._identity = folder_identity(Path(resolve(self.ref)))
