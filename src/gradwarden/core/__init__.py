"""Words shared by every room: threats, estimates, records, protocols, errors."""
