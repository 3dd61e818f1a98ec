"""Drills: what the package promises to survive, tried. ``python -m tests.reliability`` runs them in full."""
