"""Alerts: the rules, and the system that judges values by them."""
