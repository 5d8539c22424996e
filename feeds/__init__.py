"""Where rows come from: recorded tapes, files of other makers, generators."""
