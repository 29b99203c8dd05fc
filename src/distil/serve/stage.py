"""Stage `serve`: a trained student behind an OpenAI-compatible gateway, or any one local model without fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.served import tuned
from distil.errors import UserError
from distil.judging.settings import Settings
from distil.progress import dollars, say
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document
from distil.runs.schemas.calibration import Calibration
from distil.serve.calibration.acceptance import Similarity
from distil.serve.capture import Capture
from distil.serve.certificate.canary import read_canaries
from distil.serve.certificate.depends import Subject, void
from distil.serve.certificate.server_version import SERVER_VERSION
from distil.serve.certificate.watch import CanaryWatch
from distil.serve.config import ServeConfig
from distil.serve.engines.base import behind_provider, make_engine, require_answers
from distil.serve.engines.upstream import engine_key, split_url
from distil.serve.gateway import Gateway
from distil.serve.http.app import require_server
from distil.serve.keys import Keys
from distil.serve.live.setup import Candidate, watch_live
from distil.serve.metrics import total
from distil.serve.policy import Policy
from distil.serve.server import serve
from distil.serve.spending import KeyedFallback, Spending
from distil.serve.watching import watch


class ServeResult(Record):
    """What a gateway did while it ran."""

    student: int
    """Requests that the student answered."""
    teacher: int
    """Requests that the teacher answered."""
    errors: int
    """Requests that got an error."""
    captured: int
    """Prompts captured for the next training round."""
    usd: float
    """What the teacher's answers cost."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        return [(name, dollars(value) if name == "usd" else f"{value:,}") for name, value in self.model_dump().items()]


