"""OpenAI's and Azure's fine-tuning on a loopback server."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.wire.fine_tuning import BASES, KEY, FineTuningServer, guarded, missing


class OpenAITuning(FineTuningServer):
    """/v1/files and /v1/fine_tuning/jobs; lists have pages of two."""

    vendor = "openai"
    steps = ("validating_files", "queued", "running", "running", "succeeded")
    root = "/v1"
    needs_bom = False

    @property
    def url(self) -> str:
        return f"{self.origin}{self.root}"

    @property
    def environ(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.url}

    def routes(self) -> list[web.RouteDef]:
        jobs = f"{self.root}/fine_tuning/jobs"
        found = [
            web.get(f"{self.root}/models/{{id}}", guarded(self, self._model)),
            web.post(f"{self.root}/files", guarded(self, self._upload)),
            web.get(f"{self.root}/files", guarded(self, self._files)),
            web.get(f"{self.root}/files/{{id}}", guarded(self, self._file)),
            web.post(jobs, guarded(self, self._create)),
            web.get(jobs, guarded(self, self._jobs)),
            web.get(f"{jobs}/{{id}}", guarded(self, self._job)),
            web.get(f"{jobs}/{{id}}/events", guarded(self, self._events)),
            web.post(f"{jobs}/{{id}}/cancel", guarded(self, self._cancel)),
        ]
        return found

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name != BASES["openai"]:
            return missing("model", f"The model '{name}' does not exist")
        return web.json_response(self.model(name))

    def model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1, "owned_by": "system"}

    async def _upload(self, request: web.Request) -> web.Response:
        fields, filename, content = await self.upload_of(request)
        assert fields["purpose"] == "fine-tune"
        assert content.startswith(b"\xef\xbb\xbf") == self.needs_bom
        name = f"file-{len(self.files) + 1}"
        self.files[name] = {"filename": filename, "content": content, "created_at": int(time.time())}
        return web.json_response(self._shown_file(name))

    def _shown_file(self, name: str) -> dict[str, Any]:
        file = self.files[name]
        status = "error" if self.refuse_file else "processed"
        return {
            "id": name,
            "object": "file",
            "bytes": len(file["content"]),
            "created_at": file["created_at"],
            "filename": file["filename"],
            "purpose": "fine-tune",
            "status": status,
            "status_details": self.refuse_file,
            "expires_at": None,
        }

    def _page(self, request: web.Request, shown: list[dict[str, Any]]) -> web.Response:
        after = request.query.get("after")
        start = next((n + 1 for n, one in enumerate(shown) if one["id"] == after), 0)
        page = shown[start : start + 2]
        last = page[-1]["id"] if page else None
        return web.json_response(
            {"object": "list", "data": page, "has_more": start + 2 < len(shown), "first_id": None, "last_id": last}
        )

    async def _files(self, request: web.Request) -> web.Response:
        return self._page(request, [self._shown_file(name) for name in reversed(self.files)])

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return web.json_response(self._shown_file(name)) if name in self.files else missing("File object")

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["training_file"] not in self.files:
            return web.json_response(
                {"error": {"message": f"invalid training_file: {body['training_file']}", "code": "invalid_file"}},
                status=400,
            )
        assert len(body["suffix"]) <= 64
        name = f"ftjob-{len(self.jobs) + 1}"
        self.orders.append(body)
        self.jobs[name] = {"word": self.steps[0], "looks": 0, "body": body, "created_at": int(time.time())}
        return web.json_response(self.shown(name))

    def shown(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        body, done = job["body"], job["word"] == "succeeded"
        method = body.get("method") or {
            "type": "supervised",
            "supervised": {"hyperparameters": body["hyperparameters"]},
        }
        return {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": job["created_at"],
            "error": {"code": "exceeded_quota", "message": self.fail, "param": None}
            if job["word"] == "failed"
            else None,
            "fine_tuned_model": f"ft:{body['model']}:org:{body['suffix']}:abc" if done else None,
            "finished_at": int(time.time()) if done else None,
            "hyperparameters": method["supervised"]["hyperparameters"],
            "method": method,
            "metadata": body.get("metadata"),
            "model": body["model"],
            "organization_id": "org-1",
            "result_files": [],
            "seed": body.get("seed", 1),
            "status": self.word or job["word"],
            "trained_tokens": 1_000_000 if done else None,
            "training_file": body["training_file"],
            "validation_file": body.get("validation_file"),
            "estimated_finish": int(time.time()) + 90 if job["word"] == "running" else None,
        }

    async def _jobs(self, request: web.Request) -> web.Response:
        return self._page(request, [self.shown(name) for name in reversed(self.jobs)])

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return missing("fine tuning job", f"Could not find fine tune: {name}")
        self.step(self.jobs[name])
        return web.json_response(self.shown(name))

    async def _events(self, request: web.Request) -> web.Response:
        looks = self.jobs[request.match_info["id"]]["looks"]
        events = [
            {
                "id": f"ftevent-{n}",
                "object": "fine_tuning.job.event",
                "created_at": n,
                "level": "info",
                "message": f"Step {n}/4: training loss=0.5",
                "data": {"step": n, "total_steps": 4, "train_loss": 0.5},
                "type": "metrics",
            }
            for n in range(looks + 1)
        ]
        return web.json_response({"object": "list", "data": events[::-1], "has_more": False})

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return missing("fine tuning job")
        self.jobs[name]["word"] = "cancelled"
        return web.json_response(self.shown(name))


class AzureTuning(OpenAITuning):
    """The same in a resource: the key's own header, a byte order mark, models that say whether they are tuned."""

    vendor = "azure"
    root = "/openai/v1"
    needs_bom = True
    tunable = True

    @property
    def environ(self) -> dict[str, str]:
        return {"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": self.origin}

    def refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("api-key") != KEY:
            return web.json_response(
                {"error": {"code": "401", "message": "Access denied due to invalid key"}}, status=401
            )
        return None

    def model(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "capabilities": {"fine_tune": self.tunable, "inference": True, "chat_completion": True},
            "lifecycle_status": "generally-available",
            "deprecation": {"fine_tune": 1_790_812_800, "inference": 1_822_348_800},
        }

    def shown(self, name: str) -> dict[str, Any]:
        shown = super().shown(name)
        model = shown["fine_tuned_model"]
        return shown | {"fine_tuned_model": model.replace("ft:", "").replace(":", ".") if model else None}


class DatedAzureTuning(AzureTuning):
    """With an api-version: the older path, and hyperparameters at the top."""

    root = "/openai"

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"OPENAI_API_VERSION": "2024-10-21"}

    async def _create(self, request: web.Request) -> web.Response:
        assert request.query["api-version"] == "2024-10-21"
        body = await request.json()
        assert "method" not in body and body["hyperparameters"]["n_epochs"] > 0
        return await super()._create(request)
