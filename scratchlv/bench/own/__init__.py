"""A kernel of somebody's own, against those of its room: ``scratchlv bench OP --with FILE``."""
