"""Learning: what is read off tapes, fitted and handed over as files of numbers."""
