"""What other tools printed, read into Runs: one file a format, told apart by content."""
