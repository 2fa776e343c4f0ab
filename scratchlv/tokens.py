"""The numbers of the special tokens: the first of every vocabulary."""

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
#: Behind the end of a shorter sequence; before the first word; after the last; any word that is not in the vocabulary.
PAD, START, END, UNK = range(4)
