"""Fireworks' fine-tuning on a loopback server: Google's style of names, states and errors."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.wire.fine_tuning import BASES, KEY, FineTuningServer, guarded

ACCOUNT = "my-team"
CODES = {404: (5, "NOT_FOUND"), 409: (6, "ALREADY_EXISTS"), 401: (16, "UNAUTHENTICATED"), 400: (3, "INVALID_ARGUMENT")}


def status(number: int, message: str) -> web.Response:
    """An error as google.rpc.Status."""
    return web.json_response({"code": CODES[number][0], "message": message, "details": []}, status=number)


class FireworksTuning(FineTuningServer):
    """Datasets and jobs are named by the client; a second one of a name is refused."""

    vendor = "fireworks"
    steps = ("CREATING", "PENDING", "RUNNING", "WRITING_RESULTS", "COMPLETED")
    failed_word = "FAILED"

    def __init__(self) -> None:
        super().__init__()
        self.accounts = [ACCOUNT]

    @property
    def environ(self) -> dict[str, str]:
        return {"FIREWORKS_API_KEY": KEY, "FIREWORKS_BASE_URL": self.origin}

    def refused(self, request: web.Request) -> web.Response | None:
        return status(401, "invalid api key") if request.headers.get("Authorization") != f"Bearer {KEY}" else None

    def routes(self) -> list[web.RouteDef]:
        root, jobs = f"/v1/accounts/{ACCOUNT}", f"/v1/accounts/{ACCOUNT}/supervisedFineTuningJobs"
        return [
            web.get("/v1/accounts", guarded(self, self._accounts)),
            web.get("/v1/accounts/fireworks/models/{id}", guarded(self, self._model)),
            web.post(f"{root}/datasets", guarded(self, self._create_dataset)),
            web.get(f"{root}/datasets/{{id}}", guarded(self, self._dataset)),
            web.post(f"{root}/datasets/{{id}}:upload", guarded(self, self._upload)),
            web.post(jobs, guarded(self, self._create)),
            web.get(jobs, guarded(self, self._jobs)),
            web.get(f"{jobs}/{{id}}", guarded(self, self._job)),
            web.post(f"{jobs}/{{id}}:cancel", guarded(self, self._cancel)),
        ]

    async def _accounts(self, request: web.Request) -> web.Response:
        accounts = [{"name": f"accounts/{name}", "email": "a@b.c", "state": "READY"} for name in self.accounts]
        return web.json_response({"accounts": accounts, "nextPageToken": "", "totalSize": len(accounts)})

    async def _model(self, request: web.Request) -> web.Response:
        name = f"accounts/fireworks/models/{request.match_info['id']}"
        if name not in (BASES["fireworks"], "accounts/fireworks/models/frozen"):
            return status(404, f"model {name} not found")
        tunable = name == BASES["fireworks"]
        details = {"parameterCount": "8190735360", "moe": False, "tunable": tunable, "modelType": "qwen3"}
        return web.json_response(
            {"name": name, "kind": "HF_BASE_MODEL", "state": "READY", "tunable": tunable, "baseModelDetails": details}
        )

    async def _create_dataset(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["datasetId"]
        if name in self.files:
            return status(409, f"dataset {name} already exists")
        assert body["dataset"]["userUploaded"] == {} and int(body["dataset"]["exampleCount"]) > 0
        self.files[name] = {"content": None, "looks": 0, "about": body["dataset"]}
        return web.json_response(self._shown_dataset(name))

    def _shown_dataset(self, name: str) -> dict[str, Any]:
        file = self.files[name]
        ready = file["content"] is not None and file["looks"] > 1 and not self.refuse_file
        code = (
            {"code": "INVALID_ARGUMENT", "message": self.refuse_file}
            if self.refuse_file
            else {"code": "OK", "message": ""}
        )
        return file["about"] | {
            "name": f"accounts/{ACCOUNT}/datasets/{name}",
            "state": "READY" if ready else "UPLOADING",
            "status": code if file["content"] is not None else {"code": "OK", "message": ""},
        }

    async def _dataset(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.files:
            return status(404, f"dataset {name} not found")
        self.files[name]["looks"] += self.files[name]["content"] is not None
        return web.json_response(self._shown_dataset(name))

    async def _upload(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.files:
            return status(404, f"dataset {name} not found")
        _, filename, content = await self.upload_of(request)
        self.files[name]["content"] = content
        reply = {"id": name, "bytes": len(content), "filename": filename, "object": "file", "purpose": "fine-tune"}
        return web.json_response(reply)

    async def _create(self, request: web.Request) -> web.Response:
        name, body = request.query["supervisedFineTuningJobId"], await request.json()
        if name in self.jobs:
            return status(409, f"supervised fine-tuning job {name} already exists")
        dataset = body["dataset"].rpartition("/")[2]
        if dataset not in self.files:
            return status(400, f"dataset {dataset} not found")
        assert (
            body["outputModel"].startswith(f"accounts/{ACCOUNT}/models/")
            and len(body["outputModel"].split("/")[-1]) <= 63
        )
        self.orders.append(body)
        self.jobs[name] = {"word": self.steps[0], "looks": 0, "body": body}
        return web.json_response(self.shown(name))

    def shown(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        word = job["word"]
        failed = {"code": "INTERNAL", "message": self.fail} if word == "FAILED" else {"code": "OK", "message": ""}
        return job["body"] | {
            "name": f"accounts/{ACCOUNT}/supervisedFineTuningJobs/{name}",
            "state": f"JOB_STATE_{self.word or word}",
            "status": failed,
            "createTime": "2026-11-29T01:00:00Z",
            "jobProgress": {"percent": 25 * job["looks"], "epoch": 0},
            "estimatedCost": {"currencyCode": "USD", "units": "1", "nanos": 500_000_000}
            if word == "COMPLETED"
            else None,
        }

    async def _jobs(self, request: web.Request) -> web.Response:
        shown = [self.shown(name) for name in self.jobs]
        return web.json_response({"supervisedFineTuningJobs": shown, "nextPageToken": "", "totalSize": len(shown)})

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return status(404, f"supervised fine-tuning job {name} not found")
        self.step(self.jobs[name])
        return web.json_response(self.shown(name))

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return status(404, f"supervised fine-tuning job {name} not found")
        self.jobs[name]["word"] = "CANCELLED"
        return web.json_response({})
