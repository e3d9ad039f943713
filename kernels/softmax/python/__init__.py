"""Softmax over the last dimension for float32, float16 and bfloat16.

Tensors may come from torch, NumPy, CuPy or anything else that speaks DLPack. The last dimension must be
contiguous; rows may be padded. Arithmetic is in float32.
"""

from . import _ops, layers


def softmax(x, out=None):
    """`exp(x - max(x)) / sum(exp(x - max(x)))` over the last dimension of `x` [..., d].

    The result is written to `out` if that is given (`x` itself is allowed), and returned.
    """
    if out is None:
        out = _ops.empty_like(x, tuple(x.shape))
    _ops.call("softmax", out, x)
    return out


__all__ = ["layers", "softmax"]
