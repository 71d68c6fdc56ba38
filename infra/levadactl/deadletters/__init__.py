"""Dead letters: what quarantine and the queue hold, what would pass now, and the way back. See docs/dead-letters.md."""
