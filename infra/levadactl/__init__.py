"""The levada command line: embedded stack, stream triggers, deploy, verify. Never deployed."""
