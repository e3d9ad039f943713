"""No layers: results have another data type than inputs, so these are functions that a model calls itself."""

__all__ = []
