"""Hostile input: seeded generators, one target a door through which input comes in, and workers that may die."""
