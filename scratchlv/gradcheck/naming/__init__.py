"""The name of a bug: what the numbers at hand tell, and what forward tells with another derivative."""
