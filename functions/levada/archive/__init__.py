"""Archive: what time alone sets off: idle windows, compaction."""
