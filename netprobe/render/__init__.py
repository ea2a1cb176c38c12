"""How results look: text, JSON. Nothing below this prints."""
