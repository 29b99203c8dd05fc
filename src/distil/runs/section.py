"""Base of the config sections: frozen, unknown keys refused, a docstring under each key (`distil init` writes it as comment)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of distil.yaml. A stage's entry takes it and unpacks it; the classes inside a stage never see it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
