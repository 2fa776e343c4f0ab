"""``scratchlv explain``: a page on which an operation runs on small numbers, line by line, forwards and backwards."""
