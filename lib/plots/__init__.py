"""Every figure of the book, by finding: arrays in, a matplotlib `Figure` out, with the data behind it."""
