"""Weights on disk: safetensors, checkpoints, names, the hub, the model card."""
