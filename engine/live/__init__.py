"""Live-like markets over ZeroMQ: a feed, a paper broker and runners, each a pure core in a thin shell."""
