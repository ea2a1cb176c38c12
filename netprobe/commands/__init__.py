"""One file a subcommand: parse, call, render. A file registers itself by being here (`cli.py`)."""
