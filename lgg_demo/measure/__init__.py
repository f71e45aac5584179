"""Masks to figures; numpy and scipy alone."""
