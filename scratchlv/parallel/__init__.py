"""More than one process: how a batch is shared, and how what each has found is put together (docs/scale.md)."""
