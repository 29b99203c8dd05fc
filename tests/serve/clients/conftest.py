"""Two gateways for the clients: the bundled student in this process, and servers whose answers a test knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from distil.serve.engines.base import make_engine
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from tests.serve.clients.serving import serving
from tests.serve.running import StudentServer
from tests.serve.test_gateway import gateway_of, teacher_server


def answer(body: dict[str, Any]) -> Any:
    """A call where tools are offered and none was called, JSON where a schema is asked for, else a sentence."""
    if body.get("response_format", {}).get("type") == "json_schema":
        return '{"city":"Rome"}'
    called = any(turn["role"] == "tool" for turn in body["messages"])
    if body.get("tools") and not called:
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city":"Rome"}'}
        call = {"id": "c1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return "It is sunny in Rome."


@pytest.fixture(scope="session")
def bundled() -> Iterator[str]:
    """The address of the bundled student, in this process, without fallback."""
    engine = make_engine("bundled/student", batch_size=8, queue=64)
    with serving(Gateway("student", engine, Policy("off"), max_tokens=200)) as url:
        yield url


@pytest.fixture(scope="session")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway in front of a student that is never sure, and of a teacher."""
    with StudentServer() as student, teacher_server() as teacher:
        student.answer = teacher.answer = answer
        folder = tmp_path_factory.mktemp("clients")
        with serving(gateway_of(folder, student, teacher, fallback="threshold", threshold=0.999)) as url:
            yield url


@pytest.fixture(params=["bundled", "mocked"])
def either(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    address: str = request.getfixturevalue(request.param)
    return address
