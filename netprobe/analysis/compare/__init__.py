"""Comparison of two Runs: significant changes, noise, and the smallest detectable changes."""
