"""Machines by name, and hours that follow from the data sheets."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.errors import UserError
from distil.models.sizing import GIB, Machine, known_gpu, named_machine, this_machine, training_seconds

CPU = Machine(2, 24 * GIB, None, 0, 0)
H100 = Machine(16, 128 * GIB, "NVIDIA H100 80GB HBM3", 1, 80 * GIB)


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA B200", 2250),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA A10G", 70),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 5090", 209),
        ("NVIDIA RTX A6000", 155),
        ("Tesla T4", 8.1),
        ("4090", 165),
    ],
)
def test_a_card_is_known_by_the_name_of_nvidia_smi(name: str, teraflops: float) -> None:
    card = known_gpu(name)
    assert card is not None and card.flops == teraflops * 1e12


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "AMD Instinct MI300X", "NVIDIA GB300", "Quadro K620"]
)
def test_an_unknown_card_has_no_speed(name: str) -> None:
    machine = Machine(8, 64 * GIB, name, 1, 16 * GIB)
    assert machine.flops is None and training_seconds(10**9, 10**6, machine) is None


def test_a_machine_can_be_named() -> None:
    assert named_machine("8xH100") == Machine(0, 0, "H100", 8, 80 * GIB)
    assert named_machine("RTX 4090").gpu_memory == 24 * GIB
    assert named_machine("4xMI300X:192") == Machine(0, 0, "MI300X", 4, 192 * GIB)
    assert str(named_machine("8xH100")) == "8 x H100 (80 GiB each)"
    assert [named_machine(name).bfloat16 for name in ("T4", "V100", "H100", "MI300X:192")] == [False, False, True, True]
    for wrong in ("8xH1000", "0xH100", "", "MI300X:lots"):
        with pytest.raises(UserError, match="8xH100"):
            named_machine(wrong)


def test_time_grows_with_tokens_and_a_gpu_is_faster() -> None:
    seconds = training_seconds(10**9, 2_000, CPU)
    assert seconds == pytest.approx(100)  # 6 x 1e9 x 2,000 at 120 GFLOP/s
    faster = training_seconds(10**9, 2_000, H100)
    assert faster is not None and faster < 100 / 1000
    adapter = training_seconds(10**9, 2_000, H100, operations=4, adapter=True)
    assert adapter is not None and adapter > faster  # fewer operations, and more time beside them: measured
    assert training_seconds(10**9, 2_000, CPU, adapter=True) == seconds
    eight = training_seconds(10**9, 2_000, H100._replace(gpus=8), processes=8)
    assert eight == pytest.approx(faster / 8)
    assert training_seconds(10**9, 2_000, H100._replace(gpus=8)) == pytest.approx(faster)  # seven are idle
    assert H100.memory == 80 * GIB and CPU.memory == 24 * GIB


def test_this_machine_has_memory_and_cores() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.ram > GIB


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "NVIDIA H100 80GB HBM3, 81559\\n" * 8
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    machine = this_machine()
    assert machine.gpus == 8 and machine.gpu_memory == 81559 << 20 and machine.flops == pytest.approx(0.35 * 989e12)
    script.write_text("#!/bin/sh\necho 'NVIDIA GB10, [N/A]'\n")  # memory shared with the processor
    shared = this_machine()
    assert shared.gpus == 1 and shared.gpu_memory == shared.ram
