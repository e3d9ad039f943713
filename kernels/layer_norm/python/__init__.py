"""Layer normalisation for float32, float16 and bfloat16.

Tensors may come from torch, NumPy, CuPy or anything else that speaks DLPack. The last dimension must be
contiguous; rows may be padded. Arithmetic is in float32.
"""

from . import _ops, layers


def layer_norm(x, weight, bias=None, eps=1e-5, out=None):
    """`(x - mean(x)) / sqrt(var(x) + eps) * weight + bias` over the last dimension.

    `x` is [..., d], `weight` and `bias` are [d]. The result is written to `out` if that is given, and returned.
    """
    if out is None:
        out = _ops.empty_like(x, tuple(x.shape))
    if bias is None:
        _ops.call("layer_norm_no_bias", out, x, weight, float(eps))
    else:
        _ops.call("layer_norm", out, x, weight, bias, float(eps))
    return out


__all__ = ["layer_norm", "layers"]
