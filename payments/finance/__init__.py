"""Pages for finance staff: an operator's day, what waits for a person, and the proof that the books balance."""
