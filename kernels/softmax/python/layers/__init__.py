"""Layers for `kernelize`. Without torch the module can be imported and holds no layers."""

from .. import _ops

try:
    import torch
except ImportError:
    torch = None

__all__ = []

if torch is not None:

    class Softmax(torch.nn.Module):
        """Replaces a `torch.nn.Softmax` over the last dimension."""

        has_backward = False
        can_torch_compile = False

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            out = torch.empty_like(input, memory_format=torch.contiguous_format)
            _ops.call("softmax", out, input)
            return out

    __all__ = ["Softmax"]
