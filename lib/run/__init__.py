"""Where and how work happens: files, the run store, engines, progress, provenance."""
