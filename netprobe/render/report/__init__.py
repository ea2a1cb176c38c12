"""The page of `netprobe report`: one self-contained HTML file."""
