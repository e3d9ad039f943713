"""Rotary position embeddings, in place, for float32, float16 and bfloat16.

Tensors may come from torch, NumPy, CuPy or anything else that speaks DLPack. `query` is [..., heads, head_dim], `key`
[..., kv_heads, head_dim] or None, `positions` int32 or int64 with the leading sizes of both, and `cos_sin_cache`
[positions, rotary_dim] in their data type: the cosines of rotary_dim / 2 angles, then their sines. What a head has
behind rotary_dim is not touched. Heads are contiguous; heads and tokens may have gaps between them. On a GPU every
position must be a row of the cache; on the CPU others are refused.
"""

from . import _ops, layers


def _rotate(name, query, key, positions, cos_sin_cache):
    heads = query[..., :0, :] if key is None else key
    _ops.call(name, query, heads, positions, cos_sin_cache)
    return query, key


def rotary_neox(query, key, positions, cos_sin_cache):
    """Turns the pairs (j, j + rotary_dim / 2) of each head, as in GPT-NeoX and Llama. Returns `(query, key)`."""
    return _rotate("rotary_neox", query, key, positions, cos_sin_cache)


def rotary_gptj(query, key, positions, cos_sin_cache):
    """Turns the pairs (2 j, 2 j + 1) of each head, as in GPT-J. Returns `(query, key)`."""
    return _rotate("rotary_gptj", query, key, positions, cos_sin_cache)


__all__ = ["layers", "rotary_gptj", "rotary_neox"]
