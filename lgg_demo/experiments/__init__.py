"""The record of what was tried. Nothing that is served imports it."""
