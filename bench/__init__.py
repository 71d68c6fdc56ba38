"""What the stages cost, measured beside what others cost. Not deployed; see docs/performance.md."""
