"""Layers for `kernelize`. Without torch the module can be imported and holds no layers."""

from .. import _ops

try:
    import torch
except ImportError:
    torch = None

__all__ = []

if torch is not None:

    class RotaryNeox(torch.nn.Module):
        """Replaces a layer that turns the pairs (j, j + rotary_dim / 2) of query and key in place."""

        has_backward = False
        can_torch_compile = False

        def forward(self, query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, cos_sin_cache: torch.Tensor):
            _ops.call("rotary_neox", query, key, positions, cos_sin_cache)
            return query, key

    class RotaryGptj(torch.nn.Module):
        """Replaces a layer that turns the pairs (2 j, 2 j + 1) of query and key in place."""

        has_backward = False
        can_torch_compile = False

        def forward(self, query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, cos_sin_cache: torch.Tensor):
            _ops.call("rotary_gptj", query, key, positions, cos_sin_cache)
            return query, key

    __all__ = ["RotaryGptj", "RotaryNeox"]
