"""Days made anew from bronze, by the code that is here now: what would differ, and putting it into effect."""
