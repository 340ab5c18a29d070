"""What a page needs around its science: parameters, settings, verdicts, provenance."""
