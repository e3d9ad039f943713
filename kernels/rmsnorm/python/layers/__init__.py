"""Layers for `kernelize`. Without torch the module can be imported and holds no layers."""

from .. import _ops

try:
    import torch
except ImportError:
    torch = None

__all__ = []

if torch is not None:

    class RMSNorm(torch.nn.Module):
        """Replaces a layer with a `weight` and a `variance_epsilon`, as in the Llama models."""

        has_backward = False
        can_torch_compile = False

        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            out = torch.empty_like(hidden_states, memory_format=torch.contiguous_format)
            _ops.call("rms_norm", out, hidden_states, self.weight.detach(), float(self.variance_epsilon))
            return out

    class FusedAddRMSNorm(torch.nn.Module):
        """Replaces a layer that adds a residual and normalises; both tensors are changed in place."""

        has_backward = False
        can_torch_compile = False

        def forward(self, hidden_states: torch.Tensor, residual: torch.Tensor):
            weight = self.weight.detach()
            _ops.call("fused_add_rms_norm", hidden_states, residual, weight, float(self.variance_epsilon))
            return hidden_states, residual

    __all__ = ["FusedAddRMSNorm", "RMSNorm"]
