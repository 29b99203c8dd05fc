"""A tuned model as the rest of Distil uses it: as a model that is asked (evaluation), or as the engine behind the gateway."""

from __future__ import annotations

import os
from pathlib import Path

from distil.calls.config import Price, TeacherConfig
from distil.calls.providers import azure, hosts
from distil.calls.providers.catalog import key_variable, parse_model
from distil.errors import UserError
from distil.runs.schemas.provider_job import ProviderJob, Serving, read_provider_job


def tuned(path: Path, name: str) -> Serving | None:
    """Where the student of a folder answers; None for one that was trained here.

    path: its provider.json. Raises UserError for a job that is not done.
    """
    job = read_provider_job(path)
    if job is None:
        return None
    if job.serving is None:
        raise UserError(f"{name!r} has no model yet: its job at {job.provider} {_state(job)}.")
    return job.serving


def _state(job: ProviderJob) -> str:
    command = f"distil train --provider {job.provider} --as NAME"
    if job.over:
        return f"{'was cancelled' if job.state == 'cancelled' else 'failed'}; `{command} --force` starts another"
    return f"is under way; `{command}` follows it"


def as_model(serving: Serving) -> TeacherConfig:
    """A model that can be asked. A deployment by the hour costs nothing by the token; an unknown price stays unknown."""
    price = None
    if serving.input is not None and serving.output is not None:
        price = Price(input=serving.input, output=serving.output)
    urls = [serving.base_url] if serving.base_url is not None else []
    return TeacherConfig(model=serving.model, price=price, base_urls=urls)


def as_engine(serving: Serving) -> tuple[str, str | None]:
    """(URL with the model's name, variable of its key), as serve.engine and serve.engine_key_env name a server."""
    ref = parse_model(serving.model)
    url = serving.base_url or hosts.address(ref.prefix, os.environ, serving.model)
    if ref.prefix == "azure":
        url = f"{azure.resource(url).origin}/openai/v1"  # takes the key as a bearer token, too
    return f"{url.rstrip('/')}#{ref.name}", key_variable(TeacherConfig(model=serving.model))
