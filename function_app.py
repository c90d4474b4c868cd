"""Composition root: the environment goes in, one function app comes out."""
