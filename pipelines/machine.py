"""The machine that a training or a benchmark runs on, in words: what its times are to be read beside."""

import os
import platform
from pathlib import Path

import torch


def hardware(device: torch.device) -> dict[str, str | int]:
    """`processor` and `cores` of this machine, and `gpu`: the device's name, `none` for a training on the CPU."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {"processor": processor(), "cores": os.cpu_count() or 1, "gpu": gpu}


def processor() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = [line.partition(":") for line in info.read_text().splitlines()]
    about = {key.strip(): value.strip() for key, _, value in lines}
    # Virtual machines hide the number of the model, on which such figures depend, in the name.
    names = [about.get("model name", platform.machine())]
    return ", ".join(names + [f"{key} {about[key]}" for key in ("cpu family", "model") if key in about])
