"""Training of a learned feature extractor on made-up anatomy; docs/learned.md."""
