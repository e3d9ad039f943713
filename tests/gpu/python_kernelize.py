"""The kernels of this build in a PyTorch model, through the Python package's own `kernelize`: the folder that C++ programs load
serves Python too. For a machine with PyTorch, `kernels` and `apache-tvm-ffi`.

    python python_kernelize.py HUB_FOLDER
"""

import sys
from pathlib import Path

import torch
from torch import nn
from kernels import LocalLayerRepository, Mode, kernelize, use_kernel_forward_from_hub, use_kernel_mapping

HUB = Path(sys.argv[1])


@use_kernel_forward_from_hub("SiluAndMul")
class SiluAndMul(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return nn.functional.silu(x[..., :half]) * x[..., half:]


@use_kernel_forward_from_hub("RMSNorm")
class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width))
        self.variance_epsilon = 1e-5

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        wide = hidden_states.float()
        variance = wide.pow(2).mean(-1, keepdim=True)
        return self.weight * (wide * torch.rsqrt(variance + self.variance_epsilon)).to(hidden_states.dtype)


def check(device: str, dtype: torch.dtype) -> None:
    mapping = {
        layer: {device: LocalLayerRepository(repo_path=HUB / kernel, layer_name=layer)}
        for kernel, layer in (("activation", "SiluAndMul"), ("rmsnorm", "RMSNorm"))
    }
    model = nn.Sequential(RMSNorm(256), nn.Linear(256, 512), SiluAndMul()).to(device, dtype).eval()
    x = torch.randn(64, 256, device=device, dtype=dtype)
    with torch.no_grad():
        expected = model(x)
        with use_kernel_mapping(mapping, inherit_mapping=False):
            kernelize(model, mode=Mode.INFERENCE, device=device, use_fallback=False)
        for index in (0, 2):
            assert model[index].forward.__func__.__module__ != __name__, f"layer {index} kept its own forward"
        torch.testing.assert_close(model(x), expected, rtol=2e-2, atol=2e-2)
    print(f"{device} {dtype}: replaced by {model[2].forward.__func__.__module__}, equal")


# The package takes the variant for the machine's own accelerator, also for a mapping to `cpu`.
if torch.cuda.is_available():
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        check("cuda", dtype)
else:
    check("cpu", torch.float32)
