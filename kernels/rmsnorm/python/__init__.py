"""Root mean square normalisation for float32, float16 and bfloat16.

Tensors may come from torch, NumPy, CuPy or anything else that speaks DLPack. The last dimension must be
contiguous; rows may be padded. Sums are in float32.
"""

from . import _ops, layers


def rms_norm(x, weight, eps=1e-6, out=None):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension.

    `x` is [..., d] and `weight` [d]. The result is written to `out` if that is given, and returned.
    """
    if out is None:
        out = _ops.empty_like(x, tuple(x.shape))
    _ops.call("rms_norm", out, x, weight, float(eps))
    return out


def fused_add_rms_norm(x, residual, weight, eps=1e-6):
    """In place: `residual += x`, then `x = rms_norm(residual, weight, eps)`. Returns `(x, residual)`."""
    _ops.call("fused_add_rms_norm", x, residual, weight, float(eps))
    return x, residual


__all__ = ["fused_add_rms_norm", "layers", "rms_norm"]
