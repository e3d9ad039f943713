"""Dynamic quantisation to float8_e4m3fn with one scale per row (token), alone or behind an RMS norm.

Tensors may come from torch, CuPy or anything else that speaks DLPack. The last dimension must be contiguous; rows may
be padded. Inputs are float32, float16 or bfloat16, arithmetic is in float32; values are rounded to nearest even.
Results are `(out, scales)`: `out` of the shape of `x`, `scales` float32 with one element per row, so that
`out * scales[..., None]` is about what was quantised. No scale is below 1 / (448 * 512), as in vLLM.
"""

from . import _ops, layers


def _results(x, out, scales):
    if out is None:
        out = _ops.empty_like(x, tuple(x.shape), "float8_e4m3fn")
    if scales is None:
        scales = _ops.empty_like(x, tuple(x.shape[:-1]) or (1,), "float32")
    return out, scales


def quantize_fp8_per_token(x, out=None, scales=None):
    """`scales = max|x| / 448` over the last dimension, `out = x / scales`. Returns `(out, scales)`.

    `scales` may have a 1 as its last dimension, too.
    """
    out, scales = _results(x, out, scales)
    _ops.call("quantize_fp8_per_token", out, scales, x)
    return out, scales


def rms_norm_quantize_fp8(x, weight, eps=1e-6, out=None, scales=None):
    """`quantize_fp8_per_token(rms_norm(x, weight, eps))` without rounding in between. Returns `(out, scales)`."""
    out, scales = _results(x, out, scales)
    _ops.call("rms_norm_quantize_fp8", out, scales, x, weight, float(eps))
    return out, scales


def fused_add_rms_norm_quantize_fp8(x, residual, weight, eps=1e-6, out=None, scales=None):
    """In place: `residual += x`; then `rms_norm_quantize_fp8(residual, weight, eps)`. Returns `(out, scales)`."""
    out, scales = _results(x, out, scales)
    _ops.call("fused_add_rms_norm_quantize_fp8", out, scales, x, residual, weight, float(eps))
    return out, scales


__all__ = ["fused_add_rms_norm_quantize_fp8", "layers", "quantize_fp8_per_token", "rms_norm_quantize_fp8"]
