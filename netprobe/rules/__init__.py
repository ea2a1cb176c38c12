"""Rules: one module per finding. A module of this package with a CODE is discovered as a rule."""
