"""What the page's board counts and keeps: it stays bounded, and its money and its marks are those of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.collect.questions import Question
from distil.errors import UserError
from distil.records import Message, Prompt, Sampling, Usage
from distil.runs.artifacts import Project
from distil.runs.marks import read_marks
from distil.runs.schemas.gateway_state import LiveFigures
from distil.serve.config import ServeConfig
from distil.serve.page.board import REASONS, About, Board, Promise
from distil.serve.page.fallbacks import CUT, KEPT, WHOLE, Fallbacks
from distil.serve.policy import Decision, Policy
from distil.serve.served import Served
from distil.serve.stage import make_gateway
from distil.serve.watching import promise_of, worth_of
from distil.serve.wire import Caller, ChatReply, ChatRequest
from tests.serve.running import StudentServer, teacher_of
from tests.wire.openai import OpenAIServer

TEACHER = TeacherConfig(model="openai/gpt-4o-mini", price=Price(input=1.0, output=2.0))


def served(text: str = "Where is it?", *, by: str = "teacher", reason: str = "unsure", usd: float = 0.5) -> Served:
    request = ChatRequest("student", [Message(role="user", content=text)], Sampling(), caller=Caller("req_1"))
    student = ChatReply("mine", "stop", Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    teacher = ChatReply("theirs", "stop", Usage(input_tokens=5, output_tokens=5), usd=usd) if by == "teacher" else None
    return Served(request, Decision("teacher" if by == "teacher" else "student", reason), 0.3, student, teacher, 0.25)


def board_of(folder: Path, live: LiveFigures | None = None) -> Board:
    about = About("s", TEACHER.model, lambda: Promise("certified", "words"), lambda: live, worth_of(TEACHER))
    fallbacks = Fallbacks(folder / "work/curate/marks.jsonl", TEACHER.model, TEACHER.sampling)
    return Board(about, fallbacks, clock=lambda: 6_000.0)


def test_money_spent_and_saved_at_the_teachers_price(tmp_path: Path) -> None:
    board = board_of(tmp_path)
    board(served())
    board(served(by="student", reason="confident"))
    state = board.state(0)
    assert state["usd"] == {"spent": 0.5, "saved": 3.0}
    assert state["answered"] == [
        {"by": "teacher", "reason": "unsure", "count": 1},
        {"by": "student", "reason": "confident", "count": 1},
    ]
    minutes = state["minutes"]
    assert isinstance(minutes, list) and len(minutes) == 60 and minutes[-1] == {"teacher": 1, "student": 1}


def test_nothing_grows_without_bound(tmp_path: Path) -> None:
    board = board_of(tmp_path)
    for number in range(KEPT + 50):
        board(served(f"{number} " + "x" * (2 * CUT), reason=f"reason_{number}"))
    state = board.state(0)
    cases, answered = state["fallbacks"], state["answered"]
    assert isinstance(cases, list) and isinstance(answered, list)
    assert len(cases) == KEPT and cases[-1]["number"] == KEPT + 50 and len(answered) <= REASONS + 1
    text, left_out = cases[0]["turns"][0][1]
    assert len(text) == CUT and left_out > CUT
    assert board.state(KEPT + 48)["fallbacks"] == cases[-2:]


def test_a_mark_is_on_the_answer_that_is_collected_later(tmp_path: Path) -> None:
    board = board_of(tmp_path)
    board(served("Where is it?"))
    prompt = Prompt.make([Message(role="user", content="Where is it?")])
    expected = Question(0, prompt, TEACHER, 0).answer_id
    board.fallbacks.mark(expected, "bad")
    assert read_marks(tmp_path / "work/curate/marks.jsonl")[expected].mark == "bad"
    assert board.state(0)["marks"] == {expected: "bad"}
    board.fallbacks.mark(expected, "none")
    assert board.state(0)["marks"] == {}


def test_what_is_not_kept_or_too_long_is_not_marked(tmp_path: Path) -> None:
    board = board_of(tmp_path)
    board(served("x" * (WHOLE + 1)))
    cases = board.state(0)["fallbacks"]
    assert isinstance(cases, list) and cases[0]["answer_id"] is None
    with pytest.raises(UserError, match="no longer kept"):
        board.fallbacks.mark("answer_0", "good")


def test_an_audit_is_shown_as_soon_as_there_is_one(tmp_path: Path) -> None:
    assert board_of(tmp_path).state(0)["audit"] is None
    figures = LiveFigures(
        audits=40, bad=1, error=0.025, low=0.0, high=0.12, promised=0.05, state="holds", alarm_at=None, openings=0,
        lost=0, usd=0.1,
    )  # fmt: skip
    audit = board_of(tmp_path, figures).state(0)["audit"]
    assert isinstance(audit, dict) and audit["error"] == 0.025 and audit["state"] == "holds"


def test_the_promise_is_void_once_it_no_longer_holds(tmp_path: Path) -> None:
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = ServeConfig(engine=f"{student.url}#student", fallback="always")
        gateway = make_gateway(Project(tmp_path), section, name="student", teachers=[teacher_of(teacher)])
    states = {}
    for name, policy in {
        "always": Policy("always"),
        "certified": Policy("calibrated", 0.9),
        "refused": Policy("calibrated", None),
        "changed": Policy("calibrated", 0.9, changed=True),
        "alarm": Policy("calibrated", 0.9, closed=True),
    }.items():
        gateway.policy = policy
        states[name] = promise_of(gateway, "At most 5% are bad.").state
    assert states == {
        "always": "uncalibrated", "certified": "certified", "refused": "none", "changed": "void", "alarm": "void",
    }  # fmt: skip
