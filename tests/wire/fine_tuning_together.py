"""Together's fine-tuning on a loopback server."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.wire.fine_tuning import BASES, KEY, FineTuningServer, guarded, missing

STAMP = "2026-11-29T01:00:00.000Z"


class TogetherTuning(FineTuningServer):
    """Files are checked before they can be used; a price can be asked for; prices of jobs are in billionths of a dollar."""

    vendor = "together"
    steps = ("pending", "queued", "running", "uploading", "completed")
    failed_word = "error"

    def __init__(self) -> None:
        super().__init__()
        self.price = 1.25
        self.allowed = True
        self.estimates = True
        self.unavailable = "multimodal_dataset"
        self.unvalidated = 0
        """Estimates that are refused because the file is not checked yet."""
        self.checks = 1
        """Looks at a file until it is checked."""

    @property
    def environ(self) -> dict[str, str]:
        return {"TOGETHER_API_KEY": KEY, "TOGETHER_BASE_URL": f"{self.origin}/v1"}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/fine-tunes/models/limits", guarded(self, self._limits)),
            web.post("/v1/files/upload", guarded(self, self._upload)),
            web.get("/v1/files", guarded(self, self._files)),
            web.get("/v1/files/{id}", guarded(self, self._file)),
            web.post("/v1/fine-tunes/estimate-price", guarded(self, self._estimate)),
            web.post("/v1/fine-tunes", guarded(self, self._create)),
            web.get("/v1/fine-tunes", guarded(self, self._jobs)),
            web.get("/v1/fine-tunes/{id}", guarded(self, self._job)),
            web.get("/v1/fine-tunes/{id}/events", guarded(self, self._events)),
            web.post("/v1/fine-tunes/{id}/cancel", guarded(self, self._cancel)),
            web.post("/v1/chat/completions", guarded(self, self._chat)),
        ]

    async def _limits(self, request: web.Request) -> web.Response:
        name = request.query["model_name"]
        if name != BASES["together"]:
            return missing("model", f"Model {name} is not available for fine-tuning")
        sizes = {"max_batch_size": 8, "max_batch_size_dpo": 8, "min_batch_size": 8}
        return web.json_response(
            {
                "model_name": name,
                "default_gradient_accumulation_steps": 1,
                "full_training": sizes,
                "lora_training": sizes | {"default_rank": 64, "max_rank": 64, "target_modules": ["q_proj"]},
                "max_learning_rate": 0.01,
                "min_learning_rate": 1e-7,
                "max_num_checkpoints": 10,
                "max_num_epochs": 20,
                "max_num_evals": 100,
                "max_seq_length_dpo": 16384,
                "max_seq_length_sft": 32768,
                "min_max_seq_length": 128,
                "merge_output_lora": True,
                "supports_full_training": True,
                "supports_reasoning": True,
                "supports_tools": True,
                "supports_vision": False,
            }
        )

    async def _upload(self, request: web.Request) -> web.Response:
        fields, _, content = await self.upload_of(request)
        assert fields["purpose"] == "fine-tune" and fields["file_type"] == "jsonl"
        name = f"file-{len(self.files) + 1}"
        self.files[name] = {"filename": fields["file_name"], "content": content, "looks": 0}
        return web.json_response(self._shown_file(name))

    def _shown_file(self, name: str) -> dict[str, Any]:
        file = self.files[name]
        checked = file["looks"] > self.checks
        word = "QUEUED" if not checked else "INVALID_FORMAT" if self.refuse_file else "COMPLETED"
        report = {"valid": not self.refuse_file, "error": self.refuse_file, "file_id": name, "nlines": 20}
        shown = {
            "id": name,
            "object": "file",
            "bytes": len(file["content"]),
            "created_at": 1_715_021_438,
            "filename": file["filename"],
            "purpose": "fine-tune",
            "FileType": "jsonl",
            "Processed": checked,
            "LineCount": 0,
            "processing_status": word,
        }
        return shown | ({"validation_report": report} if checked else {})

    async def _files(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [self._shown_file(name) for name in self.files]})

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.files:
            return missing("file", "File not found")
        self.files[name]["looks"] += 1
        return web.json_response(self._shown_file(name))

    async def _estimate(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.unvalidated > 0:
            self.unvalidated -= 1
            return web.json_response({"estimation_available": False, "unavailable_reason": "train_file_not_validated"})
        if not self.estimates:
            reply: dict[str, Any] = {"estimation_available": False, "unavailable_reason": self.unavailable}
            return web.json_response(reply)
        assert self.files[body["training_file"]]["looks"] > self.checks, "estimated before the file is checked"
        reply = {
            "estimation_available": True,
            "allowed_to_proceed": self.allowed,
            "estimated_total_price": self.price,
            "estimated_train_token_count": 3_000_000,
            "estimated_eval_token_count": 0,
            "user_limit": 100.0 if self.allowed else 0.5,
        }
        return web.json_response(reply)

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["training_file"] not in self.files:
            return web.json_response(
                {"error": {"message": "file not found", "type": "invalid_request_error"}}, status=400
            )
        assert len(body["suffix"]) <= 40 and body["training_method"]["method"] == "sft"
        name = f"ft-{len(self.jobs) + 1}"
        self.orders.append(body)
        self.jobs[name] = {"word": self.steps[0], "looks": 0, "body": body}
        return web.json_response(self.shown(name))

    def shown(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        body, word = job["body"], self.word or job["word"]
        events = self._logged(job) if word == "error" else []
        return {
            "id": name,
            "created_at": STAMP,
            "updated_at": STAMP,
            "started_at": STAMP,
            "status": word,
            "user_id": "user-1",
            "model": body["model"],
            "model_output_name": f"me/{body['model'].split('/')[-1]}-{body['suffix']}",
            "suffix": body["suffix"],
            "training_file": body["training_file"],
            "validation_file": body.get("validation_file", ""),
            "training_method": body["training_method"],
            "training_type": body.get("training_type"),
            "n_epochs": body["n_epochs"],
            "epochs_completed": min(job["looks"], body["n_epochs"]),
            "progress": {"estimate_available": word == "running", "seconds_remaining": 90},
            "total_price": round(self.price * 1e9) if word == "completed" else 0,
            "token_count": 3_000_000 if word == "completed" else 0,
            "events": events,
        }

    def _logged(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        lines = ["Job created", "Training started", "Epoch completed", "Uploading model", "Job finished"][
            : job["looks"] + 1
        ]
        if job["word"] == "error":
            lines.append(str(self.fail))
        return [
            {
                "object": "fine-tune-event",
                "created_at": f"2026-11-29T01:0{n}:00Z",
                "message": line,
                "type": "job_error" if line == self.fail else "job_start",
                "level": "info",
                "step": n,
                "total_steps": 4,
            }
            for n, line in enumerate(lines)
        ]

    async def _jobs(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [self.shown(name) for name in self.jobs]})

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return missing("job", "Fine-tune job not found")
        self.step(self.jobs[name])
        return web.json_response(self.shown(name))

    async def _events(self, request: web.Request) -> web.Response:
        return web.json_response({"data": self._logged(self.jobs[request.match_info["id"]])})

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return missing("job")
        self.jobs[name]["word"] = "cancelled"
        self.jobs[name]["ended"] = time.time()
        return web.json_response(self.shown(name))

    async def _chat(self, request: web.Request) -> web.Response:
        """A tuned model, as its endpoint answers."""
        body = await request.json()
        ready = {
            self.shown(name)["model_output_name"] for name, job in self.jobs.items() if job["word"] == self.steps[-1]
        }
        if body["model"] not in ready:
            return missing("model", f"Unable to access model {body['model']}")
        message = {"role": "assistant", "content": "answer 1"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
        reply = {"id": "c-1", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        return web.json_response(reply)
