"""Layers for `kernelize`. Without torch the module can be imported and holds no layers."""

from .. import _ops

try:
    import torch
except ImportError:
    torch = None

__all__ = []

if torch is not None:

    class LayerNorm(torch.nn.Module):
        """Replaces a `torch.nn.LayerNorm` over the last dimension, with or without a bias."""

        has_backward = False
        can_torch_compile = False

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            out = torch.empty_like(input, memory_format=torch.contiguous_format)
            weight = self.weight.detach()
            if self.bias is None:
                _ops.call("layer_norm_no_bias", out, input, weight, float(self.eps))
            else:
                _ops.call("layer_norm", out, input, weight, self.bias.detach(), float(self.eps))
            return out

    __all__ = ["LayerNorm"]
