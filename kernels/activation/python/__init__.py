"""Gated activations: `out = activation(x[..., :d]) * x[..., d:]` for float32, float16 and bfloat16.

Tensors may come from torch, NumPy, CuPy or anything else that speaks DLPack. The last dimension must be
contiguous; rows may be padded. Arithmetic is in float32.
"""

from . import _ops, layers


def _gated(name, x, out):
    if out is None:
        if x.shape[-1] % 2 != 0:
            raise ValueError(f"{name}: the last dimension of `x` must be even, got {x.shape[-1]}")
        out = _ops.empty_like(x, (*x.shape[:-1], x.shape[-1] // 2))
    _ops.call(name, out, x)
    return out


def silu_and_mul(x, out=None):
    """`silu(x[..., :d]) * x[..., d:]` with `silu(v) = v / (1 + exp(-v))`.

    `x` is [..., 2d]; the result is [..., d]. It is written to `out` if that is given, and returned.
    """
    return _gated("silu_and_mul", x, out)


def gelu_and_mul(x, out=None):
    """`gelu(x[..., :d]) * x[..., d:]` with the exact `gelu(v) = v * (1 + erf(v / sqrt(2))) / 2`.

    `x` is [..., 2d]; the result is [..., d]. It is written to `out` if that is given, and returned.
    """
    return _gated("gelu_and_mul", x, out)


def gelu_tanh_and_mul(x, out=None):
    """`gelu(x[..., :d]) * x[..., d:]` with the tanh approximation of GELU.

    `x` is [..., 2d]; the result is [..., d]. It is written to `out` if that is given, and returned.
    """
    return _gated("gelu_tanh_and_mul", x, out)


__all__ = ["gelu_and_mul", "gelu_tanh_and_mul", "layers", "silu_and_mul"]
