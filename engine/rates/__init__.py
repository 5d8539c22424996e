"""Rates markets as pure functions on arrays: day counts, schedules, curves, bonds, spreads, swaptions."""
