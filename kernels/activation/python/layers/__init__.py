"""Layers for `kernelize`. Without torch the module can be imported and holds no layers."""

from .. import _ops

try:
    import torch
except ImportError:
    torch = None

__all__ = []

if torch is not None:

    def _gated(name, x):
        out = x.new_empty((*x.shape[:-1], x.shape[-1] // 2))
        _ops.call(name, out, x)
        return out

    class SiluAndMul(torch.nn.Module):
        """Replaces a layer that computes `silu(x[..., :d]) * x[..., d:]`."""

        has_backward = False
        can_torch_compile = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return _gated("silu_and_mul", x)

    class GeluAndMul(torch.nn.Module):
        """Replaces a layer that computes `gelu(x[..., :d]) * x[..., d:]` with the exact GELU."""

        has_backward = False
        can_torch_compile = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return _gated("gelu_and_mul", x)

    class GeluTanhAndMul(torch.nn.Module):
        """Replaces a layer that computes `gelu(x[..., :d]) * x[..., d:]` with the tanh approximation."""

        has_backward = False
        can_torch_compile = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return _gated("gelu_tanh_and_mul", x)

    __all__ = ["GeluAndMul", "GeluTanhAndMul", "SiluAndMul"]
