"""Verification: gradients against finite differences, and two models tensor by tensor."""
