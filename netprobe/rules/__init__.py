"""Findings: what a Run says about the server. One file a rule; being here registers it."""