def run(
    project: Project,
    section: ServeConfig,
    *,
    name: str,
    teachers: Sequence[TeacherConfig] = (),
    similarity: Similarity | None = None,
    system: str | None = None,
    judge: Settings | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> ServeResult:
    """Serves the student `name` until SIGINT or SIGTERM. Raises UserError when something that it needs is missing.

    `similarity` labels audits of prose (distil.evaluate.similarity.cosines).
    """
    require_server()
    section = behind_provider(project, name, section)
    gateway = make_gateway(
        project, section, name=name, teachers=teachers, similarity=similarity, system=system, judge=judge
    )
    if gateway.policy.uses_student:
        _require_answers(project, section, name)
    serve(gateway, host=section.host, port=section.port, on_ready=on_ready)
    metrics = gateway.metrics
    return ServeResult(
        student=total(metrics.requests, answered_by="student"),
        teacher=total(metrics.requests, answered_by="teacher"),
        errors=total(metrics.errors),
        captured=gateway.capture.written if gateway.capture else 0,
        usd=gateway.teacher.usd if gateway.teacher else 0.0,
    )


def _require_answers(project: Project, section: ServeConfig, name: str) -> None:
    """Raises UserError when the student's server does not answer; for one tuned at a provider, with how to deploy it."""
    try:
        require_answers(section.engine, section.engine_key_env)
    except UserError as error:
        serving = None if project.model(name).is_dir() else tuned(project.provider_job(name), name)
        if serving is None or not serving.deploy:
            raise
        raise UserError(f"{error} {serving.deploy}") from None


def make_gateway(
    project: Project,
    section: ServeConfig,
    *,
    name: str,
    teachers: Sequence[TeacherConfig] = (),
    similarity: Similarity | None = None,
    system: str | None = None,
    judge: Settings | None = None,
) -> Gateway:
    """The gateway of a student, not started. `system`: the config's system prompt; `judge`: its judge, on which a threshold may
    depend.

    Raises UserError when student, teacher or a matching calibration is missing.
    """
    model, section = project.model(name), behind_provider(project, name, section)
    if section.engine is None and not model.is_dir():
        raise UserError(
            f"There is no trained student {name!r} ({project.relative(model)} is not there). "
            f"Run `distil train --as {name}` first."
        )
    student = make_engine(
        str(model),
        batch_size=section.batch_size,
        queue=section.queue,
        engine=section.engine,
        key_env=section.engine_key_env,
        scored_streams=section.fallback != "off",
    )
    keys = Keys(project.gateway_keys)
    subject = Subject(project, name, section, teachers, system, judge)
    calibration = read_calibration(project, name) if section.fallback == "calibrated" else None
    policy = _policy(subject, calibration)
    teacher = _teacher(project, section, policy, teachers, keys)
    capture = Capture(project.captured) if section.capture and teacher is not None else None
    gateway = Gateway(
        name,
        student,
        policy,
        teacher=teacher,
        capture=capture,
        keys=keys,
        student_on_failure=section.teacher_failure == "student",
        max_tokens=section.default_max_tokens,
        stream_mode=section.stream,
        deadline_s=section.deadline_s,
    )
    if calibration is not None and policy.uses_student:
        gateway.watch = _watch(project, section, calibration)
    watch_live(project, section, gateway, calibration, similarity, _candidate(subject))
    promise = "" if calibration is None else calibration.promise
    return watch(gateway, section, promise=promise, teacher=next(iter(teachers), None), marks=project.marks)


def _teacher(
    project: Project, section: ServeConfig, policy: Policy, teachers: Sequence[TeacherConfig], keys: Keys
) -> KeyedFallback | None:
    """The first teacher; None where it is never asked. Raises UserError when there is none."""
    if policy.mode == "off":
        return None
    if not teachers:
        raise UserError(
            f"serve.fallback is {policy.mode}, but no teacher is configured. Add one under `teachers`, "
            "or type --set serve.fallback=off."
        )
    return KeyedFallback(
        project.ledger,
        teachers[0],
        section.budget_usd,
        concurrency=section.teacher_concurrency,
        queue=section.teacher_queue,
        usd_per_day=section.budget_usd_per_day,
        cache=section.cache,
        keys=keys,
        spending=Spending(project.key_spending),
    )


def _watch(project: Project, section: ServeConfig, calibration: Calibration) -> CanaryWatch | None:
    """Who compares the server behind `serve.engine` with the one that was calibrated; None: the student runs in this process."""
    if section.engine is None:
        return None
    name = calibration.student
    canaries = read_canaries(project, name)
    if not canaries:
        raise UserError(
            f"{project.relative(project.canaries(name))} is not there, so the model behind serve.engine can't be recognized. "
            f"Run `distil calibrate {name}` again."
        )
    version = calibration.depends.get(SERVER_VERSION)
    base, key = split_url(section.engine)[0], engine_key(section.engine_key_env)
    return CanaryWatch(name, canaries, base=base, version=version, key=key, minutes=section.canary_minutes)


def _candidate(served: Subject) -> Candidate | None:
    """The student in the shadow, with its own engine and certificate. Raises UserError when one is missing."""
    project, section, name = served.project, served.section, served.section.shadow
    if name is None:
        return None
    calibration = read_calibration(project, name)
    if section.engine is not None or calibration.engine is not None:
        raise UserError(
            f"serve.shadow is {name}, and a student in the shadow is compared in this process only: set serve.engine to null, "
            f"run `distil calibrate {name}`, or leave serve.shadow out."
        )
    engine = make_engine(str(project.model(name)), batch_size=section.batch_size, queue=section.queue)
    return Candidate(name, engine, _policy(replace(served, name=name), calibration), calibration)


def _policy(subject: Subject, calibration: Calibration | None) -> Policy:
    """calibration: its own, with serve.fallback calibrated. Raises UserError where it is not one of the student as it is."""
    section = subject.section
    if section.fallback == "threshold":
        if section.threshold is None:
            raise UserError(
                "serve.fallback is threshold, but serve.threshold is not set. Give a confidence between 0 and 1, "
                "or let `distil calibrate` find one and set fallback to calibrated."
            )
        if section.stream == "prefix":
            raise UserError(
                "serve.stream is prefix, which passes an answer on before it is whole: that needs a threshold that was found for "
                f"it. Type: distil calibrate {subject.name} --set serve.stream=prefix, and set serve.fallback to calibrated."
            )
        return Policy("threshold", section.threshold, section.score)
    if section.fallback != "calibrated" or calibration is None:
        return Policy(section.fallback, None, section.score)
    _check(calibration, subject)
    _check_gate(calibration, section, subject.name)
    say(f"distil serve: {calibration.promise}")
    return Policy(
        "calibrated",
        calibration.threshold,
        calibration.score,
        calibration.temperature,
        shape=calibration.shape,
        refuted=calibration.refuted,
        prefix_tokens=calibration.prefix_tokens,
    )


def _check_gate(calibration: Calibration, section: ServeConfig, name: str) -> None:
    """Raises UserError when the threshold was found for another part of the answers than the one that is to decide."""
    found, wanted = calibration.prefix_tokens, section.decided_tokens
    if found != wanted:
        of = "whole answers" if found is None else f"the first {found} tokens of answers"
        to = "whole answers" if wanted is None else f"the first {wanted} tokens (serve.stream, serve.prefix_tokens)"
        raise UserError(
            f"The threshold of {name!r} was found on {of} and is to decide on {to}. Run `distil calibrate {name}` again with the "
            "settings that it is served with."
        )


def read_calibration(project: Project, name: str) -> Calibration:
    """The calibration of a student. Raises UserError when it is missing or can't be read."""
    path = project.calibration(name)
    if not path.exists():
        raise UserError(
            f"serve.fallback is calibrated, but {name!r} has no calibration yet. Run `distil calibrate {name}`, or type "
            "--set serve.fallback=off to serve without fallback."
        )
    return read_document(path, Calibration, command=f"distil calibrate {name}")


def _check(calibration: Calibration, subject: Subject) -> None:
    """Raises UserError when something that the certificate depends on is not as it was."""
    broken = void(calibration, subject)
    if broken is not None:
        raise UserError(broken)
    if subject.section.teacher_failure == "student":
        raise UserError(
            "serve.teacher_failure is student, which returns unsure answers and voids the calibrated guarantee. Set it to "
            "error, or set serve.fallback to threshold."
        )


def serve_model(
    ref: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    model_name: str = "model",
    batch_size: int = 64,
    temperature: float = 1.0,
    max_tokens: int = 500,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serves one local model (bundled/NAME, a folder or a hub id) without fallback until SIGINT or SIGTERM.

    Prints `ready http://HOST:PORT/v1#MODEL_NAME` once it answers, or calls `on_ready` with that URL; port 0 = any free one.
    `temperature` and `max_tokens` apply where a request names none (OpenAI's default temperature is 1). Raises UserError.
    """
    require_server()
    engine = make_engine(ref, batch_size=batch_size, queue=2048)
    gateway = Gateway(model_name, engine, Policy("off"), temperature=temperature, max_tokens=max_tokens)
    watch(gateway, ServeConfig(log="off"))
    serve(gateway, host=host, port=port, on_ready=on_ready)
