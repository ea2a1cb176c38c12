"""The page that `netprobe report` writes: one HTML file that loads nothing."""
